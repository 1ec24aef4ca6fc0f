//! The request body: validation of every parameter.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::conversation;
use super::error::ApiError;
use super::fields::{Fields, check_length, missing, wrong_type, wrong_value};
use super::items::{MAX_TEXT_LENGTH, check_item};
use super::settings::{EFFORTS, Model};
use super::state::State;
use super::tokens;
use super::tools::{check_tool_choice, check_tools};

/// The parameters that the fake simulates.
const SIMULATED: [&str; 25] = [
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// The other parameters of OpenAI.
const OTHERS: [&str; 9] = [
    "access_programs",
    "background",
    "background_options",
    "context_management",
    "conversation",
    "image",
    "moderation",
    "prompt",
    "prompt_cache_options",
];

/// Parameters in which null is not the same as no value.
const NOT_NULL: [&str; 5] = ["input", "model", "text", "tool_choice", "tools"];

const INCLUDABLE: [&str; 8] = [
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
];

const SERVICE_TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

const MIN_OUTPUT_TOKENS: u64 = 16;
const MAX_METADATA_PAIRS: usize = 16;
const MAX_METADATA_KEY_LENGTH: usize = 64;
const MAX_METADATA_VALUE_LENGTH: usize = 512;
/// OpenAI's documentation named 64 until 2026.
const MAX_SAFETY_IDENTIFIER_LENGTH: usize = 128;
const MAX_CACHE_KEY_LENGTH: usize = 64;

/// A valid request.
#[derive(Debug, Clone)]
pub(super) struct NewResponse {
    pub(super) stream: bool,
    pub(super) store: bool,
    /// Whether deltas are padded, so that their sizes reveal nothing.
    pub(super) obfuscate: bool,
    pub(super) encrypt_reasoning: bool,
    pub(super) summarize_reasoning: bool,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) input_tokens: u64,
    /// Whether the input exceeds the context, and the stream reports it.
    pub(super) overflows: bool,
    /// The items of the previous response and of this request.
    pub(super) context: Vec<Value>,
    /// The parameters as sent.
    pub(super) body: Map<String, Value>,
}

impl NewResponse {
    pub(super) fn parse(value: &Value, state: &State) -> Result<Self, ApiError> {
        let known: Vec<&str> = SIMULATED.into_iter().chain(OTHERS).collect();
        let body = Fields::parse("", value, &known)?;
        body.check_not_null(&NOT_NULL)?;
        let model = model(&body, state)?;
        body.check_simulated(&OTHERS)?;
        let stream = body.boolean("stream")?.unwrap_or(false);
        let obfuscate = check_stream_options(&body, stream)?;
        let encrypt_reasoning = check_include(&body, model)?;
        let summarize_reasoning = check_reasoning(&body, model)?;
        check_sampling(&body, model)?;
        check_metadata(&body)?;
        check_text(&body)?;
        let functions = check_tools(&body)?;
        check_tool_choice(&body, &functions)?;
        body.boolean("parallel_tool_calls")?;
        body.integer("max_tool_calls", 1, u64::MAX)?;
        body.short_string("instructions", MAX_TEXT_LENGTH)?;
        body.short_string("safety_identifier", MAX_SAFETY_IDENTIFIER_LENGTH)?;
        body.short_string("prompt_cache_key", MAX_CACHE_KEY_LENGTH)?;
        body.one_of("prompt_cache_retention", &["in_memory", "24h"])?;
        body.one_of("service_tier", &SERVICE_TIERS)?;
        body.string("user")?;
        let max_output_tokens = body.integer("max_output_tokens", MIN_OUTPUT_TOKENS, u64::MAX)?;
        let store = body.boolean("store")?.unwrap_or(true);
        let input = input(&body)?;
        let previous = previous(&body, state)?;
        conversation::check(previous, &input, &state.stored_items)?;

        let context: Vec<Value> = previous.iter().cloned().chain(input).collect();
        let counted = ["instructions", "tools"].map(|name| body.get(name).map_or(0, tokens::count_value));
        let context_tokens = context.iter().map(tokens::count_value).sum::<u64>();
        let input_tokens = counted.iter().sum::<u64>() + context_tokens;
        let truncates = body.one_of("truncation", &["auto", "disabled"])? == Some("auto");
        let overflows = input_tokens > model.context_tokens && !truncates;
        if overflows && !(stream && state.settings.reports_overflow_in_stream) {
            return Err(context_overflow());
        }
        Ok(Self {
            stream,
            store,
            obfuscate,
            encrypt_reasoning,
            summarize_reasoning,
            max_output_tokens,
            input_tokens: input_tokens.min(model.context_tokens),
            overflows,
            context,
            body: value.as_object().cloned().unwrap_or_default(),
        })
    }
}

