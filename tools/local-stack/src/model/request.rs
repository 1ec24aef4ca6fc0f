//! A parsed HTTP request.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;

use super::error::ApiError;

const PATH: &str = "/v1/responses";

/// A request with its complete body.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn new(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        let (path, query) = (uri.path().to_owned(), uri.query().map(str::to_owned));
        Self { method, path, query, headers, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Validates everything except the body, in OpenAI's order.
    pub(super) fn check(&self, api_key: &str) -> Result<(), ApiError> {
        if self.path != PATH {
            let message = format!("Invalid URL ({} {})", self.method, self.path);
            return Err(ApiError::new(StatusCode::NOT_FOUND, None, message));
        }
        if self.method != Method::POST {
            let message = format!("Not allowed to {} on {PATH}.", self.method);
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(ApiError::new(status, Some("method_not_supported"), message));
        }
        self.authenticate(api_key)?;
        match self.query.as_deref().and_then(|query| query.split('=').next()) {
            None | Some("") => Ok(()),
            Some(name) => {
                let message = format!("Unknown parameter: '{name}'.");
                Err(ApiError::parameter(name, "unknown_parameter", message))
            }
        }
    }

    fn authenticate(&self, api_key: &str) -> Result<(), ApiError> {
        let status = StatusCode::UNAUTHORIZED;
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match bearer.filter(|key| !key.is_empty()) {
            Some(key) if key == api_key => Ok(()),
            Some(key) => {
                let message = format!("Incorrect API key provided: {}.", masked(key));
                Err(ApiError::new(status, Some("invalid_api_key"), message))
            }
            None => {
                let message = "You didn't provide an API key. Send it as 'Authorization: Bearer KEY'.";
                Err(ApiError::new(status, None, message))
            }
        }
    }

    pub(super) fn json(&self) -> Result<Value, ApiError> {
        let content_type = self.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let message = format!(
                "Unsupported content type: '{content_type}'. This API method only accepts \
                 'application/json' requests, but you specified the header 'Content-Type: {content_type}'."
            );
            let status = StatusCode::BAD_REQUEST;
            return Err(ApiError::new(status, Some("unsupported_content_type"), message));
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            let message = "We could not parse the JSON body of your request. The OpenAI API expects a JSON \
                           payload, but what was sent was not valid JSON.";
            ApiError::new(StatusCode::BAD_REQUEST, None, message)
        })
    }
}

/// Masks a key as OpenAI does in its error messages: only the first and last characters are
/// visible.
fn masked(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    if characters.len() < 12 {
        return "*".repeat(characters.len());
    }
    let (head, tail) = (&characters[..3], &characters[characters.len() - 4..]);
    format!("{}{}{}", String::from_iter(head), "*".repeat(8), String::from_iter(tail))
}

/// Returns the text of the last user message of a request's body, or "".
pub fn last_user_text(body: &Value) -> String {
    let items = match &body["input"] {
        Value::String(text) => return text.clone(),
        Value::Array(items) => items,
        _ => return String::new(),
    };
    let Some(message) = items.iter().rev().find(|item| item["role"] == "user") else {
        return String::new();
    };
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
