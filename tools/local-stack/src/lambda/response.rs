//! Converts a function's response or failure into the HTTP response for the client.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::event::EntryPoint;

/// The largest response that Lambda accepts from a function.
pub const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub enum InvocationFailure {
    /// The function reported an error, with this body.
    Reported(String),
    /// The process exited during the invocation, or before its first event.
    Exited(String),
    /// The invocation exceeded its time limit, and the process was killed.
    TimedOut,
    /// The response is not an HTTP response.
    InvalidResponse(String),
}

/// A response of payload version 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
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

/// Returns the HTTP response. A JSON value without a `statusCode` is the body of a 200.
pub fn response(answer: &Bytes) -> Result<Response<Body>, InvocationFailure> {
    let invalid = |why: String| InvocationFailure::InvalidResponse(why);
    if answer.len() > MAX_RESPONSE_BYTES {
        return Err(invalid(format!("{} bytes are more than Lambda accepts", answer.len())));
    }
    let value: Value = serde_json::from_slice(answer).map_err(|error| invalid(error.to_string()))?;
    if value.get("statusCode").is_none() {
        let body = Body::from(answer.clone());
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json").body(body);
        return response.map_err(|error| invalid(error.to_string()));
    }
    let answer: Payload = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    let status = StatusCode::from_u16(answer.status_code).map_err(|error| invalid(error.to_string()))?;
    let mut response = Response::new(Body::from(body(answer.body, answer.is_base64_encoded)?));
    *response.status_mut() = status;
    for (name, value) in answer.headers.unwrap_or_default() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name =
            HeaderName::try_from(&name).map_err(|_| invalid(format!("invalid header name: {name}")))?;
        let value = HeaderValue::try_from(&value)
            .map_err(|_| invalid(format!("invalid value of the header {name}")))?;
        // The front end sets it itself.
        if name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name, value);
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        let cookie = HeaderValue::try_from(&cookie).map_err(|_| invalid("invalid cookie".to_owned()))?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if !response.headers().contains_key(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Ok(response)
}

fn body(body: Option<String>, is_base64_encoded: bool) -> Result<Bytes, InvocationFailure> {
    let body = body.unwrap_or_default();
    if !is_base64_encoded {
        return Ok(Bytes::from(body));
    }
    STANDARD
        .decode(body)
        .map(Bytes::from)
        .map_err(|error| InvocationFailure::InvalidResponse(format!("the body is not base64: {error}")))
}

/// Returns the response for a failure, which never contains the cause.
pub fn failure_response(entry_point: EntryPoint, failure: &InvocationFailure) -> Response<Body> {
    let (status, content_type, body) = match (entry_point, failure) {
        (EntryPoint::HttpApi(_), InvocationFailure::TimedOut) => {
            (StatusCode::SERVICE_UNAVAILABLE, "application/json", r#"{"message":"Service Unavailable"}"#)
        }
        (EntryPoint::HttpApi(_), _) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "application/json", r#"{"message":"Internal Server Error"}"#)
        }
        (EntryPoint::RestApi(_), InvocationFailure::TimedOut) => {
            (StatusCode::GATEWAY_TIMEOUT, "application/json", r#"{"message": "Endpoint request timed out"}"#)
        }
        (EntryPoint::RestApi(_), _) => {
            (StatusCode::BAD_GATEWAY, "application/json", r#"{"message": "Internal server error"}"#)
        }
        // A function URL does not distinguish timeouts from other failures.
        (EntryPoint::FunctionUrl, _) => (StatusCode::BAD_GATEWAY, "text/plain", "Internal Server Error"),
    };
    simple_response(status, content_type, body)
}

/// Returns a response of the front end itself.
pub fn simple_response(status: StatusCode, content_type: &'static str, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(answer: &'static str) -> Result<Response<Body>, InvocationFailure> {
        super::response(&Bytes::from(answer))
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(
            axum::body::to_bytes(response.into_body(), MAX_RESPONSE_BYTES).await.unwrap().to_vec(),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn payload_version_two_is_converted() {
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
    async fn value_without_status_code_is_a_json_body() {
        let response = response(r#"{"message":"hello"}"#).unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        assert_eq!(text(response).await, r#"{"message":"hello"}"#);
    }

    #[test]
    fn invalid_responses_are_rejected() {
        for answer in [
            "",
            "{",
            r#"{"statusCode":"x"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
        ] {
            assert!(matches!(response(answer), Err(InvocationFailure::InvalidResponse(_))), "{answer}");
        }
        assert!(matches!(
            response(r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#),
            Err(InvocationFailure::InvalidResponse(_))
        ));
    }
}
