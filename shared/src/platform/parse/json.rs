//! Strict JSON (RFC 8259, RFC 7493): accepts only what the database can store and
//! every parser can read again.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, error::Category};

use crate::error::{Error, ErrorCode, FieldError, pointer};

/// Maximum depth of arrays and objects. Parsers, including ours, stop at 128 levels, and
/// stored values are wrapped in a few more when they are read. A value with 127 levels could
/// be written and never read.
const MAX_DEPTH: usize = 64;

/// Parses UTF-8 as JSON. Names must be unique in their object (RFC 7493, section 2.3), texts must
/// not contain U+0000, and each number must fit a double or a 64-bit integer.
///
/// # Errors
/// Returns [`ErrorCode::MalformedBody`] if the text is not JSON, and
/// otherwise [`ErrorCode::InvalidRequest`] with a pointer.
pub fn json(text: &[u8]) -> Result<Value, Error> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut parser, &mut track);
    match (StrictJson { depth: 0, is_duplicate: false }).deserialize(tracked) {
        Ok(value) => parser.end().map(|()| value).map_err(|error| malformed(&error)),
        Err(error) => Err(match reason(&error) {
            Some(reason) => Error::invalid(vec![FieldError::at(pointer(&track.path()), reason)]),
            None => malformed(&error),
        }),
    }
}

/// Reads a value from another deserializer, by the rules of [`json`].
///
/// # Errors
/// Returns a pointer to the first violation.
pub fn json_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, FieldError> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    (StrictJson { depth: 0, is_duplicate: false })
        .deserialize(tracked)
        .map_err(|error| FieldError::at(pointer(&track.path()), without_position(&error.to_string())))
}

/// Returns what is wrong with well-formed JSON, or `None` if it is not JSON.
fn reason(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let text = without_position(&text);
    // The parser reports a number out of range as a syntax error, which it is not.
    (error.classify() == Category::Data || text == "number out of range").then(|| text.to_owned())
}

/// Removes line and column. The pointer gives the position, and better.
fn without_position(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |at| &text[..at])
}

fn malformed(error: &serde_json::Error) -> Error {
    let detail = format!("The text stops being JSON at line {}, column {}.", error.line(), error.column());
    Error::new(ErrorCode::MalformedBody).detail(detail)
}

/// State of the visitor for one value: its depth, and whether its name is a duplicate.
struct StrictJson {
    depth: usize,
    is_duplicate: bool,
}

impl StrictJson {
    fn inner<E: serde::de::Error>(&self, is_duplicate: bool) -> Result<Self, E> {
        let depth = self.depth + 1;
        let too_deep = || E::custom(format!("is nested deeper than {MAX_DEPTH} levels"));
        (depth <= MAX_DEPTH).then_some(Self { depth, is_duplicate }).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for StrictJson {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.is_duplicate {
            return Err(D::Error::custom("is given twice"));
        }
        deserializer.deserialize_any(self)
    }
}

fn without_null<E: serde::de::Error>(text: String) -> Result<String, E> {
    // PostgreSQL's `jsonb` and `text` cannot store this character.
    match text.contains('\0') {
        true => Err(E::custom("contains the character U+0000, which cannot be kept")),
        false => Ok(text),
    }
}

impl<'de> Visitor<'de> for StrictJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        without_null(value.to_owned()).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.inner(false)?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let name = without_null(name)?;
            let value = object.next_value_seed(self.inner(fields.contains_key(&name))?)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Result<Value, (ErrorCode, Option<String>)> {
        json(text.as_bytes())
            .map_err(|error| (error.code, error.fields.into_iter().next().map(|field| field.pointer)))
    }

    #[test]
    fn valid_json_is_returned_unchanged() {
        // Tests of the functions cover fractions and numbers out of range. In a test of
        // the whole workspace, dependencies of the local stack enable parser features
        // that functions are built without.
        for text in [r#"{"a":[1,-1,null,true,"\u0001"],"":{}}"#, "7", r#""x""#, " [ ] "] {
            assert_eq!(outcome(text), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn duplicate_keys_and_nul_report_a_pointer() {
        for (text, at) in [
            (r#"{"a":{"b":1,"b":1}}"#, "/a/b"),
            (r#"[{"a/b":"\u0000"}]"#, "/0/a~1b"),
            (r#"{"a":{"\u0000":1}}"#, "/a"),
        ] {
            assert_eq!(outcome(text), Err((ErrorCode::InvalidRequest, Some(at.to_owned()))), "{text}");
        }
        for text in ["", "{", "{}{}", "nul", "\"\u{0}\"", r#""\ud800""#] {
            assert_eq!(outcome(text), Err((ErrorCode::MalformedBody, None)), "{text}");
        }
    }

    #[test]
    fn deep_nesting_reports_a_pointer() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(outcome(&nested(MAX_DEPTH)).is_ok());
        let too_deep = Err((ErrorCode::InvalidRequest, Some("/0".repeat(MAX_DEPTH))));
        assert_eq!(outcome(&nested(MAX_DEPTH + 1)), too_deep);
        assert_eq!(outcome(&nested(10_000)), too_deep);
    }
}
