//! The input items that OpenAI rejects: their shapes, and the rules that connect them.

use anyhow::{Context, Result, ensure};
use local_stack::model::Script;
use serde_json::{Value, json};

use super::{Api, body, check_rejection, user};

fn assistant(content: Value) -> Value {
    json!({"type": "message", "role": "assistant", "content": content})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "list_bills", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "12 bills"})
}

fn reasoning(encrypted: &str) -> Value {
    json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": encrypted})
}

/// The item with another value in one field, or without it (null).
fn with(mut item: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(item.as_object_mut().map(|item| item.remove(name))),
        value => item[name] = value,
    }
    item
}

#[tokio::test]
async fn malformed_items_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let (kind, missing, value) = ("invalid_type", "missing_required_parameter", "invalid_value");
    let (unknown, long) = ("unknown_parameter", "string_above_max_length");
    let part = |part: Value| with(user("a"), "content", json!([part]));
    let text = json!([{"type": "output_text", "text": "a"}]);
    let annotated = |annotation: Value| {
        assistant(json!([{"type": "output_text", "text": "a", "annotations": [annotation]}]))
    };
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let rows = [
        (json!("Hello"), kind, "input[0]"),
        (json!({"content": "Hello"}), missing, "input[0].type"),
        (json!({"type": 7, "role": "user"}), kind, "input[0].type"),
        (json!({"type": "chat", "role": "user"}), value, "input[0].type"),
        (json!({"type": "mcp_call", "id": "mcp_1"}), "unsupported_parameter", "input[0].type"),
        (with(user("a"), "role", Value::Null), missing, "input[0].role"),
        (with(user("a"), "role", json!("tool")), value, "input[0].role"),
        (with(user("a"), "name", json!("Ann")), unknown, "input[0].name"),
        (with(user("a"), "content", Value::Null), missing, "input[0].content"),
        (json!({"role": "user", "content": null}), kind, "input[0].content"),
        (with(user("a"), "content", json!([])), "empty_array", "input[0].content"),
        (with(user("a"), "content", json!(["a"])), kind, "input[0].content[0]"),
        (with(user("a"), "status", json!("done")), value, "input[0].status"),
        (with(user("a"), "phase", json!("start")), value, "input[0].phase"),
        (with(user("a"), "id", json!("cti_1")), value, "input[0].id"),
        (with(user("a"), "id", json!(format!("msg_{}", "1".repeat(61)))), long, "input[0].id"),
        (part(json!({"text": "a"})), missing, "input[0].content[0].type"),
        (part(json!({"type": "text", "text": "a"})), value, "input[0].content[0].type"),
        (part(json!({"type": "input_text"})), missing, "input[0].content[0].text"),
        (part(json!({"type": "input_text", "text": 7})), kind, "input[0].content[0].text"),
        (part(json!({"type": "input_text", "text": "a", "id": "1"})), unknown, "input[0].content[0].id"),
        (part(json!({"type": "output_text", "text": "a"})), value, "input[0].content[0]"),
        (part(json!({"type": "input_image"})), value, "input[0].content[0].file_id"),
        (
            part(json!({"type": "input_image", "image_url": "https://a", "detail": "no"})),
            value,
            "input[0].content[0].detail",
        ),
        (
            part(json!({"type": "input_file", "file_id": "file_1", "file_url": "https://a"})),
            value,
            "input[0].content[0].file_data",
        ),
        (assistant(json!([{"type": "input_text", "text": "a"}])), value, "input[0].content[0]"),
        (assistant(json!([{"type": "refusal", "text": "a"}])), unknown, "input[0].content[0].text"),
        (annotated(json!({"url": "https://a"})), missing, "input[0].content[0].annotations[0].type"),
        (annotated(json!({"type": "link"})), value, "input[0].content[0].annotations[0].type"),
        (
            annotated(json!({"type": "url_citation", "url": "https://a", "start_index": 0, "end_index": 1})),
            missing,
            "input[0].content[0].annotations[0].title",
        ),
        (with(assistant(text.clone()), "role", json!("system")), value, "input[0].content[0]"),
        (with(call("c"), "call_id", Value::Null), missing, "input[0].call_id"),
        (with(call("c"), "call_id", json!("")), "empty_string", "input[0].call_id"),
        (with(call("c"), "call_id", json!("c".repeat(65))), long, "input[0].call_id"),
        (with(call("c"), "name", json!("list bills")), value, "input[0].name"),
        (with(call("c"), "arguments", json!({})), kind, "input[0].arguments"),
        (with(call("c"), "arguments", Value::Null), missing, "input[0].arguments"),
        (with(call("c"), "id", json!("call_1")), value, "input[0].id"),
        (with(call("c"), "status", json!("failed")), value, "input[0].status"),
        (with(output("c"), "call_id", Value::Null), missing, "input[0].call_id"),
        (with(output("c"), "output", Value::Null), missing, "input[0].output"),
        (with(output("c"), "output", json!({"bills": 12})), kind, "input[0].output"),
        (with(output("c"), "output", text), value, "input[0].output[0]"),
        (with(output("c"), "error", json!("e")), unknown, "input[0].error"),
        (with(reasoning.clone(), "id", Value::Null), missing, "input[0].id"),
        (with(reasoning.clone(), "id", json!("msg_1")), value, "input[0].id"),
        (with(reasoning.clone(), "summary", Value::Null), missing, "input[0].summary"),
        (with(reasoning.clone(), "summary", json!(["a"])), kind, "input[0].summary[0]"),
        (
            with(reasoning.clone(), "summary", json!([{"type": "text", "text": "a"}])),
            value,
            "input[0].summary[0].type",
        ),
        (with(reasoning, "status", json!("completed")), unknown, "input[0].status"),
        (json!({"type": "item_reference"}), missing, "input[0].id"),
    ];
    for (item, code, param) in rows {
        let case = item.to_string();
        check_rejection(&case, api.post(&body(json!([item]))), (400, Some(code), Some(param))).await?;
    }
    let wrong_role = assistant(json!([{"type": "input_text", "text": "a"}]));
    let error: Value = api.post(&body(json!([wrong_role]))).send().await?.json().await?;
    let expected = "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.";
    assert_eq!(error["error"]["message"], expected);
    Ok(())
}

