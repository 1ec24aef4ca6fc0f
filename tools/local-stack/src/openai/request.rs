//! A parsed HTTP request.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;

use super::page::Page;
use super::response::ApiError;

/// A request with its complete body.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn new(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let query = query.into_owned().collect();
        Self { method, path: uri.path().to_owned(), query, headers, body }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the bearer token, unless it is empty.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").filter(|token| !token.is_empty())
    }

    pub(super) fn json(&self) -> Result<Value, ApiError> {
        let content_type = self.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let message = format!("Unsupported content type: '{content_type}'. Send 'application/json'.");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::request(status, Some("unsupported_content_type"), message));
        }
        serde_json::from_slice(&self.body).map_err(|e| {
            let message = format!("The body of the request is not valid JSON: {e}.");
            ApiError::request(StatusCode::BAD_REQUEST, None, message)
        })
    }

    pub(super) fn require_no_query(&self) -> Result<(), ApiError> {
        let Some((name, _)) = self.query.first() else { return Ok(()) };
        let message = format!("Unknown parameter: '{name}'.");
        Err(ApiError::parameter(name, "unknown_parameter", message))
    }

    /// Rejects a body and query parameters.
    pub(super) fn require_no_body_or_query(&self) -> Result<(), ApiError> {
        self.require_no_body()?;
        self.require_no_query()
    }

    /// Parses the pagination parameters and rejects a body.
    pub(super) fn page(&self, by_user: bool) -> Result<Page, ApiError> {
        self.require_no_body()?;
        Page::parse(&self.query, by_user)
    }

    fn require_no_body(&self) -> Result<(), ApiError> {
        if self.body.is_empty() {
            return Ok(());
        }
        let message = "This request does not take a body.";
        Err(ApiError::request(StatusCode::BAD_REQUEST, Some("unexpected_body"), message))
    }
}
