//! Token counts that depend only on the bytes of a text.

use serde_json::Value;

/// The size of a token.
pub(super) const BYTES_PER_TOKEN: usize = 4;

/// Fields whose values are not part of the model's context.
const NOT_COUNTED: [&str; 6] = ["type", "role", "id", "status", "call_id", "encrypted_content"];

/// Returns the number of tokens of a text.
pub fn count(text: &str) -> u64 {
    text.len().div_ceil(BYTES_PER_TOKEN) as u64
}

/// Returns the number of tokens of every text in an input item or a tool.
pub(super) fn count_value(value: &Value) -> u64 {
    match value {
        Value::String(text) => count(text),
        Value::Array(values) => values.iter().map(count_value).sum(),
        Value::Object(map) => {
            let counted = map.iter().filter(|(name, _)| !NOT_COUNTED.contains(&name.as_str()));
            counted.map(|(_, value)| count_value(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
