//! Faults that a test adds to the fake.

use std::time::Duration;

use axum::http::StatusCode;

use super::error::ApiError;
use super::script::End;
use crate::http::RandomFault;

/// A fault: which requests it affects, how often, and its effect.
///
/// By default it affects every request until it is cleared. If several faults match, the first one
/// that was added and is not exhausted applies.
#[derive(Debug, Clone)]
pub struct Fault {
    user_text: Option<String>,
    left: Option<u32>,
    chance: Option<RandomFault>,
    pub(super) delay: Duration,
    pub(super) headers: Vec<(String, String)>,
    pub(super) effect: Effect,
}

/// The effect of a fault on the response.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    DelayOnly,
    Error(ApiError),
    Response(StatusCode, &'static str, String),
    Reset,
    Hang,
    /// Replaces the end of the answer after a number of deltas.
    EndAfter(usize, End),
}

impl Fault {
    fn new(effect: Effect) -> Self {
        let delay = Duration::ZERO;
        Self { user_text: None, left: None, chance: None, delay, headers: Vec::new(), effect }
    }

    fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(Effect::Error(ApiError::new(status, code, message).with_kind(kind)))
    }

    /// Delays the headers of the response.
    pub fn slow(delay: Duration) -> Self {
        Self::new(Effect::DelayOnly).delay(delay)
    }

    /// 429: too many tokens a minute.
    pub fn rate_limited() -> Self {
        let message = "Rate limit reached for this model on tokens per min (TPM). Please try again later.";
        Self::error(429, "tokens", Some("rate_limit_exceeded"), message)
    }

    /// 429: no money. A repeat does not help.
    pub fn insufficient_quota() -> Self {
        let message = "You exceeded your current quota, please check your plan and billing details.";
        Self::error(429, "insufficient_quota", Some("insufficient_quota"), message)
    }

    /// 500 with OpenAI's envelope.
    pub fn server_error() -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        Self::error(500, "server_error", None, message)
    }

    /// 503 with OpenAI's envelope.
    pub fn overloaded() -> Self {
        let message = "The engine is currently overloaded, please try again later.";
        Self::error(503, "server_error", Some("server_is_overloaded"), message)
    }

    /// Any other status with OpenAI's envelope. An invalid status becomes 500.
    pub fn status(status: u16, code: Option<&str>) -> Self {
        let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
        Self::error(status, kind, code, &format!("The test requested the status {status}."))
    }

    /// An HTML page of a proxy, for example with the status 502. An invalid status becomes 500.
    pub fn html(status: u16) -> Self {
        let page = "<html><head><title>Bad gateway</title></head><body></body></html>";
        Self::response(status, "text/html", page)
    }

    /// Any response. An invalid status becomes 500.
    pub fn response(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(Effect::Response(status, content_type, body.into()))
    }

    /// Resets the connection instead of a response.
    pub fn reset() -> Self {
        Self::new(Effect::Reset)
    }

    /// Sends no response and keeps the connection open.
    pub fn hang() -> Self {
        Self::new(Effect::Hang)
    }

    /// Ends the answer in another way after this number of deltas. If the answer has fewer deltas,
    /// its last item is the last one before the end.
    pub fn end_after(deltas: usize, end: End) -> Self {
        Self::new(Effect::EndAfter(deltas, end))
    }

    /// Adds a header to the response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Retry-After`: seconds, a date, or nonsense.
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

    /// Delays the headers of the response.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
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

    /// Limits the fault to requests whose last user message contains this text.
    pub fn when(mut self, text: &str) -> Self {
        self.user_text = Some(text.to_owned());
        self
    }
}

/// Identifies an added fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(usize);

/// All faults, including cleared ones.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<FaultEntry>);

#[derive(Debug)]
struct FaultEntry {
    fault: Fault,
    hits: u32,
    is_cleared: bool,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        self.0.push(FaultEntry { fault, hits: 0, is_cleared: false });
        FaultId(self.0.len() - 1)
    }

    /// Returns the fault that affects this request, and counts the hit.
    pub(super) fn take(&mut self, user_text: &str) -> Option<Fault> {
        let entry = self.0.iter_mut().find(|FaultEntry { fault, hits, is_cleared }| {
            !is_cleared
                && fault.left.is_none_or(|left| *hits < left)
                && fault.user_text.as_deref().is_none_or(|text| user_text.contains(text))
                && fault.chance.as_ref().is_none_or(RandomFault::occurs)
        })?;
        entry.hits += 1;
        Some(entry.fault.clone())
    }

    pub(super) fn hits(&self, FaultId(index): FaultId) -> u32 {
        self.0.get(index).map_or(0, |entry| entry.hits)
    }

    pub(super) fn clear(&mut self, id: Option<FaultId>) {
        for (index, entry) in self.0.iter_mut().enumerate() {
            entry.is_cleared |= id.is_none_or(|id| id == FaultId(index));
        }
    }
}
