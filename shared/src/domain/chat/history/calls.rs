//! Calls of tools in the model's input: every call with exactly one output, right after it.
//!
//! The store may hold a call without an output, because its turn broke off, and an output that was
//! recorded after other items. An output is untrusted data, so it is marked like a context.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{StoredItem, context::context_text};

/// Least and greatest size of what one output may add to the input, in bytes.
const OUTPUT_BYTES: (usize, usize) = (2_048, 65_536);

/// Part of the input, of which one output is at most this share, so that all outputs of a turn fit.
const OUTPUT_SHARE: u64 = 4;

/// The outputs of a thread's calls, and the calls that are already in the input.
pub(super) struct Calls<'a> {
    outputs: HashMap<&'a str, &'a Value>,
    seen: HashSet<&'a str>,
    max_bytes: usize,
}

impl<'a> Calls<'a> {
    /// Finds the first output of each call.
    pub fn new(items: &'a [StoredItem], max_input_tokens: u64) -> Self {
        let mut outputs = HashMap::new();
        for stored in items.iter().filter(|stored| stored.kind == "function_call_output") {
            if let Some(call_id) = stored.item["call_id"].as_str() {
                outputs.entry(call_id).or_insert(&stored.item);
            }
        }
        let (least, most) = OUTPUT_BYTES;
        let share = usize::try_from(max_input_tokens / OUTPUT_SHARE).unwrap_or(most);
        Self { outputs, seen: HashSet::new(), max_bytes: share.clamp(least, most) }
    }

    /// Returns a call and its output. A call that the store has twice is given once.
    pub fn convert(&mut self, item: &'a Value) -> Vec<Value> {
        let Some(call_id) = self.new_call_id(item) else { return Vec::new() };
        let output = match self.outputs.get(call_id) {
            Some(output) => output_text(output, self.max_bytes),
            None => json!({
                "status": "unknown",
                "error": "The answer broke off before the output was recorded. Do not repeat the call.",
            })
            .to_string(),
        };
        call_with_output(item, &item["arguments"], &output)
    }

    /// Returns a completed call of a client tool, whose item has the output. A pending call is left
    /// out, because a call without an output makes the server reject the request.
    pub fn convert_client_call(&mut self, item: &'a Value) -> Vec<Value> {
        if self.new_call_id(item).is_none() {
            return Vec::new();
        }
        let output = data_text("page", &item["output"], self.max_bytes);
        call_with_output(item, &item["arguments"].to_string().into(), &output)
    }

    /// Returns the id of a call, unless the input has the call already.
    fn new_call_id(&mut self, item: &'a Value) -> Option<&'a str> {
        let call_id = item["call_id"].as_str().filter(|id| !id.is_empty())?;
        self.seen.insert(call_id).then_some(call_id)
    }

    /// Returns a note about a call, with the data that the tool returned.
    pub fn note_data(&self, item: &Value) -> Option<Value> {
        let data = item.get("data").filter(|data| !data.is_null())?;
        Some(super::message("user", "input_text", &[data_text("tool", data, self.max_bytes)]))
    }
}

fn call_with_output(item: &Value, arguments: &Value, output: &str) -> Vec<Value> {
    let call_id = &item["call_id"];
    vec![
        json!({
            "type": "function_call",
            "call_id": call_id,
            "name": item["name"],
            "arguments": arguments,
        }),
        json!({ "type": "function_call_output", "call_id": call_id, "output": output }),
    ]
}

/// Returns the text of an output: its status, which is ours, and the marked data of the tool.
fn output_text(output: &Value, max_bytes: usize) -> String {
    let mut status = Map::new();
    for field in ["status", "error", "errors", "advice"] {
        if let Some(value) = output.get(field).filter(|value| !value.is_null()) {
            status.insert(field.to_owned(), value.clone());
        }
    }
    let status = Value::Object(status).to_string();
    match output.get("data").filter(|data| !data.is_null()) {
        Some(data) => format!("{status}\n{}", data_text("tool", data, max_bytes)),
        None => status,
    }
}

fn data_text(source: &str, data: &Value, max_bytes: usize) -> String {
    let json = data.to_string();
    if json.len() <= max_bytes {
        return context_text(source, data);
    }
    let mut end = max_bytes;
    while !json.is_char_boundary(end) {
        end -= 1;
    }
    context_text(source, &json!({ "truncated": true, "begin": &json[..end] }))
}
