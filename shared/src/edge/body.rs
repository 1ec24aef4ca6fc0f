//! Bodies: JSON, of a bounded size, and in the form that the endpoint asks for.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::{Code, Error, FieldError, pointer},
    parse,
};

/// The most bytes that a body may have.
const MAX_BODY: usize = 256 * 1024;

/// Any JSON.
pub(super) fn value(headers: &HeaderMap, body: &[u8]) -> Result<Value, Error> {
    if !is_json(headers) {
        return Err(Error::new(Code::UnsupportedMediaType));
    }
    if body.len() > MAX_BODY {
        return Err(Error::new(Code::BodyTooLarge));
    }
    parse::json(body)
}

/// An object. A list is refused here since a derived parser would take one as the fields in their order.
pub(super) fn object<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    let Value::Object(fields) = value(headers, body)? else {
        return Err(Error::invalid(vec![FieldError::at("", "must be an object")]));
    };
    serde_path_to_error::deserialize(fields)
        .map_err(|error| Error::invalid(vec![FieldError::parsing(pointer(error.path()), error.inner())]))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
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
        object(&headers, body.as_bytes())
    }

    #[test]
    fn each_kind_of_bad_body_has_its_code_and_its_place() {
        assert!(outcome(r#"{"name":"x"}"#).is_ok());
        assert_eq!(outcome("{").unwrap_err().code, Code::MalformedBody);
        assert_eq!(object::<Body>(&HeaderMap::new(), b"{}").unwrap_err().code, Code::UnsupportedMediaType);
        assert_eq!(outcome(&" ".repeat(MAX_BODY + 1)).unwrap_err().code, Code::BodyTooLarge);
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
                (Code::InvalidRequest, pointer),
                "{body}"
            );
            assert!(!error.fields[0].detail.contains("line"), "{:?}", error.fields);
        }
    }
}
