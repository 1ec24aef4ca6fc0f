//! A request as it came off the wire.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;

use super::page::Page;
use super::response::Refusal;

/// A whole request.
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

    /// What stands after `Bearer `, if anything does.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").filter(|token| !token.is_empty())
    }

    /// The JSON body of a call that has one.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        let named = self.header("content-type").unwrap_or_default();
        let essence = named.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let message = format!("Unsupported content type: '{named}'. Send 'application/json'.");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refusal::request(status, Some("unsupported_content_type"), message));
        }
        serde_json::from_slice(&self.body).map_err(|e| {
            let message = format!("The body of the request is not valid JSON: {e}.");
            Refusal::request(StatusCode::BAD_REQUEST, None, message)
        })
    }

    /// Refuses a query where the call has none.
    pub(super) fn no_query(&self) -> Result<(), Refusal> {
        let Some((name, _)) = self.query.first() else { return Ok(()) };
        let message = format!("Unknown parameter: '{name}'.");
        Err(Refusal::parameter(name, "unknown_parameter", message))
    }

    /// Refuses a body and a query where the call has neither.
    pub(super) fn bare(&self) -> Result<(), Refusal> {
        self.no_body()?;
        self.no_query()
    }

    /// The page of a list that is asked for, which takes no body.
    pub(super) fn page(&self, by_user: bool) -> Result<Page, Refusal> {
        self.no_body()?;
        Page::parse(&self.query, by_user)
    }

    fn no_body(&self) -> Result<(), Refusal> {
        if self.body.is_empty() {
            return Ok(());
        }
        let message = "This call takes no body.";
        Err(Refusal::request(StatusCode::BAD_REQUEST, Some("unexpected_body"), message))
    }
}
