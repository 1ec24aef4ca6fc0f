//! Bodies: JSON, of a bounded size, and in the form that the endpoint asks for.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::{Error, ErrorCode, FieldError, pointer},
    platform::parse,
};

/// The most bytes that a body may have.
const MAX_BODY: usize = 256 * 1024;

/// Any JSON.
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
    // A parser may pass over it (RFC 8259, section 8.1). Ours does not, so that one text has one form.
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Error::new(ErrorCode::MalformedBody).detail("The body begins with a byte order mark."));
    }
    parse::json(body)
}

/// An object. A list is refused here since a derived parser would take one as the fields in their order.
pub(super) fn parse_object<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    let Value::Object(fields) = parse_json(headers, body)? else {
        return Err(Error::invalid(vec![FieldError::at("", "must be an object")]));
    };
    serde_path_to_error::deserialize(fields)
        .map_err(|error| Error::invalid(vec![FieldError::parsing(pointer(error.path()), error.inner())]))
}

/// Whether the body is declared as JSON in UTF-8, which is what it is without a `charset` (RFC 8259, section 8.1).
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

    fn outcome(body: &str) -> Result<Body, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        parse_object(&headers, body.as_bytes())
    }

    #[test]
    fn a_media_type_is_json_in_utf_8_and_a_coding_is_none() {
        let code = |content_type: &'static str, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            headers.extend(coding.map(|coding| (header::CONTENT_ENCODING, coding.parse().unwrap())));
            parse_json(&headers, b"{}").err().map(|error| error.code)
        };
        for taken in [
            "application/json",
            "Application/JSON ; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json;",
            "application/json; profile=x",
        ] {
            assert_eq!(code(taken, None), None, "{taken}");
        }
        for refused in [
            "",
            "text/json",
            "application/problem+json",
            "application/json, text/plain",
            "application/json,application/json",
            "application/json; charset=utf-16",
            "application/json; charset=",
            "application/json; charset=utf-8; Charset=latin1",
        ] {
            assert_eq!(code(refused, None), Some(ErrorCode::UnsupportedMediaType), "{refused}");
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
    fn each_kind_of_bad_body_has_its_code_and_its_place() {
        assert!(outcome(r#"{"name":"x"}"#).is_ok());
        assert_eq!(outcome("{").unwrap_err().code, ErrorCode::MalformedBody);
        let marked = outcome("\u{feff}{\"name\":\"x\"}").unwrap_err();
        assert!(
            marked.code == ErrorCode::MalformedBody && marked.detail.unwrap().contains("byte order mark")
        );
        assert_eq!(
            parse_object::<Body>(&HeaderMap::new(), b"{}").unwrap_err().code,
            ErrorCode::UnsupportedMediaType
        );
        assert_eq!(outcome(&" ".repeat(MAX_BODY + 1)).unwrap_err().code, ErrorCode::BodyTooLarge);
        for (body, pointer) in [
            (r#"{"name":7}"#, "/name"),
            (r#"{"name":"x","other":1}"#, "/other"),
            (r#"{"name":"a\u0000b"}"#, "/name"),
            (r#"{"name":"x","name":"y"}"#, "/name"),
            (r#"["x"]"#, ""),
        ] {
            let error = outcome(body).unwrap_err();
            assert_eq!(
                (error.code, error.fields[0].pointer.as_str()),
                (ErrorCode::InvalidRequest, pointer),
                "{body}"
            );
            assert!(!error.fields[0].detail.contains("line"), "{:?}", error.fields);
        }
    }
}
