//! What is done without a caller: idle sessions end, and what a crash or an outage left behind is put right.
//!
//! Every step works in batches until nothing is left or its time is over, and may be run by many at once: the database
//! hands out each row to one of them.

mod erasures;
mod idle;
mod overdue;
mod retired;
mod settling;
mod state;
mod transcripts;

use serde::Serialize;

pub use erasures::take_up_erasures;
pub use idle::expire_idle_sessions;
pub use overdue::erase_overdue;
pub use retired::cancel_retired;
pub use settling::{expire_escalations, settle_abandoned, sweep};
pub use state::look_at_service;
pub use transcripts::copy_transcripts;

/// Rows that one call of the database takes on.
const BATCH: u32 = 100;

/// How long the rows of a batch are nobody else's, in seconds.
const LEASE_SECONDS: u32 = 60;

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Requests to ChatKit whose process died, now marked as failed.
    pub settled_requests: u64,
    /// Sessions that never got a secret, now ended.
    pub failed_sessions: u64,
    /// Escalations whose time was over.
    pub expired_escalations: u64,
    /// Sessions that ended for being idle.
    pub expired_sessions: u64,
    /// Sessions that turned out to be in use.
    pub found_active: u64,
    /// Sessions left to a later round, since ChatKit did not answer or the time was over.
    pub postponed: u64,
    /// ChatKit sessions that were cancelled.
    pub cancelled_chatkit: u64,
    /// ChatKit sessions that could not be cancelled this time.
    pub uncancelled_chatkit: u64,
    /// Messages that were copied from ChatKit's threads.
    pub copied_messages: u64,
    /// Client secrets that were erased since they had run out.
    pub erased_secrets: u64,
    /// Idempotency keys that were forgotten.
    pub forgotten_keys: u64,
    /// Sessions that were erased since their organisation keeps them no longer.
    pub erased_sessions: u64,
    /// Sessions that are overdue and could not be erased this time.
    pub unerased_sessions: u64,
    /// Threads of erased sessions that were deleted at ChatKit.
    pub deleted_threads: u64,
    /// Persons whose erasure had stopped and is finished now.
    pub finished_erasures: u64,
    /// Persons whose erasure goes on with a later round.
    pub unfinished_erasures: u64,
    /// Escalations that wait for a person, at the round's end.
    pub open_escalations: u64,
    /// For how long the delivery that waits longest has been due, at the round's end.
    pub oldest_undelivered_seconds: u64,
    /// Deliveries that were given up or whose outcome is unknown, at the round's end.
    pub dead_deliveries: u64,
}
