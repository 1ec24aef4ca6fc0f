//! The input of the model, built from the items of a thread.
//!
//! The agent's instructions are a field of their own in the request, so no text of a user, a tool
//! or a page is a part of them. Texts that the user did not write are marked ([`context`]).

mod calls;
mod context;
#[cfg(test)]
mod tests;
mod title;

use serde::Deserialize;
use serde_json::{Value, json};

use calls::Calls;
use context::{context_message, structured_input, tags};

pub use title::title;

/// An item of a thread as it is stored, visible or hidden.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StoredItem {
    /// Type of the item, as in its JSON.
    pub kind: String,
    pub item: Value,
}

impl StoredItem {
    pub fn from_json(item: Value) -> Self {
        Self { kind: item["type"].as_str().unwrap_or_default().to_owned(), item }
    }
}

/// Bounds of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryOptions<'a> {
    /// The model that will answer. Encrypted reasoning of another one is left out.
    pub model: &'a str,
    /// The limit that the agent is registered with.
    pub max_input_tokens: u64,
    /// Size of the last input, for a better estimate than four bytes a token.
    pub last_input: Option<InputSize>,
    /// Bytes that each request contains besides the history: instructions and tools.
    pub fixed_bytes: u64,
    /// Whether the thread has older items than those that were read.
    pub has_earlier_items: bool,
}

/// Size of an input that a model has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputSize {
    /// [`ModelInput::bytes`] of that request.
    pub bytes: u64,
    /// Tokens that the server counted.
    pub tokens: u64,
}

/// The input of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInput {
    pub items: Vec<Value>,
    /// Size as JSON, with the fixed bytes.
    pub bytes: u64,
    pub estimated_tokens: u64,
    /// Whether earlier turns are left out.
    pub is_shortened: bool,
}

const SHORTENED: &str = "Earlier messages of this conversation are left out.";

/// Bytes of a token, if nothing better is known. The range bounds what one unusual input changes.
const BYTES_PER_TOKEN: f64 = 4.0;
const BYTES_PER_TOKEN_RANGE: (f64, f64) = (1.0, 8.0);

/// Builds the input from the items of a thread, oldest first. It contains the newest turns that fit
/// the limit, and always the last one.
pub fn model_input(items: &[StoredItem], options: &HistoryOptions<'_>) -> ModelInput {
    let newest = items.iter().rposition(|item| item.kind == "user_message");
    let mut turns: Vec<Vec<Value>> = Vec::new();
    let mut is_begin_missing = false;
    let mut reasoning = Vec::new();
    let mut calls = Calls::new(items, options.max_input_tokens);
    for (index, stored) in items.iter().enumerate() {
        let begins_turn = stored.kind == "user_message";
        if begins_turn || turns.is_empty() {
            is_begin_missing |= !begins_turn && options.has_earlier_items;
            turns.push(Vec::new());
            reasoning.clear();
        }
        let Some(turn) = turns.last_mut() else { continue };
        match stored.kind.as_str() {
            // Reasoning without the item that followed it makes OpenAI reject the request.
            "reasoning" => reasoning.extend(reasoning_item(&stored.item, options.model)),
            _ => {
                let converted = convert(stored, Some(index) == newest, &mut calls);
                if converted.iter().any(is_of_assistant) {
                    turn.append(&mut reasoning);
                }
                turn.extend(converted);
            }
        }
    }
    // A turn whose begin was not read could contain an output without its call.
    if is_begin_missing && turns.len() > 1 {
        turns.remove(0);
    }
    let is_shortened = options.has_earlier_items || is_begin_missing;
    cut(turns, is_shortened, options)
}

/// Returns the newest turns that fit the limit.
fn cut(turns: Vec<Vec<Value>>, is_shortened: bool, options: &HistoryOptions<'_>) -> ModelInput {
    let bytes_per_token = bytes_per_token(options.last_input);
    let tokens = |bytes: u64| (bytes as f64 / bytes_per_token).ceil() as u64;
    let turn_bytes: Vec<u64> = turns.iter().map(|turn| turn.iter().map(size).sum()).collect();
    let whole = options.fixed_bytes + turn_bytes.iter().sum::<u64>();
    if !is_shortened && tokens(whole) <= options.max_input_tokens {
        let items = turns.into_iter().flatten().collect();
        return ModelInput { items, bytes: whole, estimated_tokens: tokens(whole), is_shortened };
    }
    let notice = context_message("notice", &SHORTENED.into());
    let mut bytes = options.fixed_bytes + size(&notice);
    let mut first = turns.len();
    for (index, turn) in turn_bytes.iter().enumerate().rev() {
        if tokens(bytes + turn) > options.max_input_tokens && first < turns.len() {
            break;
        }
        bytes += turn;
        first = index;
    }
    let is_shortened = is_shortened || first > 0;
    let mut items = Vec::new();
    if is_shortened {
        items.push(notice);
    } else {
        bytes -= size(&notice);
    }
    items.extend(turns.into_iter().skip(first).flatten());
    ModelInput { items, bytes, estimated_tokens: tokens(bytes), is_shortened }
}

