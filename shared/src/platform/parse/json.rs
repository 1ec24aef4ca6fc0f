//! JSON (RFC 8259) that can be kept and read again: less than the grammar allows, for the database and the next reader.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, error::Category};

use crate::error::{Error, ErrorCode, FieldError, pointer};

/// The most levels of lists and objects. Parsers, ours among them, give up at 128, and what is read again is wrapped
/// in a few more: what was taken at 127 levels could be written and never read.
const MAX_DEPTH: usize = 64;

/// Parses UTF-8 as JSON in which every name stands once in its object (RFC 7493, section 2.3), nothing holds a U+0000 and every
/// number is one that a double or a 64-bit integer can be.
///
/// # Errors
/// [`ErrorCode::MalformedBody`] for what is no JSON, otherwise [`ErrorCode::InvalidRequest`] with a pointer.
pub fn json(text: &[u8]) -> Result<Value, Error> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut parser, &mut track);
    match (Keepable { depth: 0, twice: false }).deserialize(tracked) {
        Ok(value) => parser.end().map(|()| value).map_err(|error| malformed(&error)),
        Err(error) => Err(match reason(&error) {
            Some(reason) => Error::invalid(vec![FieldError::at(pointer(&track.path()), reason)]),
            None => malformed(&error),
        }),
    }
}

/// What is wrong with well-formed JSON; `None` for what is no JSON.
fn reason(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    // The pointer says where; line and column would say it worse.
    let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    // To the parser a number that is too large is an error of the grammar. It is not one.
    (error.classify() == Category::Data || text == "number out of range").then(|| text.to_owned())
}

fn malformed(error: &serde_json::Error) -> Error {
    let detail = format!("The text stops being JSON at line {}, column {}.", error.line(), error.column());
    Error::new(ErrorCode::MalformedBody).detail(detail)
}

/// A value at this depth, under a name that was there before or not.
struct Keepable {
    depth: usize,
    twice: bool,
}

impl Keepable {
    fn inner<E: serde::de::Error>(&self, twice: bool) -> Result<Self, E> {
        let depth = self.depth + 1;
        let too_deep = || E::custom(format!("is nested deeper than {MAX_DEPTH} levels"));
        (depth <= MAX_DEPTH).then_some(Self { depth, twice }).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Keepable {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.twice {
            return Err(D::Error::custom("is given twice"));
        }
        deserializer.deserialize_any(self)
    }
}

fn without_null<E: serde::de::Error>(text: String) -> Result<String, E> {
    // PostgreSQL's `jsonb` and `text` cannot hold one.
    match text.contains('\0') {
        true => Err(E::custom("contains the character U+0000, which cannot be kept")),
        false => Ok(text),
    }
}

impl<'de> Visitor<'de> for Keepable {
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
    fn what_can_be_kept_is_taken_as_it_is() {
        // Fractions and numbers that are too large are tried on the functions themselves: a test of the whole workspace has
        // features of the parser switched on, by the local stack's dependencies, that the functions are built without.
        for text in [r#"{"a":[1,-1,null,true,"\u0001"],"":{}}"#, "7", r#""x""#, " [ ] "] {
            assert_eq!(outcome(text), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_cannot_is_named_by_its_place() {
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
    fn what_is_too_deep_is_named_before_the_parser_gives_up() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(outcome(&nested(MAX_DEPTH)).is_ok());
        let too_deep = Err((ErrorCode::InvalidRequest, Some("/0".repeat(MAX_DEPTH))));
        assert_eq!(outcome(&nested(MAX_DEPTH + 1)), too_deep);
        assert_eq!(outcome(&nested(10_000)), too_deep);
    }
}
