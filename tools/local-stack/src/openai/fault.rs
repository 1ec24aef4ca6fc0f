//! Faults that a test adds to the OpenAI fake.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::operation::Operation;
use super::response::ApiError;
use crate::http::RandomFault;

/// A fault: which requests it affects, how often, and its effect.
///
/// By default it affects every request until it is cleared. If several faults match, the first one
/// that was added and is not exhausted applies.
#[derive(Debug, Clone)]
pub struct Fault {
    on: Option<Operation>,
    user: Option<String>,
    path: Option<String>,
    left: Option<u32>,
    chance: Option<RandomFault>,
    pub(super) delay: Duration,
    pub(super) late: Duration,
    code: Option<String>,
    headers: Vec<(String, String)>,
    pub(super) effect: Effect,
}

/// The effect of a fault on the response.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    DelayOnly,
    /// An error response; the work is not done.
    Error(StatusCode),
    /// The connection is reset before the work is done.
    ResetBefore,
    /// The connection is reset after the work is done.
    ResetAfter,
    /// The connection closes after half of the body; the work is done.
    CutBody,
    /// A 200 with an HTML page; the work is done.
    HtmlBody,
    /// A 200 with this body; the work is done.
    Body(Value),
    /// The response of a proxy in front of OpenAI; the work is not done.
    Response(StatusCode, &'static str, String),
}

impl Fault {
    fn on(on: Option<Operation>) -> Self {
        let none = Duration::ZERO;
        let (code, headers) = (None, Vec::new());
        Self {
            on,
            user: None,
            path: None,
            left: None,
            chance: None,
            delay: none,
            late: none,
            code,
            headers,
            effect: Effect::DelayOnly,
        }
    }

    pub fn new(on: Operation) -> Self {
        Self::on(Some(on))
    }

    /// A fault of every request, whatever its URL.
    pub fn everywhere() -> Self {
        Self::on(None)
    }

    /// Limits the fault to one user, who is found by body, query, session, thread or client secret.
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Limits the fault to requests whose path contains `part`, for example an id.
    pub fn path_contains(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Limits the fault to `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    pub fn random(mut self, chance: RandomFault) -> Self {
        self.chance = Some(chance);
        self
    }

    /// Delays the work. A client that disconnects meanwhile does not stop the work.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Delays the response after the work is done.
    pub fn delay_response(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Returns an error with OpenAI's envelope; the work is not done. An invalid status becomes
    /// 500.
    pub fn status(mut self, status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.effect = Effect::Error(status);
        self
    }

    /// `error.code` of the error response.
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// A header of the error response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Retry-After`: seconds or a date.
    pub fn retry_after(self, value: &str) -> Self {
        self.header("retry-after", value)
    }

    /// `retry-after-ms`: milliseconds, which OpenAI's SDKs prefer to `Retry-After`.
    pub fn retry_after_ms(self, value: &str) -> Self {
        self.header("retry-after-ms", value)
    }

    /// `x-should-retry`, which takes precedence over the status.
    pub fn should_retry(self, yes: bool) -> Self {
        self.header("x-should-retry", if yes { "true" } else { "false" })
    }

    /// Resets the connection before the work is done.
    pub fn reset_before(mut self) -> Self {
        self.effect = Effect::ResetBefore;
        self
    }

    /// Resets the connection after the work is done.
    pub fn reset_after(mut self) -> Self {
        self.effect = Effect::ResetAfter;
        self
    }

    /// Closes the connection after half of the body; the work is done.
    pub fn cut_body(mut self) -> Self {
        self.effect = Effect::CutBody;
        self
    }

    /// Returns 200 with an HTML page; the work is done.
    pub fn html_body(mut self) -> Self {
        self.effect = Effect::HtmlBody;
        self
    }

    /// Returns 200 with this JSON; the work is done.
    pub fn body(mut self, body: Value) -> Self {
        self.effect = Effect::Body(body);
        self
    }

    /// Returns a response with this type and body, as a network or a firewall in front of OpenAI
    /// does; the work is not done. An invalid status becomes 500.
    pub fn replace_response(
        mut self,
        status: u16,
        content_type: &'static str,
        body: impl Into<String>,
    ) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.effect = Effect::Response(status, content_type, body.into());
        self
    }

    /// Returns whether the fault applies to this request.
    pub(super) fn matches(&self, on: Option<Operation>, user: Option<&str>, path: &str) -> bool {
        (self.on.is_none() || self.on == on)
            && self.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
            && (self.user.is_none() || self.user.as_deref() == user)
            && self.chance.as_ref().is_none_or(RandomFault::occurs)
    }

    /// Returns whether the fault has affected all its requests.
    pub(super) fn is_exhausted(&self, hits: u32) -> bool {
        self.left.is_some_and(|left| hits >= left)
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = &(String, String)> {
        self.headers.iter()
    }

    pub(super) fn api_error(&self) -> Option<ApiError> {
        let Effect::Error(status) = self.effect else { return None };
        let mut error = ApiError::from_status(status);
        error.code = self.code.clone().or(error.code);
        error.headers.clone_from(&self.headers);
        Some(error)
    }
}