#[tokio::test]
async fn unconnected_items_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let answer = || assistant(json!("Yes."));
    // "rs_1", encrypted.
    let valid = "gAAAAABcnNfMQ";
    let message = |id: &str| with(with(user("a"), "id", json!(id)), "status", json!("completed"));
    let not_found = "Item with id 'rs_2' not found. Items are not persisted when `store` is set to false.";
    let no_output = "No tool output found for function call c1.";
    let no_call = "No tool call found for function call output with call_id c1.";
    let alone = "Item 'rs_1' of type 'reasoning' was provided without its required following item.";
    let rows = [
        (vec![user("a"), call("c1")], 400, None, no_output),
        (vec![user("a"), call("c1"), user("b")], 400, None, no_output),
        (vec![call("c2"), call("c1"), output("c2")], 400, None, no_output),
        (
            vec![call("c1"), output("c2")],
            400,
            None,
            "No tool call found for function call output with call_id c2.",
        ),
        (vec![user("a"), output("c1")], 400, None, no_call),
        (vec![output("c1"), call("c1")], 400, None, no_call),
        (vec![call("c1"), call("c1"), output("c1")], 400, None, "Duplicate 'call_id': c1."),
        (vec![call("c1"), output("c1"), call("c1"), output("c1")], 400, None, "Duplicate 'call_id': c1."),
        (vec![call("c1"), output("c1"), output("c1")], 400, None, "Duplicate output for 'call_id': c1."),
        (vec![message("msg_1"), message("msg_1")], 400, None, "Duplicate item found with id msg_1."),
        (vec![reasoning(valid)], 400, None, alone),
        (vec![reasoning(valid), user("a")], 400, None, alone),
        (
            vec![with(reasoning(valid), "encrypted_content", Value::Null), answer()],
            404,
            None,
            "Item with id 'rs_1' not found.",
        ),
        (vec![json!({"type": "reasoning", "id": "rs_2", "summary": []}), answer()], 404, None, not_found),
        (vec![json!({"type": "item_reference", "id": "rs_2"})], 404, None, not_found),
        (
            vec![reasoning("gAAAAABxxxx"), answer()],
            400,
            Some("invalid_encrypted_content"),
            "The encrypted content for item rs_1 could not be verified.",
        ),
        (
            vec![reasoning("rs_1"), answer()],
            400,
            Some("invalid_encrypted_content"),
            "The encrypted content for item rs_1",
        ),
    ];
    for (items, status, code, expected) in rows {
        let case = json!(items).to_string();
        let param = if code.is_some() { None } else { Some("input") };
        let message = check_rejection(&case, api.post(&body(items)), (status, code, param)).await?;
        ensure!(message.starts_with(expected), "{case}: expected {expected}, found {message}");
    }
    for items in [
        vec![call("c1"), call("c2"), output("c2"), output("c1"), user("b")],
        vec![reasoning(valid), answer(), user("b")],
        vec![with(reasoning(valid), "id", Value::Null), call("c1"), output("c1")],
    ] {
        api.create(&body(items)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn previous_response_is_found_only_if_stored() -> Result<()> {
    let api = Api::start().await?;
    let with_previous = |input: Value, previous: &Value| {
        let mut body = body(input);
        body["previous_response_id"] = previous["id"].clone();
        body
    };
    let mut not_stored = body("Hello");
    not_stored["store"] = json!(false);
    let not_stored = api.create(&not_stored).await?;
    let expected = (400, Some("previous_response_not_found"), Some("previous_response_id"));
    check_rejection("not stored", api.post(&with_previous(json!("a"), &not_stored)), expected).await?;

    let stored = api.create(&body("Hello")).await?;
    let response = api.create(&with_previous(json!("How are you?"), &stored)).await?;
    assert_eq!(response["previous_response_id"], stored["id"]);
    assert!(response["usage"]["input_tokens"].as_u64() > stored["usage"]["input_tokens"].as_u64());

    // The calls of the previous response are part of the context.
    api.fake.script(Script::new().reasoning(["Looking"]).function_call("list_bills", &json!({})));
    let called = api.create(&body("What do we owe?")).await?;
    let call = called["output"][1].clone();
    let call_id = call["call_id"].as_str().context("no call")?.to_owned();
    let message =
        check_rejection("open", api.post(&with_previous(json!("a"), &called)), (400, None, Some("input")))
            .await?;
    assert_eq!(message, format!("No tool output found for function call {call_id}."));
    api.create(&with_previous(json!([output(&call_id)]), &called)).await?;

    // A stored call belongs to its reasoning.
    let reasoning = called["output"][0].clone();
    let alone = json!([user("a"), call, output(&call_id)]);
    let message = check_rejection("alone", api.post(&body(alone)), (400, None, Some("input"))).await?;
    ensure!(message.contains("was provided without its required 'reasoning' item"), "{message}");
    api.create(&body(json!([user("a"), reasoning, call, output(&call_id)]))).await?;
    Ok(())
}
