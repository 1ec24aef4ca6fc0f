//! The response object, as it is before the answer.

use serde_json::{Map, Value, json};

use super::parameters::NewResponse;
use super::settings::Model;

/// Returns the response of a request: its parameters with OpenAI's defaults, and no output.
pub(super) fn begin(new: &NewResponse, model: &Model, id: &str, created_at: u64) -> Map<String, Value> {
    let sent = |name: &str| new.body.get(name).cloned().unwrap_or(Value::Null);
    let or = |name: &str, default: Value| {
        let value = sent(name);
        if value.is_null() { default } else { value }
    };
    let (effort, summary) = (&sent("reasoning")["effort"], &sent("reasoning")["summary"]);
    let default_effort = if model.reasons() { json!("medium") } else { Value::Null };
    let effort = if effort.is_null() { &default_effort } else { effort };
    let (format, verbosity) = (&sent("text")["format"], &sent("text")["verbosity"]);
    let (plain, medium) = (json!({"type": "text"}), json!("medium"));
    let response = json!({
        "id": id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "background": false,
        "completed_at": null,
        "error": null,
        "incomplete_details": null,
        "instructions": sent("instructions"),
        "max_output_tokens": sent("max_output_tokens"),
        "max_tool_calls": sent("max_tool_calls"),
        "metadata": or("metadata", json!({})),
        "model": model.id,
        "output": [],
        "parallel_tool_calls": or("parallel_tool_calls", json!(true)),
        "previous_response_id": sent("previous_response_id"),
        "prompt_cache_key": sent("prompt_cache_key"),
        "prompt_cache_retention": sent("prompt_cache_retention"),
        "reasoning": {"effort": effort, "summary": summary},
        "safety_identifier": sent("safety_identifier"),
        "service_tier": or("service_tier", json!("auto")),
        "store": new.store,
        "temperature": or("temperature", json!(1.0)),
        "text": {
            "format": if format.is_null() { &plain } else { format },
            "verbosity": if verbosity.is_null() { &medium } else { verbosity },
        },
        "tool_choice": or("tool_choice", json!("auto")),
        "tools": sent("tools").as_array().into_iter().flatten().map(tool).collect::<Vec<_>>(),
        "top_logprobs": or("top_logprobs", json!(0)),
        "top_p": or("top_p", json!(1.0)),
        "truncation": or("truncation", json!("disabled")),
        "usage": null,
        "user": sent("user"),
    });
    match response {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A function with OpenAI's defaults.
fn tool(sent: &Value) -> Value {
    json!({
        "type": "function",
        "name": sent["name"],
        "description": sent["description"],
        "parameters": sent["parameters"],
        "strict": sent["strict"].as_bool().unwrap_or(true),
    })
}
