//! The last events of a response.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::parameters::context_overflow;
use super::render::{Answer, Close, Renderer};
use super::script::{End, ErrorShape, Usage};
use super::tokens::BYTES_PER_TOKEN;

impl Renderer<'_> {
    /// An input that is too long: OpenAI accepts the request and reports the error in the stream.
    pub(super) fn overflow(mut self) -> Answer {
        let ApiError { message, code, .. } = context_overflow();
        self.end = End::Error {
            shape: ErrorShape::Nested,
            code: code.unwrap_or_default(),
            message,
            then_failed: true,
        };
        self.finish(None)
    }

    pub(super) fn finish(mut self, usage: Option<Usage>) -> Answer {
        self.set("output", json!(self.output));
        let end = self.end.clone();
        let mut error = None;
        let close = match &end {
            End::Completed => {
                self.set("completed_at", self.response["created_at"].clone());
                self.end_with("completed", usage);
                Close::End
            }
            End::Incomplete(reason) => {
                self.set("incomplete_details", json!({"reason": reason.name()}));
                self.end_with("incomplete", usage);
                Close::End
            }
            End::Failed { code, message } => {
                self.fail(code, message);
                Close::End
            }
            End::Error { shape, code, message, then_failed } => {
                error = Some(self.error_event(*shape, code, message));
                if *then_failed {
                    self.fail(code, message);
                }
                Close::End
            }
            End::Truncated => Close::End,
            End::Reset => Close::Reset,
            End::Disconnect => Close::Disconnect,
            End::Hang => Close::Hang,
        };
        Answer { frames: self.frames, close, response: Value::Object(self.response), error }
    }

    fn end_with(&mut self, status: &str, usage: Option<Usage>) {
        let tokens = |bytes: usize| bytes.div_ceil(BYTES_PER_TOKEN) as u64;
        let usage = usage.unwrap_or(Usage {
            input: self.new.input_tokens,
            cached: 0,
            output: tokens(self.bytes),
            reasoning: tokens(self.reasoning_bytes),
        });
        let tier = match self.response["service_tier"].as_str() {
            Some("auto") | None => "default".to_owned(),
            Some(tier) => tier.to_owned(),
        };
        self.set("service_tier", json!(tier));
        self.set("status", json!(status));
        self.set(
            "usage",
            json!({
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.input + usage.output,
            }),
        );
        self.lifecycle(&format!("response.{status}"));
    }

    fn fail(&mut self, code: &str, message: &str) {
        self.set("status", json!("failed"));
        self.set("error", json!({"code": code, "message": message}));
        self.lifecycle("response.failed");
    }

    /// Sends the event `error`, and returns the error of a response that is not streamed.
    fn error_event(&mut self, shape: ErrorShape, code: &str, message: &str) -> ApiError {
        let (status, kind) = match code {
            "rate_limit_exceeded" => (StatusCode::TOO_MANY_REQUESTS, "tokens"),
            "insufficient_quota" => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota"),
            "server_error" => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request_error"),
        };
        let fields = match shape {
            ErrorShape::Flat => json!({"code": code, "message": message, "param": null}),
            ErrorShape::Nested => {
                json!({"error": {"type": kind, "code": code, "message": message, "param": null}})
            }
        };
        self.event("error", &Map::new(), fields);
        ApiError::new(status, Some(code), message).with_kind(kind)
    }
}
