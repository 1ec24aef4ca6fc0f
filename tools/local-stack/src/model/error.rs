//! Error responses in OpenAI's shape.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// OpenAI's `type` of most client errors.
const INVALID_REQUEST: &str = "invalid_request_error";

/// An error response: a status and OpenAI's error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) kind: String,
    pub(super) param: Option<String>,
    pub(super) code: Option<String>,
}

impl ApiError {
    /// A client error without a parameter.
    pub(super) fn new(status: StatusCode, code: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: INVALID_REQUEST.to_owned(),
            param: None,
            code: code.map(str::to_owned),
        }
    }

    /// 400 for one parameter, with its path, for example `input[0].content`.
    pub(super) fn parameter(param: &str, code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some(code), message).with_param(param)
    }

    /// 400 for the input items together. OpenAI does not give these errors a code.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, None, message).with_param("input")
    }

    /// 400 for something that OpenAI may accept and the fake does not simulate.
    pub(super) fn not_simulated(param: &str) -> Self {
        Self::parameter(param, "unsupported_parameter", format!("The fake does not simulate '{param}'."))
    }

    pub(super) fn with_param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    pub(super) fn with_kind(mut self, kind: &str) -> Self {
        self.kind = kind.to_owned();
        self
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