/// Returns the size of an item in a request, with the comma after it.
fn size(item: &Value) -> u64 {
    item.to_string().len() as u64 + 1
}

fn bytes_per_token(last: Option<InputSize>) -> f64 {
    let (least, most) = BYTES_PER_TOKEN_RANGE;
    match last {
        Some(InputSize { bytes, tokens }) if bytes > 0 && tokens > 0 => {
            (bytes as f64 / tokens as f64).clamp(least, most)
        }
        _ => BYTES_PER_TOKEN,
    }
}

fn is_of_assistant(item: &Value) -> bool {
    item["role"] == "assistant" || item["type"] == "function_call"
}

/// Converts an item. Workflows, images and the end of a turn are left out, and so is a kind that a
/// later version stores. An output is given with its call.
fn convert<'a>(stored: &'a StoredItem, is_newest: bool, calls: &mut Calls<'a>) -> Vec<Value> {
    let item = &stored.item;
    match stored.kind.as_str() {
        "user_message" => user_message(item, is_newest),
        "assistant_message" => assistant_message(item).into_iter().collect(),
        "client_tool_call" if item["status"] == "completed" => calls.convert_client_call(item),
        // The input contains the call, and a note about its outcome.
        "widget" if is_card_of_call(&item["widget"]) => Vec::new(),
        "widget" => vec![context_message("widget", &item["widget"])],
        "structured_input" => vec![context_message("structured input", &structured_input(item))],
        "hidden_context_item" => {
            let note = context_message("application", &item["content"]);
            [note].into_iter().chain(calls.note_data(item)).collect()
        }
        "function_call" => calls.convert(item),
        // The task of a call has an icon, and the input contains the call.
        "task" if item["task"]["icon"].is_null() => {
            let title = item["task"]["title"].as_str();
            title.map(|title| context_message("notice", &title.into())).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Returns whether a widget is the card of a held call.
fn is_card_of_call(widget: &Value) -> bool {
    matches!(widget["id"].as_str(), Some("held_call" | "closed_call"))
}

/// Returns a message of the user. The texts are joined, and a tag is `@` and its text.
fn user_message(item: &Value, is_newest: bool) -> Vec<Value> {
    let content = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text: String = content.iter().map(part_text).collect();
    let mut messages = Vec::new();
    messages.extend(tags(content).map(|tags| context_message("tags of the next message", &tags)));
    if let Some(quote) = item["quoted_text"].as_str().filter(|_| is_newest) {
        messages.push(context_message("quote that the next message refers to", &quote.into()));
    }
    if !text.trim().is_empty() {
        messages.push(message("user", "input_text", &[text]));
    }
    messages
}

fn part_text(part: &Value) -> String {
    let text = part["text"].as_str().unwrap_or_default();
    let sign = if part["type"] == "input_tag" { "@" } else { "" };
    format!("{sign}{text}")
}

fn assistant_message(item: &Value) -> Option<Value> {
    let content = item["content"].as_array()?;
    let texts = content.iter().filter_map(|part| part["text"].as_str());
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).map(str::to_owned).collect();
    (!texts.is_empty()).then(|| message("assistant", "output_text", &texts))
}

fn message(role: &str, part: &str, texts: &[String]) -> Value {
    let content: Vec<_> = texts.iter().map(|text| json!({ "type": part, "text": text })).collect();
    json!({ "type": "message", "role": role, "content": content })
}

/// Returns stored reasoning for the model that it came from. Only that model can decrypt it. The
/// item has no id, because the server does not store it and messages are sent without ids too.
fn reasoning_item(item: &Value, model: &str) -> Option<Value> {
    let encrypted = item["encrypted_content"].as_str().filter(|_| item["model"] == model)?;
    let summary = item["summary"].as_array().map(Vec::as_slice).unwrap_or_default();
    let summary: Vec<_> =
        summary.iter().map(|text| json!({ "type": "summary_text", "text": text })).collect();
    Some(json!({ "type": "reasoning", "summary": summary, "encrypted_content": encrypted }))
}
