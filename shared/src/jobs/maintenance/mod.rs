//! Scheduled maintenance jobs: end idle sessions, and clean up after crashes and outages.
//!
//! A run repeats the jobs that are due, one batch of each at a time, until no work is left or its
//! time is over, so no job waits for the last row of another. A failed job does not stop the
//! others. Several runs may work in parallel, since the database hands out each row to only one of
//! them.

mod batch;
mod cleanup;
mod due_jobs;
mod gauges;
mod idle_sessions;
mod pending_erasures;
mod retention;
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
use batch::{Batch, BatchContext};

/// Maximum number of rows of a batch.
const BATCH: u32 = 100;

/// Maximum number of rows of a batch that takes many requests per row.
const SMALL_BATCH: u32 = 24;

/// Maximum number of rows of a batch that are processed concurrently.
const CONCURRENCY: usize = 8;

/// Lease of the rows of a batch, in seconds.
const LEASE_SECONDS: u64 = 60;

/// Time of a run reserved for the last batch to finish.
const RESERVE: Duration = Duration::from_secs(10);

pub struct Maintenance {
    pub service_client: ServiceClient,
    /// `None` if ChatKit is not configured.
    pub chatkit: Option<ChatKit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    FailAbandonedRequests,
    CancelChatKitSessions,
    SettleChatRuns,
    ExpireEscalations,
    PurgeExpired,
    ExpireIdleSessions,
    CopyTranscripts,
    ResumeErasures,
    ApplyRetention,
}

impl Job {
    /// All jobs in the order of a run. ChatKit sessions, which live for ten minutes, come before
    /// sessions that were idle for a day, and erasures of users before those of sessions.
    const ALL: [Self; 9] = [
        Self::FailAbandonedRequests,
        Self::CancelChatKitSessions,
        Self::SettleChatRuns,
        Self::ExpireEscalations,
        Self::PurgeExpired,
        Self::ExpireIdleSessions,
        Self::CopyTranscripts,
        Self::ResumeErasures,
        Self::ApplyRetention,
    ];

    /// Returns the job's name in logs.
    fn name(self) -> &'static str {
        match self {
            Self::FailAbandonedRequests => "fail_abandoned_requests",
            Self::CancelChatKitSessions => "cancel_chatkit_sessions",
            Self::SettleChatRuns => "settle_chat_runs",
            Self::ExpireEscalations => "expire_escalations",
            Self::PurgeExpired => "purge_expired",
            Self::ExpireIdleSessions => "expire_idle_sessions",
            Self::CopyTranscripts => "copy_transcripts",
            Self::ResumeErasures => "resume_erasures",
            Self::ApplyRetention => "apply_retention",
        }
    }

    /// Processes one batch of the job.
    async fn batch(self, context: BatchContext<'_>, report: &mut MaintenanceReport) -> Result<Batch, Error> {
        match self {
            Self::FailAbandonedRequests => cleanup::fail_abandoned_requests(context, report).await,
            Self::CancelChatKitSessions => {
                uncancelled_chatkit_sessions::cancel_chatkit_sessions(context, report).await
            }
            Self::SettleChatRuns => cleanup::settle_chat_runs(context, report).await,
            Self::ExpireEscalations => cleanup::expire_escalations(context, report).await,
            Self::PurgeExpired => cleanup::purge_expired(context, report).await,
            Self::ExpireIdleSessions => idle_sessions::expire_idle_sessions(context, report).await,
            Self::CopyTranscripts => transcripts::copy_transcripts(context, report).await,
            Self::ResumeErasures => pending_erasures::resume_erasures(context, report).await,
            Self::ApplyRetention => retention::apply_retention(context, report).await,
        }
    }
}

