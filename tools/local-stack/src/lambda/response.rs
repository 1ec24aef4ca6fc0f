//! From what a function answered, or how it failed, to the HTTP response that its caller gets.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::event::Door;

/// The largest answer that Lambda takes from a function at once.
pub const LARGEST: usize = 6 * 1024 * 1024;

/// An invocation that brought no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The function reported an error, with this body.
    Reported(String),
    /// The process ended in the middle, or before it took its first event.
    Ended(String),
    /// It was still at it when its time was over, and was killed.
    TimedOut,
    /// It answered what is no HTTP response.
    Nonsense(String),
}

/// A response of payload version 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// The response for a function's answer. A JSON value without a `statusCode` is the body of a 200.
pub fn response(answer: &Bytes) -> Result<Response<Body>, Failure> {
    let nonsense = |why: String| Failure::Nonsense(why);
    if answer.len() > LARGEST {
        return Err(nonsense(format!("{} bytes are more than Lambda takes", answer.len())));
    }
    let value: Value = serde_json::from_slice(answer).map_err(|error| nonsense(error.to_string()))?;
    if value.get("statusCode").is_none() {
        let body = Body::from(answer.clone());
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json").body(body);
        return response.map_err(|error| nonsense(error.to_string()));
    }
    let answer: Answer = serde_json::from_value(value).map_err(|error| nonsense(error.to_string()))?;
    let status = StatusCode::from_u16(answer.status_code).map_err(|error| nonsense(error.to_string()))?;
    let mut response = Response::new(Body::from(body(answer.body, answer.is_base64_encoded)?));
    *response.status_mut() = status;
    for (name, value) in answer.headers.unwrap_or_default() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::try_from(&name).map_err(|_| nonsense(format!("no header's name: {name}")))?;
        let value =
            HeaderValue::try_from(&value).map_err(|_| nonsense(format!("no value of the header {name}")))?;
        // The front counts for itself.
        if name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name, value);
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        let cookie = HeaderValue::try_from(&cookie).map_err(|_| nonsense("no cookie".to_owned()))?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if !response.headers().contains_key(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Ok(response)
}

fn body(body: Option<String>, is_base64_encoded: bool) -> Result<Bytes, Failure> {
    let body = body.unwrap_or_default();
    if !is_base64_encoded {
        return Ok(Bytes::from(body));
    }
    STANDARD
        .decode(body)
        .map(Bytes::from)
        .map_err(|error| Failure::Nonsense(format!("no base64 in the body: {error}")))
}

/// What the caller is told when there is no answer: never why.
pub fn failed(door: Door, failure: &Failure) -> Response<Body> {
    let (status, content_type, body) = match (door, failure) {
        (Door::HttpApi(_), Failure::TimedOut) => {
            (StatusCode::SERVICE_UNAVAILABLE, "application/json", r#"{"message":"Service Unavailable"}"#)
        }
        (Door::HttpApi(_), _) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "application/json", r#"{"message":"Internal Server Error"}"#)
        }
        // To a function URL, a function that ran out of time is one that failed.
        (Door::FunctionUrl, _) => (StatusCode::BAD_GATEWAY, "text/plain", "Internal Server Error"),
    };
    plain(status, content_type, body)
}

/// A response of the front's own.
pub fn plain(status: StatusCode, content_type: &'static str, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(answer: &'static str) -> Result<Response<Body>, Failure> {
        super::response(&Bytes::from(answer))
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(axum::body::to_bytes(response.into_body(), LARGEST).await.unwrap().to_vec())
            .unwrap()
    }

    #[tokio::test]
    async fn version_two_is_taken_apart() {
        let answer = r#"{"statusCode":201,"headers":{"Content-Type":"application/json","x-number":7,"content-length":"999"},
            "cookies":["a=b","c=d"],"body":"eyJhIjoxfQ==","isBase64Encoded":true}"#;
        let response = response(answer).unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-number"], "7");
        assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=b", "c=d"]);
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(text(response).await, r#"{"a":1}"#);
    }

    #[tokio::test]
    async fn a_bare_value_is_a_body_of_json() {
        let response = response(r#"{"message":"hello"}"#).unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        assert_eq!(text(response).await, r#"{"message":"hello"}"#);
    }

    #[test]
    fn what_is_no_response_is_nonsense() {
        for answer in [
            "",
            "{",
            r#"{"statusCode":"x"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
        ] {
            assert!(matches!(response(answer), Err(Failure::Nonsense(_))), "{answer}");
        }
        assert!(matches!(
            response(r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#),
            Err(Failure::Nonsense(_))
        ));
    }
}
