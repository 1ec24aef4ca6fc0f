//! Reads a server's JSON member by member, so that a member which cannot be stored or understood
//! does not affect the others.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};

use super::sanitize::replace_nul;

/// Maximum nesting depth of a stored value, as of a request's body. Stored values are wrapped in a
/// few more levels, and parsers stop at 128.
const MAX_DEPTH: usize = 64;

/// Maximum size in bytes of a value that is passed on. It is somewhat more than an event and
/// all its follow-ups can hold.
pub(in crate::clients::mcp) const MAX_SIZE: usize = 256 * 1024;

/// Members of a JSON object as raw text, which may be nested to any depth.
#[derive(Debug, Default)]
pub(in crate::clients::mcp) struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Parses an object; returns `None` for any other value.
    pub fn parse(json: &'a RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok().map(Self)
    }

    /// Returns a member that is not null.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|json| json.get() != "null")
    }

    /// Returns a member whose value can be stored.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.get(name).and_then(|json| to_value(json).ok())
    }

    /// Returns a member that is a string, of any length.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|json| serde_json::from_str(json.get()).ok())
    }

    /// Returns whether one of these members exists, null or not.
    pub fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// Removes and returns a member. Null counts as missing.
    pub fn remove(&mut self, name: &str) -> Option<&'a RawValue> {
        self.0.remove(name).filter(|json| json.get() != "null")
    }

    /// Removes and returns a member that can be stored and that `read` accepts. Any other member
    /// stays, unless it is null.
    pub fn take<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.value(name).and_then(read);
        if value.is_some() || self.get(name).is_none() {
            self.0.remove(name);
        }
        value
    }

    /// Removes the members with these names and returns them.
    pub fn split(&mut self, names: &[&str]) -> Self {
        let (named, rest) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| names.contains(&name.as_str()));
        self.0 = rest;
        Self(named)
    }

    /// Returns all members as one object, or `None` if there are none. An object above [`MAX_SIZE`]
    /// is replaced by its size.
    pub fn into_value(self) -> Option<Value> {
        let size = self.0.iter().map(|(name, json)| name.len() + json.get().len()).sum();
        if size > MAX_SIZE {
            return Some(omitted(size));
        }
        let members = self.0.into_iter().map(|(name, json)| (name, to_value_or_text(json)));
        Some(members.collect::<Map<_, _>>())
            .filter(|members| !members.is_empty())
            .map(Value::Object)
            .map(replace_nul)
    }
}

/// Returns the raw JSON of a text, or `None` if the text is not JSON.
pub(in crate::clients::mcp) fn parse(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// Converts raw JSON to a value that can be stored.
///
/// # Errors
/// Returns the value to store instead. It is the text of JSON that is nested too deeply or holds a
/// number that we cannot represent. It is the size of JSON that is too large.
pub(in crate::clients::mcp) fn to_value(json: &RawValue) -> Result<Value, Value> {
    let text = json.get();
    if text.len() > MAX_SIZE {
        return Err(omitted(text.len()));
    }
    let value = Some(text).filter(|text| depth(text) <= MAX_DEPTH);
    let value = value.and_then(|text| serde_json::from_str(text).ok());
    value.map(replace_nul).ok_or_else(|| Value::String(text.to_owned()))
}

/// Returns the value that stands for an omitted value of `size` bytes.
pub(in crate::clients::mcp) fn omitted(size: usize) -> Value {
    json!({"size": size, "leftOut": true})
}

pub(in crate::clients::mcp) fn to_value_or_text(json: &RawValue) -> Value {
    to_value(json).unwrap_or_else(|text| text)
}

/// Returns the nesting depth of the lists and objects in valid JSON.
fn depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut quoted = false;
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn deeply_nested_values_become_text() {
        assert_eq!(depth(r#"{"a[[[": "\"[[", "b": [{}], "c\\": []}"#), 3);
        for storable in [nested(MAX_DEPTH), r#"{"a": [1.5, "ü"]}"#.to_owned()] {
            let value: Value = serde_json::from_str(&storable).unwrap();
            assert_eq!(to_value(parse(&storable).unwrap()), Ok(value));
        }
        for text in [nested(MAX_DEPTH + 1), nested(10_000)] {
            assert_eq!(to_value(parse(&text).unwrap()), Err(Value::String(text.clone())));
        }
    }

    #[test]
    fn oversized_values_become_their_size() {
        let large = format!("\"{}\"", "x".repeat(MAX_SIZE));
        let named = json!({"size": MAX_SIZE + 2, "leftOut": true});
        assert_eq!(to_value(parse(&large).unwrap()), Err(named.clone()));
        let many =
            format!("{{{}\"z\": 0}}", r#""aaaa": 0, "bbbb": 0, "#.replace("aaaa", &"a".repeat(MAX_SIZE)));
        let size = MAX_SIZE + 8;
        assert_eq!(Members::parse(parse(&many).unwrap()).unwrap().into_value(), Some(omitted(size)));
        let members = format!("{{\"a\": {large}}}");
        let members = Members::parse(parse(&members).unwrap()).unwrap();
        assert_eq!(members.text("a").unwrap().len(), MAX_SIZE);
        assert_eq!(members.value("a"), None);
    }

    #[test]
    fn mistyped_members_are_not_taken() {
        let text = format!(r#"{{"a": 7, "b": "x", "c": null, "d": {}}}"#, nested(500));
        let mut members = Members::parse(parse(&text).unwrap()).unwrap();
        let number = |value: Value| value.as_u64();
        assert_eq!(members.take("a", number), Some(7));
        assert_eq!(members.take("b", number), None);
        assert_eq!(members.take("c", number), None);
        assert_eq!(members.take("d", Some), None);
        assert_eq!(members.split(&["d"]).into_value(), Some(json!({"d": nested(500)})));
        assert_eq!(members.into_value(), Some(json!({"b": "x"})));
    }
}