impl Maintenance {
    /// Runs every due job within its share of the time, whether or not others fail.
    pub async fn run(&self, deadline: Deadline) -> Run<MaintenanceReport> {
        let mut run = Run { report: MaintenanceReport::default(), failures: Vec::new() };
        let mut open = Job::ALL.to_vec();
        while deadline.allows_another_batch() {
            let due = match due_jobs::list_due_jobs(&self.service_client, deadline).await {
                Ok(names) => open.iter().copied().filter(|job| names.contains(job.name())).collect(),
                Err(error) => {
                    run.fail("list_due_jobs", Some(error));
                    open.clone()
                }
            };
            if due.is_empty() {
                break;
            }
            let unfinished = self.run_batches(&due, deadline, &mut run).await;
            // A job that was not due stays open: another job may give it work.
            open.retain(|job| !due.contains(job) || unfinished.contains(job));
        }
        let state = gauges::collect_gauges(&self.service_client, deadline, &mut run.report).await;
        run.fail("collect_gauges", state.err());
        run
    }

    /// Processes one batch of each job, and returns the jobs that may have more work.
    async fn run_batches(
        &self,
        due: &[Job],
        deadline: Deadline,
        run: &mut Run<MaintenanceReport>,
    ) -> Vec<Job> {
        let mut unfinished = Vec::new();
        for (place, job) in due.iter().copied().enumerate() {
            let left = deadline.minus(RESERVE);
            let jobs = due.len() - place;
            let time = left.remaining() / u32::try_from(jobs).unwrap_or(1);
            let context = BatchContext {
                service_client: &self.service_client,
                chatkit: self.chatkit.as_ref(),
                deadline,
                until: left.capped(time),
            };
            if context.is_last() {
                break;
            }
            match job.batch(context, &mut run.report).await {
                Ok(Batch { more, failure }) => {
                    unfinished.extend(more.then_some(job));
                    run.fail(job.name(), failure);
                }
                Err(error) => run.fail(job.name(), Some(error)),
            }
        }
        unfinished
    }
}

impl Run<MaintenanceReport> {
    /// Records the first failure of a job.
    fn fail(&mut self, job: &'static str, error: Option<Error>) {
        let Some(error) = error.filter(|_| self.failures.iter().all(|failed| failed.job != job)) else {
            return;
        };
        tracing::warn!(job, code = error.code.as_str(), "a job failed; the others continue");
        self.failures.push(FailedJob { job, error });
    }
}

/// Counts and gauges of one maintenance run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceReport {
    /// Requests to ChatKit whose process died, now marked as failed.
    pub abandoned_requests: u64,
    /// Sessions that never got a client secret, now ended.
    pub failed_sessions: u64,
    /// Answers of the self-hosted chat whose process died, now marked as interrupted.
    pub interrupted_answers: u64,
    /// Escalations whose deadline had passed.
    pub expired_escalations: u64,
    /// Idle sessions that were ended.
    pub expired_sessions: u64,
    /// Sessions that were found to be in use.
    pub still_active: u64,
    /// Sessions left to a later run, since ChatKit did not respond or the time was over.
    pub postponed: u64,
    /// ChatKit sessions that were cancelled.
    pub cancelled_chatkit: u64,
    /// ChatKit sessions that could not be cancelled in this run.
    pub chatkit_cancel_failures: u64,
    /// Messages that were copied from ChatKit's threads.
    pub transcript_messages: u64,
    /// Expired client secrets that were erased.
    pub erased_secrets: u64,
    /// Idempotency keys that were deleted.
    pub purged_keys: u64,
    /// Sessions that were erased at the end of their organisation's retention period.
    pub erased_sessions: u64,
    /// Sessions past their retention period that could not be erased in this run.
    pub session_erase_failures: u64,
    /// Threads of erased sessions that were deleted at ChatKit.
    pub deleted_threads: u64,
    /// Users whose interrupted erasure is now finished.
    pub finished_erasures: u64,
    /// Users whose erasure continues in a later run.
    pub unfinished_erasures: u64,
    /// Escalations that wait for a decision, at the end of the run.
    pub open_escalations: u64,
    /// Seconds for which the oldest waiting delivery has been due, at the end of the run.
    pub oldest_undelivered_seconds: u64,
    /// Deliveries that failed permanently or whose outcome is unknown, at the end of the run.
    pub dead_deliveries: u64,
}
