//! Faults that a test adds to an agent.

use std::time::Duration;

use serde_json::Value;

use super::request_log::SentResponse;

/// A fault: which requests it affects, how often, and its effect.
///
/// By default it affects every call of the tool until it is cleared. If several faults match, the
/// first one that was added and is not exhausted applies.
#[derive(Debug, Clone)]
pub struct Fault {
    rpc: Option<String>,
    left: Option<u32>,
    share: f64,
    pub(super) delay: Duration,
    pub(super) late: Duration,
    pub(super) headers: Vec<(String, String)>,
    pub(super) effect: Effect,
}

/// The effect of a fault on the response.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    DelayOnly,
    /// An HTTP status; the work is not done.
    Status(u16),
    /// The connection closes without a response; the work is not done.
    DropBefore,
    /// The connection closes without a response; the work is done.
    DropAfter,
    /// The connection closes after half of the response; the work is done.
    Cut,
    /// A 200 with an HTML page; the work is done.
    HtmlBody,
    /// A 200 with this JSON; the work is done.
    Body(Value),
    /// The tool returns this result; the work is not done.
    Result(Value),
}

impl Effect {
    /// The bytes sent instead of the response, if any.
    pub(super) fn replacement(&self) -> Option<SentResponse> {
        match self {
            Self::DelayOnly | Self::Result(_) => None,
            Self::Status(_) => Some(SentResponse::Error),
            Self::DropBefore | Self::DropAfter => Some(SentResponse::Nothing),
            Self::Cut | Self::HtmlBody | Self::Body(_) => Some(SentResponse::Malformed),
        }
    }
}

/// Identifies an added fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(usize);

impl Fault {
    /// A fault of tool calls.
    pub fn on_calls() -> Self {
        Self::on("tools/call")
    }

    /// A fault of another MCP method.
    pub fn on(rpc: &str) -> Self {
        Self { rpc: Some(rpc.to_owned()), ..Self::everywhere() }
    }

    /// A fault of every POST.
    pub fn everywhere() -> Self {
        let none = Duration::ZERO;
        let (headers, effect) = (Vec::new(), Effect::DelayOnly);
        Self { rpc: None, left: None, share: 1.0, delay: none, late: none, headers, effect }
    }

    /// Limits the fault to `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Affects a share of the requests, at random.
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Delays the response after the work is done.
    pub fn delay_response(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Returns a status; the work is not done.
    pub fn status(mut self, status: u16) -> Self {
        self.effect = Effect::Status(status);
        self
    }

    /// A header of that response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Closes the connection before the work is done.
    pub fn drop_before(mut self) -> Self {
        self.effect = Effect::DropBefore;
        self
    }

    /// Closes the connection after the work is done.
    pub fn drop_after(mut self) -> Self {
        self.effect = Effect::DropAfter;
        self
    }

    /// Closes the connection after half of the response; the work is done.
    pub fn cut(mut self) -> Self {
        self.effect = Effect::Cut;
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

    /// Makes the tool return this result instead of doing the work.
    pub fn result(mut self, result: Value) -> Self {
        self.effect = Effect::Result(result);
        self
    }
}

/// All faults, with their number of hits and whether they are active.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, u32, bool)>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        self.0.push((fault, 0, true));
        FaultId(self.0.len() - 1)
    }

    /// The result that a fault prescribes.
    pub(super) fn result(&self, id: usize) -> Option<Value> {
        match &self.0.get(id)?.0.effect {
            Effect::Result(result) => Some(result.clone()),
            _ => None,
        }
    }

    /// Returns the fault that affects this request, with its index.
    pub(super) fn take(&mut self, rpc: &str) -> Option<(usize, Fault)> {
        let fits = |(_, (fault, hits, live)): &(usize, &mut (Fault, u32, bool))| {
            *live
                && fault.rpc.as_deref().is_none_or(|wanted| wanted == rpc)
                && fault.left.is_none_or(|left| *hits < left)
                && fastrand::f64() < fault.share
        };
        let (place, (fault, hits, _)) = self.0.iter_mut().enumerate().find(fits)?;
        *hits += 1;
        Some((place, fault.clone()))
    }

    pub(super) fn hits(&self, id: FaultId) -> u32 {
        self.0.get(id.0).map_or(0, |(_, hits, _)| *hits)
    }

    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(|(_, _, live)| *live = false);
    }
}
