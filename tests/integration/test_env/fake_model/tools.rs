//! The tools and the choices of tools that OpenAI rejects.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Api, body, check_rejection};

fn function(name: &str) -> Value {
    json!({
        "type": "function", "name": name, "description": "", "strict": true,
        "parameters": {
            "type": "object", "properties": {"due": {"type": "string"}}, "required": ["due"],
            "additionalProperties": false,
        },
    })
}

/// A function with another value in one field.
fn with(name: &str, value: Value) -> Value {
    let mut tool = function("list_bills");
    tool[name] = value;
    tool
}

#[tokio::test]
async fn invalid_tools_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let (schema, parameters) = ("invalid_function_parameters", "tools[0].parameters");
    let nested = json!({"type": "object", "properties": {}, "required": []});
    let object = |properties: Value, required: Value| {
        let closed = json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false,
        });
        with("parameters", closed)
    };
    let rows = [
        ("an array of names", json!("list_bills"), "invalid_type", "tools[0]"),
        ("no name", json!({"type": "function"}), "missing_required_parameter", "tools[0].name"),
        ("no type", json!({"name": "list_bills"}), "missing_required_parameter", "tools[0].type"),
        (
            "a function in an object",
            json!({"type": "function", "function": {"name": "a"}}),
            "unknown_parameter",
            "tools[0].function",
        ),
        ("an unknown type", with("type", json!("lambda")), "invalid_value", "tools[0].type"),
        ("a hosted tool", json!({"type": "web_search"}), "unsupported_parameter", "tools[0].type"),
        (
            "an MCP server",
            json!({"type": "mcp", "server_label": "a"}),
            "unsupported_parameter",
            "tools[0].type",
        ),
        ("a name with a dot", with("name", json!("bills.list")), "invalid_value", "tools[0].name"),
        ("an empty name", with("name", json!("")), "invalid_value", "tools[0].name"),
        ("a long name", with("name", json!("n".repeat(65))), "string_above_max_length", "tools[0].name"),
        ("a number as a description", with("description", json!(7)), "invalid_type", "tools[0].description"),
        ("a string as strict", with("strict", json!("true")), "invalid_type", "tools[0].strict"),
        ("an array as a schema", with("parameters", json!([])), "invalid_type", parameters),
        ("a schema without a type", with("parameters", json!({})), schema, parameters),
        ("a strict function without a schema", with("parameters", Value::Null), schema, parameters),
        (
            "a schema that permits more properties",
            with("parameters", json!({"type": "object", "properties": {}, "required": []})),
            schema,
            parameters,
        ),
        (
            "an optional property",
            object(json!({"a": {"type": "string"}, "b": {"type": "string"}}), json!(["a"])),
            schema,
            parameters,
        ),
        ("an open nested object", object(json!({"a": nested}), json!(["a"])), schema, parameters),
        (
            "an open object in an array",
            object(json!({"a": {"type": "array", "items": nested}}), json!(["a"])),
            schema,
            parameters,
        ),
    ];
    for (case, tool, code, param) in rows {
        let mut body = body("Hello");
        body["tools"] = json!([tool]);
        check_rejection(case, api.post(&body), (400, Some(code), Some(param))).await?;
    }
    let mut twice = body("Hello");
    twice["tools"] = json!([function("a"), function("a")]);
    check_rejection("twice", api.post(&twice), (400, Some("invalid_value"), Some("tools[1].name"))).await?;
    let mut loose = body("Hello");
    let open = json!({"type": "function", "name": "c", "strict": false, "parameters": nested});
    loose["tools"] = json!([function("a"), function("b"), open]);
    let response = api.create(&loose).await?;
    assert_eq!(response["tools"][2]["description"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn invalid_tool_choices_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let chosen = |name: &str| json!({"type": "function", "name": name});
    let allowed = |name: &str| json!({"type": "allowed_tools", "mode": "auto", "tools": [chosen(name)]});
    let with_tools = |choice: Value| {
        let mut body = body("Hello");
        body["tools"] = json!([function("list_bills")]);
        body["tool_choice"] = choice;
        body
    };
    let mut without_tools = body("Hello");
    without_tools["tool_choice"] = json!("required");
    let rows = [
        ("an unknown mode", with_tools(json!("any")), "invalid_value", "tool_choice"),
        ("required without tools", without_tools, "invalid_value", "tool_choice"),
        ("an unknown function", with_tools(chosen("pay")), "invalid_value", "tool_choice"),
        ("an unknown allowed function", with_tools(allowed("pay")), "invalid_value", "tool_choice"),
        ("a number", with_tools(json!(7)), "invalid_type", "tool_choice"),
        ("null", with_tools(Value::Null), "invalid_type", "tool_choice"),
        ("a hosted tool", with_tools(json!({"type": "web_search"})), "unsupported_parameter", "tool_choice"),
    ];
    for (case, body, code, param) in rows {
        check_rejection(case, api.post(&body), (400, Some(code), Some(param))).await?;
    }
    for choice in
        [json!("none"), json!("auto"), json!("required"), chosen("list_bills"), allowed("list_bills")]
    {
        let response = api.create(&with_tools(choice.clone())).await?;
        assert_eq!(response["tool_choice"], choice);
    }
    Ok(())
}
