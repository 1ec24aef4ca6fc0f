//! Request bodies: JSON of a limited size, parsed strictly.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    domain::idempotency::{self, IdempotencyKey},
    error::{Error, ErrorCode, FieldError, pointer},
    platform::parse,
};

/// Maximum size of a body, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Parses a body as any JSON value, after checking media type, content encoding and size.
pub(super) fn parse_json(headers: &HeaderMap, body: &[u8]) -> Result<Value, Error> {
    if !is_json(headers) {
        return Err(Error::new(ErrorCode::UnsupportedMediaType));
    }
    let coding = headers.get(header::CONTENT_ENCODING).map_or(b"".as_slice(), |coding| coding.as_bytes());
    if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
        return Err(Error::new(ErrorCode::UnsupportedContentEncoding));
    }
    if body.len() > MAX_BODY {
        return Err(Error::new(ErrorCode::BodyTooLarge));
    }
    // RFC 8259, section 8.1, lets a parser ignore the byte order mark. Rejecting it keeps one form
    // per text.
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Error::new(ErrorCode::MalformedBody).detail("The body begins with a byte order mark."));
    }
    parse::json(body)
}

/// Parses a body as a JSON object. Rejects arrays, since a derived `Deserialize` would accept one
/// with the fields in order.
pub(super) fn parse_object<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    let Value::Object(fields) = parse_json(headers, body)? else {
        return Err(Error::invalid(vec![FieldError::at("", "must be an object")]));
    };
    serde_path_to_error::deserialize(fields)
        .map_err(|error| Error::invalid(vec![FieldError::parsing(pointer(error.path()), error.inner())]))
}

/// Returns the idempotency key of a request, bound to its body, if it has one.
pub(super) fn idempotency_key(headers: &HeaderMap, body: &[u8]) -> Result<Option<IdempotencyKey>, Error> {
    let Some(key) = headers.get(idempotency::HEADER) else { return Ok(None) };
    // An empty body and an empty object are equivalent, so they get the same hash.
    let body = if body.is_empty() { json!({}) } else { parse_json(headers, body)? };
    IdempotencyKey::new(key.as_bytes(), &body).map(Some)
}

/// Returns whether the body is declared as JSON in UTF-8, the default without a `charset` (RFC
/// 8259, section 8.1).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
    let parameters = parts.filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    is_json && charsets.all(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"))
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

    fn parse_body(body: &str) -> Result<Body, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        parse_object(&headers, body.as_bytes())
    }

    #[test]
    fn media_type_must_be_utf_8_json_and_encoding_identity() {
        let code = |content_type: &'static str, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            headers.extend(coding.map(|coding| (header::CONTENT_ENCODING, coding.parse().unwrap())));
            parse_json(&headers, b"{}").err().map(|error| error.code)
        };
        for accepted in [
            "application/json",
            "Application/JSON ; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json;",
            "application/json; profile=x",
        ] {
            assert_eq!(code(accepted, None), None, "{accepted}");
        }
        for rejected in [
            "",
            "text/json",
            "application/problem+json",
            "application/json, text/plain",
            "application/json,application/json",
            "application/json; charset=utf-16",
            "application/json; charset=",
            "application/json; charset=utf-8; Charset=latin1",
        ] {
            assert_eq!(code(rejected, None), Some(ErrorCode::UnsupportedMediaType), "{rejected}");
        }
        for coding in ["", "identity", "Identity"] {
            assert_eq!(code("application/json", Some(coding)), None, "{coding}");
        }
        for coding in ["gzip", "br", "gzip, identity", "x"] {
            assert_eq!(
                code("application/json", Some(coding)),
                Some(ErrorCode::UnsupportedContentEncoding),
                "{coding}"
            );
        }
    }

    #[test]
    fn invalid_bodies_report_a_code_and_a_pointer() {
        assert!(parse_body(r#"{"name":"x"}"#).is_ok());
        assert_eq!(parse_body("{").unwrap_err().code, ErrorCode::MalformedBody);
        let marked = parse_body("\u{feff}{\"name\":\"x\"}").unwrap_err();
        assert!(
            marked.code == ErrorCode::MalformedBody && marked.detail.unwrap().contains("byte order mark")
        );
        assert_eq!(
            parse_object::<Body>(&HeaderMap::new(), b"{}").unwrap_err().code,
            ErrorCode::UnsupportedMediaType
        );
        assert_eq!(parse_body(&" ".repeat(MAX_BODY + 1)).unwrap_err().code, ErrorCode::BodyTooLarge);
        for (body, pointer) in [
            (r#"{"name":7}"#, "/name"),
            (r#"{"name":"x","other":1}"#, "/other"),
            (r#"{"name":"a\u0000b"}"#, "/name"),
            (r#"{"name":"x","name":"y"}"#, "/name"),
            (r#"["x"]"#, ""),
        ] {
            let error = parse_body(body).unwrap_err();
            assert_eq!(
                (error.code, error.fields[0].pointer.as_str()),
                (ErrorCode::InvalidRequest, pointer),
                "{body}"
            );
            assert!(!error.fields[0].detail.contains("line"), "{:?}", error.fields);
        }
    }
}
