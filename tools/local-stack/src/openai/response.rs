//! Answers and refusals as OpenAI shapes them.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// OpenAI's `type` of every mistake of the caller.
const INVALID_REQUEST: &str = "invalid_request_error";

/// What the work on a request came to.
pub(super) type Outcome = Result<Value, Refusal>;

/// An answer that is no success: a status and OpenAI's error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) kind: &'static str,
    pub(super) param: Option<String>,
    pub(super) code: Option<String>,
    /// Headers that belong to this refusal, such as `retry-after`.
    pub(super) headers: Vec<(String, String)>,
}

impl Refusal {
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

    /// 400 for one parameter, named as OpenAI does: `workflow.tracing.enabled`.
    pub(super) fn parameter(param: &str, code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some(param), Some(code), message.into())
    }

    /// Some other mistake of the caller.
    pub(super) fn request(status: StatusCode, code: Option<&str>, message: impl Into<String>) -> Self {
        Self::new(status, INVALID_REQUEST, None, code, message.into())
    }

    /// 404 as for every id that is unknown, gone, or another project's: no code tells them apart.
    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::request(StatusCode::NOT_FOUND, None, format!("{what} with id '{id}' not found."))
    }

    /// 429, to be tried again after that many seconds.
    pub(super) fn rate_limited(seconds: u64) -> Self {
        let message = format!("Rate limit reached for this session. Try again in {seconds}s.");
        let code = Some("rate_limit_exceeded");
        let mut refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", None, code, message);
        refusal.headers.push(("retry-after".to_owned(), seconds.to_string()));
        refusal
    }

    /// What OpenAI's edge answers with this status when nothing more is known.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (kind, code) = match status.as_u16() {
            401 => (INVALID_REQUEST, Some("invalid_api_key")),
            429 => ("requests", Some("rate_limit_exceeded")),
            500.. => ("server_error", None),
            _ => (INVALID_REQUEST, None),
        };
        Self::new(status, kind, None, code, format!("The stand-in was asked to answer {status}."))
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