/// 400 for an input that is longer than the model's context.
pub(super) fn context_overflow() -> ApiError {
    let message =
        "Your input exceeds the context window of this model. Please adjust your input and try again.";
    ApiError::parameter("input", "context_length_exceeded", message)
}

fn model<'a>(body: &Fields<'_>, state: &'a State) -> Result<&'a Model, ApiError> {
    let id = body.required_string("model")?;
    state.settings.models.iter().find(|model| model.id == id).ok_or_else(|| {
        let status = state.settings.unknown_model_status;
        let message = match status {
            StatusCode::NOT_FOUND => {
                format!("The model `{id}` does not exist or you do not have access to it.")
            }
            _ => format!("The requested model '{id}' does not exist."),
        };
        ApiError::new(status, Some("model_not_found"), message).with_param("model")
    })
}

/// Returns the input as items.
fn input(body: &Fields<'_>) -> Result<Vec<Value>, ApiError> {
    match body.get("input") {
        None => Err(missing("input")),
        Some(Value::String(text)) => {
            check_length("input", text, MAX_TEXT_LENGTH)?;
            Ok(vec![json!({"type": "message", "role": "user", "content": text})])
        }
        Some(Value::Array(items)) if items.is_empty() => {
            let message = "Invalid 'input': empty array. Expected an array with minimum length 1, but got an \
                           empty array instead.";
            Err(ApiError::parameter("input", "empty_array", message))
        }
        Some(Value::Array(items)) => {
            let mut numbered = items.iter().enumerate();
            numbered.try_for_each(|(i, item)| check_item(&format!("input[{i}]"), item))?;
            Ok(items.clone())
        }
        Some(other) => Err(wrong_type("input", "one of a string or array", other)),
    }
}

fn previous<'a>(body: &Fields<'_>, state: &'a State) -> Result<&'a [Value], ApiError> {
    let Some(id) = body.string("previous_response_id")? else { return Ok(&[]) };
    let path = "previous_response_id";
    if !id.starts_with("resp") {
        let message = format!("Invalid '{path}': '{id}'. Expected an ID that begins with 'resp'.");
        return Err(ApiError::parameter(path, "invalid_value", message));
    }
    state.stored_responses.get(id).map(Vec::as_slice).ok_or_else(|| {
        let message = format!("Previous response with id '{id}' not found.");
        ApiError::parameter(path, "previous_response_not_found", message)
    })
}

fn check_stream_options(body: &Fields<'_>, stream: bool) -> Result<bool, ApiError> {
    let Some(options) = body.object("stream_options", &["include_obfuscation"])? else { return Ok(stream) };
    if !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ApiError::parameter("stream_options", "invalid_value", message));
    }
    Ok(options.boolean("include_obfuscation")?.unwrap_or(true))
}

/// Returns whether reasoning items contain encrypted content.
fn check_include(body: &Fields<'_>, model: &Model) -> Result<bool, ApiError> {
    let mut encrypted = false;
    for (i, value) in body.array("include")?.into_iter().flatten().enumerate() {
        let path = format!("include[{i}]");
        match value {
            Value::String(name) if !INCLUDABLE.contains(&name.as_str()) => {
                return Err(wrong_value(&path, name, &INCLUDABLE));
            }
            Value::String(name) => encrypted |= name == "reasoning.encrypted_content",
            other => return Err(wrong_type(&path, "a string", other)),
        }
    }
    if encrypted && !model.reasons() {
        let message = "Encrypted content is not supported with this model.";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, None, message).with_param("include"));
    }
    Ok(encrypted)
}

