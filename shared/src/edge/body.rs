//! Bodies: JSON, of a bounded size, without what the database cannot keep.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Code, Error, FieldError, pointer};

/// The most bytes that a body may have.
const MAX_BODY: usize = 256 * 1024;

pub(super) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    if !is_json(headers) {
        return Err(Error::new(Code::UnsupportedMediaType));
    }
    if body.len() > MAX_BODY {
        return Err(Error::new(Code::BodyTooLarge));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let detail =
            format!("The text stops being JSON at line {}, column {}.", error.line(), error.column());
        Error::new(Code::MalformedBody).detail(detail)
    })?;
    if let Some(pointer) = null_character(&value, String::new()) {
        let detail = "contains the character U+0000, which cannot be kept";
        return Err(Error::invalid(vec![FieldError::at(pointer, detail)]));
    }
    // From the text rather than the value, so that a field given twice is noticed.
    let mut parser = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let pointer = pointer(error.path());
        Error::invalid(vec![FieldError::at(pointer, without_position(&error.into_inner()))])
    })
}

/// The pointer says where; line and column in our copy of the text would say it worse.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.clone(), |at| text[..at].to_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// Where in the body a U+0000 stands; PostgreSQL's `jsonb` and `text` cannot hold one.
fn null_character(value: &Value, at: String) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then_some(at),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| null_character(item, format!("{at}/{i}")))
        }
        Value::Object(fields) => fields.iter().find_map(|(key, item)| {
            if key.contains('\0') { Some(at.clone()) } else { null_character(item, format!("{at}/{key}")) }
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[allow(dead_code)]
        name: String,
    }

    fn outcome(body: &str) -> Result<Body, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        json(&headers, body.as_bytes())
    }

    #[test]
    fn each_kind_of_bad_body_has_its_code_and_its_place() {
        assert!(outcome(r#"{"name":"x"}"#).is_ok());
        assert_eq!(outcome("{").unwrap_err().code, Code::MalformedBody);
        assert_eq!(json::<Body>(&HeaderMap::new(), b"{}").unwrap_err().code, Code::UnsupportedMediaType);
        assert_eq!(outcome(&" ".repeat(MAX_BODY + 1)).unwrap_err().code, Code::BodyTooLarge);
        for (body, pointer) in [
            (r#"{"name":7}"#, "/name"),
            (r#"{"name":"x","other":1}"#, "/other"),
            (r#"{"name":"a\u0000b"}"#, "/name"),
            (r#"{"name":"x","name":"y"}"#, ""),
            ("[]", ""),
        ] {
            let error = outcome(body).unwrap_err();
            assert_eq!(
                (error.code, error.fields[0].pointer.as_str()),
                (Code::InvalidRequest, pointer),
                "{body}"
            );
            assert!(!error.fields[0].detail.contains("line"), "{:?}", error.fields);
        }
    }
}
