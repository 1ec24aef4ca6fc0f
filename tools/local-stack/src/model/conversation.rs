//! The rules that connect input items: calls and outputs, reasoning and answers, ids.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use serde_json::Value;

use super::error::ApiError;

/// The stored items by id, each with the id of the reasoning item before it.
pub(super) type StoredItems = HashMap<String, Option<String>>;

/// Validates the items of a request together. `previous` are those of the previous response.
pub(super) fn check(previous: &[Value], input: &[Value], stored: &StoredItems) -> Result<(), ApiError> {
    check_ids(previous, input, stored)?;
    check_reasoning(input, stored)?;
    let items: Vec<&Value> = previous.iter().chain(input).collect();
    check_calls(&items)
}

fn kind(item: &Value) -> &str {
    item["type"].as_str().unwrap_or("message")
}

fn id(item: &Value) -> Option<&str> {
    item["id"].as_str()
}

fn check_ids(previous: &[Value], input: &[Value], stored: &StoredItems) -> Result<(), ApiError> {
    let mut seen: HashSet<&str> = previous.iter().filter_map(id).collect();
    for item in input {
        let Some(id) = id(item) else { continue };
        if !seen.insert(id) {
            return Err(ApiError::input(format!(
                "Duplicate item found with id {id}. Remove duplicate items from your input and try again."
            )));
        }
        let is_inline = match kind(item) {
            "item_reference" => false,
            "reasoning" => item["encrypted_content"].is_string(),
            _ => true,
        };
        if !is_inline && !stored.contains_key(id) {
            let message = format!(
                "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try \
                 again with `store` set to true, or remove this item from your input."
            );
            return Err(ApiError::new(StatusCode::NOT_FOUND, None, message).with_param("input"));
        }
    }
    Ok(())
}

/// A reasoning item belongs to the item after it, and a stored item to the reasoning before it.
fn check_reasoning(input: &[Value], stored: &StoredItems) -> Result<(), ApiError> {
    for (i, item) in input.iter().enumerate() {
        if kind(item) == "reasoning" {
            let next = input[i + 1..].iter().find(|next| kind(next) != "reasoning");
            let is_answer = next.is_some_and(|next| match kind(next) {
                "message" => next["role"] == "assistant",
                kind => kind == "function_call" || kind == "item_reference",
            });
            if !is_answer {
                let id = id(item).map_or_else(|| format!("input[{i}]"), str::to_owned);
                return Err(ApiError::input(format!(
                    "Item '{id}' of type 'reasoning' was provided without its required following item."
                )));
            }
        }
        if let Some(id) = id(item)
            && let Some(Some(reasoning)) = stored.get(id)
            && !input[..i].iter().any(|before| before["id"] == reasoning.as_str())
        {
            return Err(ApiError::input(format!(
                "Item '{id}' of type '{}' was provided without its required 'reasoning' item: '{reasoning}'.",
                kind(item)
            )));
        }
    }
    Ok(())
}

/// Every call has one output after it, and every output a call before it.
fn check_calls(items: &[&Value]) -> Result<(), ApiError> {
    let call_id = |item: &Value| item["call_id"].as_str().unwrap_or_default().to_owned();
    let (mut open, mut answered) = (Vec::new(), HashSet::new());
    for item in items {
        let call_id = call_id(item);
        match kind(item) {
            "function_call" => {
                if open.contains(&call_id) || answered.contains(&call_id) {
                    return Err(ApiError::input(format!("Duplicate 'call_id': {call_id}.")));
                }
                open.push(call_id);
            }
            "function_call_output" => {
                let before = open.len();
                open.retain(|open| *open != call_id);
                if answered.contains(&call_id) {
                    return Err(ApiError::input(format!("Duplicate output for 'call_id': {call_id}.")));
                }
                if open.len() == before {
                    return Err(ApiError::input(format!(
                        "No tool call found for function call output with call_id {call_id}."
                    )));
                }
                answered.insert(call_id);
            }
            _ => {}
        }
    }
    match open.first() {
        Some(call_id) => Err(ApiError::input(format!("No tool output found for function call {call_id}."))),
        None => Ok(()),
    }
}
