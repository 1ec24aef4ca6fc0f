//! The parameters `tools` and `tool_choice`: functions with strict schemas.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::{Fields, check_function_name, join, wrong_type, wrong_value};

/// The other types of tools at OpenAI.
const HOSTED: [&str; 16] = [
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "namespace",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_preview",
    "web_search_2025_08_26",
];

/// Validates the tools and returns the names of the functions.
pub(super) fn check_tools<'a>(body: &Fields<'a>) -> Result<HashSet<&'a str>, ApiError> {
    let mut names = HashSet::new();
    for (i, tool) in body.array("tools")?.into_iter().flatten().enumerate() {
        let path = format!("tools[{i}]");
        let name = check_tool(&path, tool)?;
        if !names.insert(name) {
            let message = format!("Invalid 'tools': the name '{name}' is used by more than one tool.");
            return Err(ApiError::parameter(&join(&path, "name"), "invalid_value", message));
        }
    }
    Ok(names)
}

fn check_tool<'a>(path: &str, tool: &'a Value) -> Result<&'a str, ApiError> {
    let known = ["type", "name", "description", "parameters", "strict"];
    let Value::Object(map) = tool else { return Err(wrong_type(path, "an object", tool)) };
    match map.get("type").and_then(Value::as_str) {
        Some("function") | None => {}
        Some(kind) if HOSTED.contains(&kind) => return Err(ApiError::not_simulated(&join(path, "type"))),
        Some(kind) => return Err(wrong_value(&join(path, "type"), kind, &["function"])),
    }
    let tool = Fields::parse(path, tool, &known)?;
    tool.required_string("type")?;
    let name = tool.required_string("name")?;
    check_function_name(&tool.path("name"), name)?;
    tool.string("description")?;
    let strict = tool.boolean("strict")?.unwrap_or(false);
    if let Some(parameters) = tool.map("parameters")? {
        check_schema(&tool.path("parameters"), name, parameters, strict)?;
    } else if strict {
        return Err(invalid_schema(&tool.path("parameters"), name, "a strict function needs a schema"));
    }
    Ok(name)
}

fn invalid_schema(path: &str, name: &str, why: &str) -> ApiError {
    let message = format!("Invalid schema for function '{name}': {why}.");
    ApiError::parameter(path, "invalid_function_parameters", message)
}

fn check_schema(path: &str, name: &str, schema: &Map<String, Value>, strict: bool) -> Result<(), ApiError> {
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or("None");
    if kind != "object" {
        let why = format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'");
        return Err(invalid_schema(path, name, &why));
    }
    if strict { check_strict(path, name, "()", schema) } else { Ok(()) }
}

/// Every object of a strict schema lists all its properties as required and allows no others.
fn check_strict(path: &str, name: &str, context: &str, schema: &Map<String, Value>) -> Result<(), ApiError> {
    let children = |key: &str| schema.get(key).and_then(Value::as_object);
    if let Some(properties) = children("properties") {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            let why = format!(
                "In context={context}, 'additionalProperties' is required to be supplied and to be false"
            );
            return Err(invalid_schema(path, name, &why));
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |key: &str| required.into_iter().flatten().any(|name| name == key);
        if let Some(key) = properties.keys().find(|key| !is_required(key)) {
            let why = format!(
                "In context={context}, 'required' is required to be supplied and to be an array including \
                 every key in properties. Missing '{key}'"
            );
            return Err(invalid_schema(path, name, &why));
        }
        for (key, child) in properties {
            if let Value::Object(child) = child {
                check_strict(path, name, &format!("('properties', '{key}')"), child)?;
            }
        }
    }
    match children("items") {
        Some(items) => check_strict(path, name, "('items',)", items),
        None => Ok(()),
    }
}

/// Validates `tool_choice` against the functions.
pub(super) fn check_tool_choice(body: &Fields<'_>, functions: &HashSet<&str>) -> Result<(), ApiError> {
    let Some(choice) = body.get("tool_choice") else { return Ok(()) };
    let path = "tool_choice";
    let not_found = |name: &str| {
        let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
        ApiError::parameter(path, "invalid_value", message)
    };
    match choice {
        Value::String(mode) => match mode.as_str() {
            "none" | "auto" => Ok(()),
            "required" if functions.is_empty() => {
                let message =
                    "Tool choices other than 'auto' and 'none' are only allowed when 'tools' are specified.";
                Err(ApiError::parameter(path, "invalid_value", message))
            }
            "required" => Ok(()),
            other => Err(wrong_value(path, other, &["none", "auto", "required"])),
        },
        Value::Object(map) if map.get("type").is_some_and(|kind| kind == "allowed_tools") => {
            let choice = Fields::parse(path, choice, &["type", "mode", "tools"])?;
            choice.required_string("mode")?;
            choice.one_of("mode", &["auto", "required"])?;
            for (i, tool) in choice.array("tools")?.into_iter().flatten().enumerate() {
                let tool = Fields::parse(&format!("{path}.tools[{i}]"), tool, &["type", "name"])?;
                let name = tool.required_string("name")?;
                functions.contains(name).then_some(()).ok_or_else(|| not_found(name))?;
            }
            Ok(())
        }
        Value::Object(map) if map.get("type").is_some_and(|kind| kind == "function") => {
            let name = Fields::parse(path, choice, &["type", "name"])?.required_string("name")?;
            functions.contains(name).then_some(()).ok_or_else(|| not_found(name))
        }
        Value::Object(_) => Err(ApiError::not_simulated(path)),
        other => Err(wrong_type(path, "a string or an object", other)),
    }
}
