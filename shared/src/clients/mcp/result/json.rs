//! Reads a server's JSON member by member, so that a member which cannot be stored or understood
//! does not affect the others.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json, value::RawValue};

use super::sanitize::replace_nul;

/// Maximum nesting depth of a stored value, as of a request's body. Stored values are wrapped in a
/// few more levels, and parsers stop at 128.
const MAX_DEPTH: usize = 64;

/// Maximum size in bytes of a value that is passed on. It is somewhat more than an event and
/// all its follow-ups can hold.
pub(in crate::clients::mcp) const MAX_SIZE: usize = 256 * 1024;

/// Members of a JSON object as raw text, which may be nested to any depth.
///
/// The value of a name that occurs twice in an object is undefined (RFC 8259, section 4): parsers
/// differ, and the server may mean either value. Such a member exists, but its value is not read.
#[derive(Debug, Default)]
pub(in crate::clients::mcp) struct Members<'a>(BTreeMap<String, Vec<&'a RawValue>>);

impl<'a> Members<'a> {
    /// Parses an object; returns `None` for any other value.
    pub fn parse(json: &'a RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }

    /// Returns all values of a name: more than one if it is a duplicate.
    pub fn all(&self, name: &str) -> &[&'a RawValue] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns a member that is not null and whose name occurs once.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        match self.all(name) {
            [json] => Some(*json).filter(|json| json.get() != "null"),
            _ => None,
        }
    }

    /// Returns whether a member is missing or null.
    pub fn is_absent(&self, name: &str) -> bool {
        self.all(name).iter().all(|json| json.get() == "null")
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

    /// Removes and returns a member. Null counts as missing. A member whose name is a duplicate
    /// stays.
    pub fn remove(&mut self, name: &str) -> Option<&'a RawValue> {
        let json = self.get(name);
        if json.is_some() || self.is_absent(name) {
            self.0.remove(name);
        }
        json
    }

    /// Removes and returns a member that can be stored and that `read` accepts. Any other member
    /// stays, unless it is null.
    pub fn take<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.value(name).and_then(read);
        if value.is_some() || self.is_absent(name) {
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
    /// is replaced by its size, and one with a duplicate name by its text.
    pub fn into_value(self) -> Option<Value> {
        let members = || self.0.iter().flat_map(|(name, all)| all.iter().map(move |json| (name, *json)));
        let size = members().map(|(name, json)| name.len() + json.get().len()).sum();
        if size > MAX_SIZE {
            return Some(omitted(size));
        }
        if self.0.values().any(|all| all.len() > 1) {
            let members = members().map(|(name, json)| format!("{}:{json}", json!(name)));
            return Some(Value::String(format!("{{{}}}", members.collect::<Vec<_>>().join(","))));
        }
        let members = members().map(|(name, json)| (name.clone(), to_value_or_text(json)));
        Some(members.collect::<Map<_, _>>())
            .filter(|members| !members.is_empty())
            .map(Value::Object)
            .map(replace_nul)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::<String, Vec<&'de RawValue>>::new();
                while let Some((name, json)) = object.next_entry()? {
                    members.entry(name).or_default().push(json);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Returns the raw JSON of a text, or `None` if the text is not JSON.
pub(in crate::clients::mcp) fn parse(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// Converts raw JSON to a value that can be stored.
///
/// # Errors
/// Returns the value to store instead. It is the text of JSON that is nested too deeply, has an
/// object with a duplicate name, or holds a number that we cannot represent. It is the size of JSON
/// that is too large.
pub(in crate::clients::mcp) fn to_value(json: &RawValue) -> Result<Value, Value> {
    let text = json.get();
    if text.len() > MAX_SIZE {
        return Err(omitted(text.len()));
    }
    let value = Some(text).filter(|text| depth(text) <= MAX_DEPTH && has_unique_names(json));
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

/// Returns whether no object in the JSON has a duplicate name. Also returns false for JSON that the
/// parser does not accept, for example because of its depth.
pub(in crate::clients::mcp) fn has_unique_names(json: &RawValue) -> bool {
    serde_json::from_str::<UniqueNames>(json.get()).is_ok()
}

/// JSON without duplicate names. Its values are dropped.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, Self)) = object.next_entry::<String, Self>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a duplicate name"));
            }
        }
        Ok(self)
    }
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

    /// JSON does not define which of the values counts.
    #[test]
    fn value_with_a_duplicate_name_becomes_text() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "b": 2, "\u0061": 3}"#,
            r#"{"a": {"b": null, "b": 2}}"#,
            r#"[[{"a": [{"b": 1, "b": 2}]}], {"a": 1}]"#,
        ] {
            assert_eq!(to_value(parse(text).unwrap()), Err(json!(text)));
        }
        for text in [r#"{"a": {"a": {"A": 1}}, "b": [{"a": 1}, {"a": 2}]}"#, r#"{"": 1, " ": 2}"#] {
            assert_eq!(to_value(parse(text).unwrap()), Ok(serde_json::from_str(text).unwrap()));
        }
    }

    #[test]
    fn member_with_a_duplicate_name_is_not_read() {
        let text = r#"{"a": 1, "b": 2, "a": null, "\u0061": "x", "c": null, "c": null}"#;
        let mut members = Members::parse(parse(text).unwrap()).unwrap();
        assert!(members.get("a").is_none() && members.value("a").is_none() && members.text("a").is_none());
        assert!(members.remove("a").is_none() && members.take("a", Some).is_none());
        assert!(members.has_any(&["a"]) && !members.is_absent("a") && members.is_absent("c"));
        assert_eq!(members.all("a").len(), 3);
        assert_eq!(members.take("b", Some), Some(json!(2)));
        assert!(members.remove("c").is_none() && !members.has_any(&["c"]));
        assert_eq!(members.into_value(), Some(json!(r#"{"a":1,"a":null,"a":"x"}"#)));
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
