//! Makes text and JSON storable in PostgreSQL: length limits and NUL replacement.

use serde_json::Value;

/// Returns the first `most` characters.
pub(in crate::clients::mcp) fn truncate(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Replaces `\u0000`, which PostgreSQL stores neither in text nor in JSON. A result with one could
/// not be recorded, however often that is tried.
pub(in crate::clients::mcp) fn replace_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(all) => all.into_iter().map(replace_nul).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name.replace('\0', "\u{fffd}"), replace_nul(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn truncate_cuts_between_characters() {
        assert_eq!(truncate("grün", 3), "grü");
        assert_eq!(truncate("grün", 9), "grün");
    }

    #[test]
    fn nul_is_replaced_in_keys_and_values() {
        let value = json!({"a\u{0}": ["x\u{0}y", {"b": "\u{0}"}], "c": 1});
        assert_eq!(replace_nul(value), json!({"a\u{fffd}": ["x\u{fffd}y", {"b": "\u{fffd}"}], "c": 1}));
    }
}
