//! Faults on order.

use std::time::Duration;

use serde_json::Value;

use super::request_log::Sent;

/// What is to go wrong, where, and how often.
///
/// Unless said otherwise it hits every call of the tool until it is cleared. The order of making decides: the first fault that
/// fits and is not used up is the one that happens.
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

/// What happens instead of the answer.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Nothing but the delays.
    Answer,
    /// A status; the work is not done.
    Refuse(u16),
    /// The connection is closed without a word; the work is not done.
    DropBefore,
    /// The connection is closed without a word; the work is done.
    DropAfter,
    /// Half of the answer, then the connection is closed; the work is done.
    Cut,
    /// A 200 that is a page of HTML; the work is done.
    Nonsense,
    /// A 200 with this as its JSON; the work is done.
    Body(Value),
    /// The tool answers with this result; the work is not done.
    Result(Value),
}

impl Effect {
    /// What is sent in the place of the answer, if it is not the answer.
    pub(super) fn spoils(&self) -> Option<Sent> {
        match self {
            Self::Answer | Self::Result(_) => None,
            Self::Refuse(_) => Some(Sent::Refusal),
            Self::DropBefore | Self::DropAfter => Some(Sent::Nothing),
            Self::Cut | Self::Nonsense | Self::Body(_) => Some(Sent::Rubbish),
        }
    }
}

/// Names a fault that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(usize);

impl Fault {
    /// On calls of the tool.
    pub fn on_calls() -> Self {
        Self::on("tools/call")
    }

    /// On another method of MCP.
    pub fn on(rpc: &str) -> Self {
        Self { rpc: Some(rpc.to_owned()), ..Self::everywhere() }
    }

    /// On every POST.
    pub fn everywhere() -> Self {
        let none = Duration::ZERO;
        let (headers, effect) = (Vec::new(), Effect::Answer);
        Self { rpc: None, left: None, share: 1.0, delay: none, late: none, headers, effect }
    }

    /// Hits that many requests and no more.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Hits that share of the requests it fits, by chance.
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Waits before the work begins.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits between the work and the answer.
    pub fn late(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Answers with a status and no work.
    pub fn status(mut self, status: u16) -> Self {
        self.effect = Effect::Refuse(status);
        self
    }

    /// A header of that answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Closes the connection; the work is not done.
    pub fn drop_before(mut self) -> Self {
        self.effect = Effect::DropBefore;
        self
    }

    /// Closes the connection once the work is done.
    pub fn drop_after(mut self) -> Self {
        self.effect = Effect::DropAfter;
        self
    }

    /// Sends half of the answer and closes the connection; the work is done.
    pub fn cut(mut self) -> Self {
        self.effect = Effect::Cut;
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

    /// Has the tool answer with this result instead of doing anything.
    pub fn result(mut self, result: Value) -> Self {
        self.effect = Effect::Result(result);
        self
    }
}

/// All faults that were ever ordered, with how often each has hit.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, u32, bool)>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        self.0.push((fault, 0, true));
        FaultId(self.0.len() - 1)
    }

    /// The result that a fault is to bring about.
    pub(super) fn result(&self, id: usize) -> Option<Value> {
        match &self.0.get(id)?.0.effect {
            Effect::Result(result) => Some(result.clone()),
            _ => None,
        }
    }

    /// The fault that hits this request, and its place.
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
