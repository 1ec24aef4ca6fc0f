//! Responses and errors in OpenAI's shapes.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// OpenAI's `type` of every client error.
const INVALID_REQUEST: &str = "invalid_request_error";

/// The result of a request.
pub(super) type Outcome = Result<Value, ApiError>;

/// An error response: a status and OpenAI's error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) kind: &'static str,
    pub(super) param: Option<String>,
    pub(super) code: Option<String>,
    /// Headers of this error, for example `retry-after`.
    pub(super) headers: Vec<(String, String)>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        param: Option<&str>,
        code: Option<&str>,
        message: String,
    ) -> Self {
        Self {
            status,
            message,
            kind,
            param: param.map(str::to_owned),
            code: code.map(str::to_owned),
            headers: Vec::new(),
        }
    }

    /// 400 for one parameter, with its path, for example `workflow.tracing.enabled`.
    pub(super) fn parameter(param: &str, code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some(param), Some(code), message.into())
    }

    /// Any other client error.
    pub(super) fn request(status: StatusCode, code: Option<&str>, message: impl Into<String>) -> Self {
        Self::new(status, INVALID_REQUEST, None, code, message.into())
    }

    /// 404 for every id that is unknown, deleted, or of another project. OpenAI does not
    /// distinguish them.
    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::request(StatusCode::NOT_FOUND, None, format!("{what} with id '{id}' not found."))
    }

    /// 429 with the seconds after which to retry.
    pub(super) fn rate_limited(seconds: u64) -> Self {
        let message = format!("Rate limit reached for this session. Try again in {seconds}s.");
        let code = Some("rate_limit_exceeded");
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", None, code, message);
        error.headers.push(("retry-after".to_owned(), seconds.to_string()));
        error
    }

    /// The error that OpenAI returns with this status by default.
    pub(super) fn from_status(status: StatusCode) -> Self {
        let (kind, code) = match status.as_u16() {
            401 => (INVALID_REQUEST, Some("invalid_api_key")),
            429 => ("requests", Some("rate_limit_exceeded")),
            500.. => ("server_error", None),
            _ => (INVALID_REQUEST, None),
        };
        Self::new(status, kind, None, code, format!("The test requested the status {status}."))
    }

    pub(super) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}
