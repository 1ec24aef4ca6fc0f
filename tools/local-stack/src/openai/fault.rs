//! Faults on order.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::operation::Operation;
use super::response::Refusal;
use crate::http::RandomFault;

/// What is to go wrong, where, and how often.
///
/// Unless said otherwise it hits every request until it is cleared. The order of making decides: the first fault
/// that fits and is not used up is the one that happens.
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

/// What happens instead of the answer.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Nothing but the delays.
    Answer,
    /// A refusal; the work is not done.
    Refuse(StatusCode),
    /// The connection is reset; the work is not done.
    ResetBefore,
    /// The connection is reset; the work is done.
    ResetAfter,
    /// Half of the body, then the connection is closed; the work is done.
    CutBody,
    /// A 200 that is a page of HTML; the work is done.
    Nonsense,
    /// A 200 with this body; the work is done.
    Body(Value),
    /// An answer of somebody before OpenAI; the work is not done.
    Page(StatusCode, &'static str, String),
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
            effect: Effect::Answer,
        }
    }

    /// On one operation.
    pub fn new(on: Operation) -> Self {
        Self::on(Some(on))
    }

    /// On every request, whatever its URL.
    pub fn everywhere() -> Self {
        Self::on(None)
    }

    /// Only where the call concerns this user of OpenAI's API (by body, query, session, thread or client secret).
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Only where this is in the request's path: an id, say, or the beginning of many.
    pub fn about(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Hits that many requests and no more.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Hits that share of the requests, at random.
    pub fn chance(mut self, chance: RandomFault) -> Self {
        self.chance = Some(chance);
        self
    }

    /// Waits before the work begins. A caller who goes away meanwhile does not stop the work.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits between the work and the answer.
    pub fn late(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Refuses with OpenAI's envelope; the work is not done. A status that is none becomes 500.
    pub fn status(mut self, status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.effect = Effect::Refuse(status);
        self
    }

    /// `error.code` of the refusal.
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// A header of the refusal.
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

    /// `x-should-retry`: OpenAI's word on it, which stands above the status.
    pub fn should_retry(self, yes: bool) -> Self {
        self.header("x-should-retry", if yes { "true" } else { "false" })
    }

    /// Resets the connection; the work is not done.
    pub fn reset_before(mut self) -> Self {
        self.effect = Effect::ResetBefore;
        self
    }

    /// Resets the connection once the work is done.
    pub fn reset_after(mut self) -> Self {
        self.effect = Effect::ResetAfter;
        self
    }

    /// Sends half of the body and closes the connection; the work is done.
    pub fn cut_body(mut self) -> Self {
        self.effect = Effect::CutBody;
        self
    }

    /// Answers 200 with a page of HTML; the work is done.
    pub fn nonsense(mut self) -> Self {
        self.effect = Effect::Nonsense;
        self
    }

    /// Answers 200 with this JSON; the work is done.
    pub fn body(mut self, body: Value) -> Self {
        self.effect = Effect::Body(body);
        self
    }

    /// Answers in OpenAI's place with this type and body, as a network or a firewall before it does; the work is not done. A status
    /// that is none becomes 500.
    pub fn page(mut self, status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.effect = Effect::Page(status, content_type, body.into());
        self
    }

    /// Whether it is meant for such a request.
    pub(super) fn fits(&self, on: Option<Operation>, user: Option<&str>, path: &str) -> bool {
        (self.on.is_none() || self.on == on)
            && self.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
            && (self.user.is_none() || self.user.as_deref() == user)
            && self.chance.as_ref().is_none_or(RandomFault::strikes)
    }

    /// Whether it has hit as many requests as it was to hit.
    pub(super) fn used_up(&self, hits: u32) -> bool {
        self.left.is_some_and(|left| hits >= left)
    }

    /// The headers that were asked for.
    pub(super) fn headers(&self) -> impl Iterator<Item = &(String, String)> {
        self.headers.iter()
    }

    /// The refusal that was asked for.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let Effect::Refuse(status) = self.effect else { return None };
        let mut refusal = Refusal::of_status(status);
        refusal.code = self.code.clone().or(refusal.code);
        refusal.headers.clone_from(&self.headers);
        Some(refusal)
    }
}
