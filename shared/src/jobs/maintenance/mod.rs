//! What is done without a caller: idle sessions end, and what a crash or an outage left behind is put right.
//!
//! A round goes over its duties again and again, a batch of each at a time, until nothing is left or its time is over; so no duty
//! waits for another's last row. Each fails by itself. Rounds may be run by many at once: the database hands out each row to one of
//! them.

mod cleanup;
mod gauges;
mod idle_sessions;
mod pending_erasures;
mod retention;
mod share;
mod transcripts;
mod uncancelled_chatkit_sessions;

use std::time::Duration;

use serde::Serialize;

use crate::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    error::Error,
    jobs::{FailedJob, Run},
    platform::http_client::Deadline,
};
use share::{Batch, BatchContext};

/// Rows that one call of the database takes on.
const BATCH: u32 = 100;

/// The same of what takes many calls a row.
const SMALL_BATCH: u32 = 24;

/// Rows of a batch that are worked on at the same time.
const CONCURRENCY: usize = 8;

/// How long the rows of a batch are nobody else's, in seconds.
const LEASE_SECONDS: u32 = 60;

/// What is kept back of a round for the last batch to end.
const RESERVE: Duration = Duration::from_secs(10);

/// Does what has to be done without a caller.
pub struct Maintenance {
    /// Where rows are claimed and written.
    pub service_client: ServiceClient,
    /// None where ChatKit is not configured.
    pub chatkit: Option<ChatKit>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    FailAbandonedRequests,
    CancelChatKitSessions,
    ExpireEscalations,
    PurgeExpired,
    ExpireIdleSessions,
    CopyTranscripts,
    ResumeErasures,
    ApplyRetention,
}

impl Job {
    /// All of them. What has ten minutes to live goes before what has been idle for a day, and persons before sessions.
    const ALL: [Self; 8] = [
        Self::FailAbandonedRequests,
        Self::CancelChatKitSessions,
        Self::ExpireEscalations,
        Self::PurgeExpired,
        Self::ExpireIdleSessions,
        Self::CopyTranscripts,
        Self::ResumeErasures,
        Self::ApplyRetention,
    ];

    /// Its name in logs.
    fn name(self) -> &'static str {
        match self {
            Self::FailAbandonedRequests => "fail_abandoned_requests",
            Self::CancelChatKitSessions => "cancel_retired",
            Self::ExpireEscalations => "expire_escalations",
            Self::PurgeExpired => "purge_expired",
            Self::ExpireIdleSessions => "expire_idle_sessions",
            Self::CopyTranscripts => "copy_transcripts",
            Self::ResumeErasures => "take_up_erasures",
            Self::ApplyRetention => "erase_overdue",
        }
    }

    /// Does one batch of it.
    async fn batch(self, share: BatchContext<'_>, report: &mut MaintenanceReport) -> Result<Batch, Error> {
        match self {
            Self::FailAbandonedRequests => cleanup::fail_abandoned_requests(share, report).await,
            Self::CancelChatKitSessions => {
                uncancelled_chatkit_sessions::cancel_chatkit_sessions(share, report).await
            }
            Self::ExpireEscalations => cleanup::expire_escalations(share, report).await,
            Self::PurgeExpired => cleanup::purge_expired(share, report).await,
            Self::ExpireIdleSessions => idle_sessions::expire_idle_sessions(share, report).await,
            Self::CopyTranscripts => transcripts::copy_transcripts(share, report).await,
            Self::ResumeErasures => pending_erasures::resume_erasures(share, report).await,
            Self::ApplyRetention => retention::apply_retention(share, report).await,
        }
    }
}

impl Maintenance {
    /// One round: every duty as far as its share of the time goes, whatever becomes of the others.
    pub async fn run(&self, deadline: Deadline) -> Run<MaintenanceReport> {
        let mut round = Run { report: MaintenanceReport::default(), failures: Vec::new() };
        let mut open = Job::ALL.to_vec();
        while !open.is_empty() && deadline.allows_another_batch() {
            let mut unfinished = Vec::new();
            for (place, duty) in open.iter().copied().enumerate() {
                let (left, duties) = (deadline.minus(RESERVE), open.len() - place);
                let time = left.remaining() / u32::try_from(duties).unwrap_or(1);
                let share = BatchContext {
                    service_client: &self.service_client,
                    chatkit: self.chatkit.as_ref(),
                    deadline,
                    until: left.capped(time),
                };
                if share.is_last() {
                    break;
                }
                match duty.batch(share, &mut round.report).await {
                    Ok(Batch { more, failure }) => {
                        unfinished.extend(more.then_some(duty));
                        round.fail(duty.name(), failure);
                    }
                    Err(error) => round.fail(duty.name(), Some(error)),
                }
            }
            open = unfinished;
        }
        let state = gauges::collect_gauges(&self.service_client, deadline, &mut round.report).await;
        round.fail("look_at_service", state.err());
        round
    }
}

impl Run<MaintenanceReport> {
    /// Notes the first failure of a duty.
    fn fail(&mut self, duty: &'static str, error: Option<Error>) {
        let Some(error) = error.filter(|_| self.failures.iter().all(|failed| failed.duty != duty)) else {
            return;
        };
        tracing::warn!(duty, code = error.code.as_str(), "a duty failed; the others go on");
        self.failures.push(FailedJob { duty, error });
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceReport {
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
