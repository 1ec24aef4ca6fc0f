//! What is done without a caller: idle sessions end, and what a crash or an outage left behind is put right.
//!
//! Every step works in batches until nothing is left or its time is over, and may be run by many at once: the database
//! hands out each row to one of them.

mod idle;
mod retired;
mod settling;
mod transcripts;

use serde::Serialize;

pub use idle::expire_idle_sessions;
pub use retired::cancel_retired;
pub use settling::{expire_escalations, settle_abandoned, sweep};
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
}
