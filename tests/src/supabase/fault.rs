//! What can go wrong with Supabase, on order.

use std::time::Duration;

use crate::http::Chance;

/// How the gateway behaves until it is told otherwise.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Well.
    #[default]
    None,
    /// Not there: connections are cut and new ones refused.
    Down,
    /// There, but PostgREST behind it is not: 503 for every request, with nothing done.
    Unavailable,
    /// Slow: every request waits this long before it is looked at.
    Delay(Duration),
    /// Silent: connections are accepted, requests taken, and never answered.
    Silent,
    /// Well, but of a project that still signs with the legacy secret: it publishes no key.
    NoSigningKeys,
    /// Out of order now and then: of the requests for PostgREST, those that are struck go wrong in one of these ways.
    Unreliable(Chance),
}

/// What becomes of a request for PostgREST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// 503 from in front of PostgREST; nothing is done.
    Unavailable,
    /// It takes its time.
    Delay(Duration),
    /// The connection is reset; nothing is done.
    ResetBefore,
    /// The connection is reset; it is done.
    ResetAfter,
    /// Half of the answer; it is done.
    Cut,
}

impl Mishap {
    /// Each as likely as the others.
    const ALL: [Self; 6] = [
        Self::Unavailable,
        Self::Delay(Duration::from_millis(50)),
        Self::Delay(Duration::from_millis(400)),
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Cut,
    ];

    /// What happens this time, if anything.
    pub(super) fn draw(chance: &Chance) -> Option<Self> {
        chance.strikes().then(|| chance.pick(&Self::ALL)).flatten()
    }
}
