//! What can go wrong with Supabase, on order.

use std::time::Duration;

/// How the gateway behaves until it is told otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
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
}
