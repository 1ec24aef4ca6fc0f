//! The shape of each input item.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::error::ApiError;
use super::fields::{Fields, check_function_name, join, missing, wrong_type, wrong_value};

/// The item types that the fake simulates.
const SIMULATED: [&str; 5] =
    ["message", "function_call", "function_call_output", "reasoning", "item_reference"];

/// The other item types at OpenAI.
const OTHERS: [&str; 25] = [
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

const ROLES: [&str; 4] = ["assistant", "system", "developer", "user"];
const STATUSES: [&str; 3] = ["in_progress", "completed", "incomplete"];
const PHASES: [&str; 2] = ["commentary", "final_answer"];

/// The content types of the user, the system and the developer.
const INPUT_PARTS: [&str; 3] = ["input_text", "input_image", "input_file"];
/// The content types of the assistant.
const OUTPUT_PARTS: [&str; 2] = ["output_text", "refusal"];
const PARTS: [&str; 5] = ["input_text", "input_image", "output_text", "refusal", "input_file"];

/// The most characters of an id.
const MAX_ID_LENGTH: usize = 64;
/// The most characters of a text.
pub(super) const MAX_TEXT_LENGTH: usize = 10_485_760;

/// Encrypted content begins with it.
const ENCRYPTED_PREFIX: &str = "gAAAAAB";

/// Returns the encrypted content of a reasoning item.
pub(super) fn encrypted_content(reasoning_id: &str) -> String {
    format!("{ENCRYPTED_PREFIX}{}", URL_SAFE_NO_PAD.encode(reasoning_id))
}

pub(super) fn check_item(path: &str, item: &Value) -> Result<(), ApiError> {
    let Value::Object(map) = item else { return Err(wrong_type(path, "an object", item)) };
    let kind = match map.get("type") {
        // Only a message can be without a type.
        None if map.contains_key("role") => "message",
        None => return Err(missing(&join(path, "type"))),
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(wrong_type(&join(path, "type"), "a string", other)),
    };
    match kind {
        "message" => check_message(path, item),
        "function_call" => check_call(path, item),
        "function_call_output" => check_output(path, item),
        "reasoning" => check_reasoning(path, item),
        "item_reference" => {
            let item = Fields::parse(path, item, &["type", "id"])?;
            item.required_short_string("id", MAX_ID_LENGTH).map(|_| ())
        }
        kind if OTHERS.contains(&kind) => Err(ApiError::not_simulated(&join(path, "type"))),
        kind => Err(wrong_value(&join(path, "type"), kind, &SIMULATED)),
    }
}

/// Validates an id that OpenAI assigned, for example `msg_…`.
fn check_id(item: &Fields<'_>, prefix: &str) -> Result<(), ApiError> {
    let Some(id) = item.short_string("id", MAX_ID_LENGTH)? else { return Ok(()) };
    if !id.starts_with(prefix) {
        let path = item.path("id");
        let message = format!("Invalid '{path}': '{id}'. Expected an ID that begins with '{prefix}'.");
        return Err(ApiError::parameter(&path, "invalid_value", message));
    }
    Ok(())
}

fn check_message(path: &str, item: &Value) -> Result<(), ApiError> {
    let item = Fields::parse(path, item, &["type", "id", "role", "status", "phase", "content"])?;
    item.required_string("role")?;
    let role = item.one_of("role", &ROLES)?.unwrap_or_default();
    item.one_of("status", &STATUSES)?;
    item.one_of("phase", &PHASES)?;
    check_id(&item, "msg")?;
    let supported: &[&str] = if role == "assistant" { &OUTPUT_PARTS } else { &INPUT_PARTS };
    check_content(&item, "content", supported)
}

/// Validates a string or an array of content parts.
fn check_content(item: &Fields<'_>, name: &str, supported: &[&str]) -> Result<(), ApiError> {
    let path = item.path(name);
    match item.required(name)? {
        Value::String(text) => super::fields::check_length(&path, text, MAX_TEXT_LENGTH),
        Value::Array(parts) if parts.is_empty() => {
            let message = format!(
                "Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty \
                 array instead."
            );
            Err(ApiError::parameter(&path, "empty_array", message))
        }
        Value::Array(parts) => {
            let mut parts = parts.iter().enumerate();
            parts.try_for_each(|(i, part)| check_part(&format!("{path}[{i}]"), part, supported))
        }
        other => Err(wrong_type(&path, "one of an array of objects or string", other)),
    }
}

fn check_part(path: &str, part: &Value, supported: &[&str]) -> Result<(), ApiError> {
    let Value::Object(map) = part else { return Err(wrong_type(path, "an object", part)) };
    let kind_path = join(path, "type");
    let kind = match map.get("type") {
        None => return Err(missing(&kind_path)),
        Some(Value::String(kind)) if !PARTS.contains(&kind.as_str()) => {
            return Err(wrong_value(&kind_path, kind, &PARTS));
        }
        // A type of another role.
        Some(Value::String(kind)) if !supported.contains(&kind.as_str()) => {
            return Err(wrong_value(path, kind, supported));
        }
        Some(Value::String(kind)) => kind.as_str(),
        Some(other) => return Err(wrong_type(&kind_path, "a string", other)),
    };
    match kind {
        "input_text" => text_part(path, part, "text", &["type", "text"]),
        "refusal" => text_part(path, part, "refusal", &["type", "refusal"]),
        "output_text" => {
            text_part(path, part, "text", &["type", "text", "annotations", "logprobs"])?;
            check_annotations(&Fields::parse(path, part, &["type", "text", "annotations", "logprobs"])?)
        }
        "input_image" => {
            let part = Fields::parse(path, part, &["type", "detail", "file_id", "image_url"])?;
            part.one_of("detail", &["low", "high", "auto", "original"])?;
            one_source(&part, &["file_id", "image_url"])
        }
        _ => {
            let known = ["type", "detail", "file_data", "file_id", "file_url", "filename"];
            let part = Fields::parse(path, part, &known)?;
            part.string("filename")?;
            one_source(&part, &["file_data", "file_id", "file_url"])
        }
    }
}

fn text_part(path: &str, part: &Value, name: &str, known: &[&str]) -> Result<(), ApiError> {
    let part = Fields::parse(path, part, known)?;
    super::fields::check_length(&part.path(name), part.required_string(name)?, MAX_TEXT_LENGTH)
}

/// An image or a file has exactly one source.
fn one_source(part: &Fields<'_>, names: &[&str]) -> Result<(), ApiError> {
    let mut count = 0;
    for name in names {
        count += usize::from(part.string(name)?.is_some());
    }
    match count {
        1 => Ok(()),
        _ => {
            let message = format!("Provide exactly one of {}.", names.join(", "));
            Err(ApiError::parameter(&part.path(names[0]), "invalid_value", message))
        }
    }
}

fn check_annotations(part: &Fields<'_>) -> Result<(), ApiError> {
    for (i, annotation) in part.array("annotations")?.into_iter().flatten().enumerate() {
        let path = format!("{}[{i}]", part.path("annotations"));
        let (known, strings, numbers): (&[&str], &[&str], &[&str]) = match annotation["type"].as_str() {
            Some("url_citation") => (
                &["type", "url", "title", "start_index", "end_index"],
                &["url", "title"],
                &["start_index", "end_index"],
            ),
            Some("file_citation") => {
                (&["type", "file_id", "filename", "index"], &["file_id", "filename"], &["index"])
            }
            Some("file_path") => (&["type", "file_id", "index"], &["file_id"], &["index"]),
            Some("container_file_citation") => (
                &["type", "container_id", "file_id", "filename", "start_index", "end_index"],
                &["container_id", "file_id", "filename"],
                &["start_index", "end_index"],
            ),
            Some(other) => {
                let supported = ["url_citation", "file_citation", "file_path", "container_file_citation"];
                return Err(wrong_value(&join(&path, "type"), other, &supported));
            }
            None => return Err(missing(&join(&path, "type"))),
        };
        let annotation = Fields::parse(&path, annotation, known)?;
        for name in strings {
            annotation.required_string(name)?;
        }
        for name in numbers {
            annotation.required(name)?;
            annotation.integer(name, 0, u64::MAX)?;
        }
    }
    Ok(())
}

fn check_call(path: &str, item: &Value) -> Result<(), ApiError> {
    let item = Fields::parse(path, item, &["type", "id", "call_id", "name", "arguments", "status"])?;
    check_id(&item, "fc")?;
    item.required_short_string("call_id", MAX_ID_LENGTH)?;
    check_function_name(&item.path("name"), item.required_string("name")?)?;
    item.required_string("arguments")?;
    item.one_of("status", &STATUSES).map(|_| ())
}

fn check_output(path: &str, item: &Value) -> Result<(), ApiError> {
    let item = Fields::parse(path, item, &["type", "id", "call_id", "output", "status"])?;
    check_id(&item, "fc")?;
    item.required_short_string("call_id", MAX_ID_LENGTH)?;
    item.one_of("status", &STATUSES)?;
    check_content(&item, "output", &INPUT_PARTS)
}

/// OpenAI returns `status` in a reasoning item, but does not accept it.
fn check_reasoning(path: &str, item: &Value) -> Result<(), ApiError> {
    let item = Fields::parse(path, item, &["type", "id", "summary", "content", "encrypted_content"])?;
    check_id(&item, "rs")?;
    item.required("summary")?;
    for (name, kind) in [("summary", "summary_text"), ("content", "reasoning_text")] {
        for (i, part) in item.array(name)?.into_iter().flatten().enumerate() {
            let part = Fields::parse(&format!("{}[{i}]", item.path(name)), part, &["type", "text"])?;
            part.required_string("type")?;
            part.one_of("type", &[kind])?;
            part.required_string("text")?;
        }
    }
    let id = item.string("id")?;
    let Some(content) = item.string("encrypted_content")? else {
        return id.map(|_| ()).ok_or_else(|| missing(&item.path("id")));
    };
    let decrypted = content.strip_prefix(ENCRYPTED_PREFIX).and_then(|c| URL_SAFE_NO_PAD.decode(c).ok());
    match decrypted {
        Some(decrypted) if id.is_none_or(|id| id.as_bytes() == decrypted) => Ok(()),
        _ => {
            let message =
                format!("The encrypted content for item {} could not be verified.", id.unwrap_or(path));
            Err(ApiError::new(StatusCode::BAD_REQUEST, Some("invalid_encrypted_content"), message))
        }
    }
}