/// Returns whether the request asks for a summary of the reasoning.
fn check_reasoning(body: &Fields<'_>, model: &Model) -> Result<bool, ApiError> {
    let known = ["effort", "summary", "generate_summary", "context", "mode"];
    let Some(reasoning) = body.object("reasoning", &known)? else { return Ok(false) };
    let levels = ["auto", "concise", "detailed"];
    let effort = reasoning.one_of("effort", &EFFORTS)?;
    let summary = reasoning.one_of("summary", &levels)?;
    let deprecated = reasoning.one_of("generate_summary", &levels)?;
    reasoning.one_of("context", &["auto", "current_turn", "all_turns"])?;
    reasoning.string("mode")?;
    if !model.reasons()
        && let Some((name, _)) = [("effort", effort), ("summary", summary)].iter().find(|(_, v)| v.is_some())
    {
        return Err(unsupported(&format!("reasoning.{name}")));
    }
    match effort {
        Some(effort) if !model.efforts.contains(&effort) => {
            let message =
                format!("Unsupported value: '{effort}' is not supported with the '{}' model.", model.id);
            Err(ApiError::parameter("reasoning.effort", "unsupported_value", message))
        }
        _ => Ok(summary.or(deprecated).is_some()),
    }
}

fn unsupported(path: &str) -> ApiError {
    let message = format!("Unsupported parameter: '{path}' is not supported with this model.");
    ApiError::parameter(path, "unsupported_parameter", message)
}

/// A reasoning model accepts sampling parameters only without reasoning.
fn check_sampling(body: &Fields<'_>, model: &Model) -> Result<(), ApiError> {
    let samples = [
        ("temperature", body.decimal("temperature", 2.0)?.is_some()),
        ("top_p", body.decimal("top_p", 1.0)?.is_some()),
        ("top_logprobs", body.integer("top_logprobs", 0, 20)?.is_some_and(|count| count > 0)),
    ];
    let without_reasoning = body.get("reasoning").is_some_and(|reasoning| reasoning["effort"] == "none");
    match samples.iter().find(|(_, is_set)| *is_set) {
        Some((name, _)) if model.reasons() && !without_reasoning => Err(unsupported(name)),
        _ => Ok(()),
    }
}

fn check_metadata(body: &Fields<'_>) -> Result<(), ApiError> {
    let Some(metadata) = body.map("metadata")? else { return Ok(()) };
    if metadata.len() > MAX_METADATA_PAIRS {
        let message = format!(
            "Invalid 'metadata': too many properties. Expected an object with at most {MAX_METADATA_PAIRS} \
             properties, but got an object with {} properties instead.",
            metadata.len()
        );
        return Err(ApiError::parameter("metadata", "object_above_max_properties", message));
    }
    for (name, value) in metadata {
        check_length("metadata", name, MAX_METADATA_KEY_LENGTH)?;
        let path = format!("metadata.{name}");
        let Value::String(text) = value else { return Err(wrong_type(&path, "a string", value)) };
        check_length(&path, text, MAX_METADATA_VALUE_LENGTH)?;
    }
    Ok(())
}

fn check_text(body: &Fields<'_>) -> Result<(), ApiError> {
    let Some(text) = body.object("text", &["format", "verbosity"])? else { return Ok(()) };
    text.one_of("verbosity", &["low", "medium", "high"])?;
    let known = ["type", "name", "schema", "description", "strict"];
    let Some(format) = text.object("format", &known)? else { return Ok(()) };
    format.required_string("type")?;
    if format.one_of("type", &["text", "json_object", "json_schema"])? == Some("json_schema") {
        super::fields::check_function_name(&format.path("name"), format.required_string("name")?)?;
        format.required("schema")?;
        format.map("schema")?;
        format.boolean("strict")?;
    }
    Ok(())
}
