//! Expiry of idle sessions. Browsers talk to ChatKit directly, so the threads of a session that
//! looks idle here are checked for activity before it ends.

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::{
    BATCH, Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport,
    batch::{CallBudget, ClaimLimits, ClaimedRows, process_claimed},
};
use crate::{
    clients::{openai as chatkit, supabase::Rpc},
    domain::sessions,
    error::{Error, ErrorCode},
    platform::parse::Timestamp,
};

/// Maximum number of a session's threads that are read concurrently.
const THREAD_CONCURRENCY: usize = 4;

/// Delay in seconds before a session is checked again if ChatKit did not respond.
const POSTPONE_SECONDS: u32 = 300;

/// Delay in seconds before a session is checked again if it has more threads than one run reads.
const CONTINUE_SECONDS: u32 = 60;

/// Ends idle sessions, here and at ChatKit. A session for which ChatKit does not respond is
/// postponed.
pub(super) async fn expire_idle_sessions(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let claim = ClaimLimits { p_limit: BATCH, p_lease_seconds: LEASE_SECONDS };
    let end = async |idle: IdleSession| IdleCheck { context, idle: &idle }.end().await;
    let record = |outcome: Result<Outcome, Error>, batch: &mut Batch| {
        match outcome {
            Ok(Outcome::Expired { cancelled, uncancelled }) => {
                report.expired_sessions += 1;
                report.cancelled_chatkit += cancelled as u64;
                report.chatkit_cancel_failures += uncancelled as u64;
            }
            Ok(Outcome::Active) => report.still_active += 1,
            Ok(Outcome::Postponed) => report.postponed += 1,
            // The session was erased after it was claimed.
            Err(error) if error.code == ErrorCode::SessionNotFound => {}
            Err(error) => batch.record_error(error)?,
        }
        Ok(())
    };
    process_claimed(context, ClaimIdleSessionsCall(claim), CONCURRENCY, end, record).await
}

#[derive(Serialize)]
struct ClaimIdleSessionsCall(ClaimLimits);

impl Rpc for ClaimIdleSessionsCall {
    const NAME: &'static str = "claim_idle_sessions";
    type Output = ClaimedRows<IdleSession>;
}

#[derive(Serialize)]
struct RecordChatKitActivityCall {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_at: Timestamp,
}

#[derive(Deserialize)]
struct RecordedActivity {
    idle: bool,
    last_activity_at: Timestamp,
}

impl Rpc for RecordChatKitActivityCall {
    const NAME: &'static str = "record_chatkit_activity";
    type Output = RecordedActivity;
}

#[derive(Serialize)]
struct ReleaseIdleSessionCall {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_retry_after_seconds: u32,
    p_threads_asked: usize,
    p_last_activity_at: Timestamp,
}

impl Rpc for ReleaseIdleSessionCall {
    const NAME: &'static str = "release_idle_session";
    type Output = IgnoredAny;
}

#[derive(Serialize)]
struct ExpireSessionCall {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_last_activity_at: Timestamp,
}

#[derive(Deserialize)]
struct ExpiredSession {
    expired: bool,
    #[serde(default)]
    live_chatkit_session_ids: Vec<String>,
}

impl Rpc for ExpireSessionCall {
    const NAME: &'static str = "expire_session";
    type Output = ExpiredSession;
}

/// A session without recent activity in the database.
#[derive(Debug, Deserialize)]
struct IdleSession {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_user: String,
    last_activity_at: Timestamp,
    idle_timeout_seconds: u32,
    threads_asked: usize,
    thread_ids: Vec<String>,
    threads_left: bool,
}

enum Outcome {
    Expired { cancelled: usize, uncancelled: usize },
    Active,
    Postponed,
}

/// Activity in a session's threads, as ChatKit reports it.
#[derive(Default)]
struct ThreadActivity {
    /// Time of the newest item.
    newest: Option<Timestamp>,
    /// Number of threads that were read, counted from the first without a gap.
    threads: usize,
    /// The error that stopped the reading; `None` if the budget was used up.
    error: Option<chatkit::Error>,
}

#[derive(Clone, Copy)]
struct IdleCheck<'a> {
    context: BatchContext<'a>,
    idle: &'a IdleSession,
}

impl IdleCheck<'_> {
    async fn end(self) -> Result<Outcome, Error> {
        let Self { context, idle } = self;
        if context.is_last() {
            // The lease expires, and a later run claims the session.
            return Ok(Outcome::Postponed);
        }
        let activity = self.read_threads().await;
        let mut last_activity_at = idle.last_activity_at;
        if let Some(at) = activity.newest.filter(|at| *at > idle.last_activity_at) {
            // There was activity at ChatKit meanwhile, but it may still be longer ago than the idle
            // timeout.
            let noted = self.record_activity(at).await?;
            if !noted.idle {
                return Ok(Outcome::Active);
            }
            last_activity_at = noted.last_activity_at;
        }
        if let Some(error) = activity.error {
            tracing::warn!(session_id = %idle.session_id, %error, "an idle session is postponed");
            return self.release(POSTPONE_SECONDS, activity.threads, last_activity_at).await;
        }
        if context.chatkit.is_some() && (activity.threads < idle.thread_ids.len() || idle.threads_left) {
            return self.release(CONTINUE_SECONDS, activity.threads, last_activity_at).await;
        }
        self.expire(last_activity_at).await
    }

    /// Reads the time of the newest item of the session's threads, until it proves that the session
    /// is in use or the budget is used up.
    async fn read_threads(self) -> ThreadActivity {
        let Self { context, idle } = self;
        let mut activity = ThreadActivity::default();
        let budget = CallBudget::new(context.deadline);
        let Some(chatkit) = context.chatkit else { return activity };
        let ask = async |id: &String| {
            if !budget.spend_call() {
                return None;
            }
            match chatkit.newest_item_time(id, context.deadline).await {
                Err(error) if chatkit.refuses_thread(&error, &idle.chatkit_user, context.deadline).await => {
                    tracing::warn!(session_id = %idle.session_id, thread_id = id, %error, "a thread is skipped");
                    Some(Ok(None))
                }
                newest => Some(newest),
            }
        };
        let mut answers =
            std::pin::pin!(stream::iter(&idle.thread_ids).map(ask).buffered(THREAD_CONCURRENCY));
        while let Some(Some(answer)) = answers.next().await {
            match answer {
                Ok(newest) => activity.newest = activity.newest.max(newest),
                Err(error) => {
                    activity.error = Some(error);
                    break;
                }
            }
            activity.threads += 1;
            if activity.newest.is_some_and(|at| idle.is_in_use(at)) {
                break;
            }
        }
        activity
    }

    async fn record_activity(self, at: Timestamp) -> Result<RecordedActivity, Error> {
        let Self { context, idle } = self;
        let call =
            RecordChatKitActivityCall { p_org_id: idle.org_id, p_session_id: idle.session_id, p_at: at };
        Ok(context.service_client.rpc(&call, context.deadline).await?)
    }

    /// Releases the session to a later run, which continues after the threads that were read.
    async fn release(
        self,
        after_seconds: u32,
        threads: usize,
        last_activity_at: Timestamp,
    ) -> Result<Outcome, Error> {
        let Self { context, idle } = self;
        let call = ReleaseIdleSessionCall {
            p_org_id: idle.org_id,
            p_session_id: idle.session_id,
            p_retry_after_seconds: after_seconds,
            p_threads_asked: idle.threads_asked + threads,
            p_last_activity_at: last_activity_at,
        };
        context.service_client.rpc(&call, context.deadline).await?;
        Ok(Outcome::Postponed)
    }

    /// Ends the session unless there was activity since the check.
    async fn expire(self, last_activity_at: Timestamp) -> Result<Outcome, Error> {
        let Self { context, idle } = self;
        let call = ExpireSessionCall {
            p_org_id: idle.org_id,
            p_session_id: idle.session_id,
            p_last_activity_at: last_activity_at,
        };
        let ExpiredSession { expired, live_chatkit_session_ids: ids } =
            context.service_client.rpc(&call, context.deadline).await?;
        if !expired {
            return Ok(Outcome::Active);
        }
        let of = sessions::SessionRef {
            org_id: idle.org_id,
            session_id: idle.session_id,
            deadline: context.deadline,
        };
        let cancelled = match context.chatkit {
            Some(chatkit) => {
                sessions::cancel_chatkit_sessions(chatkit, context.service_client, of, &ids).await
            }
            None => 0,
        };
        Ok(Outcome::Expired { cancelled, uncancelled: ids.len() - cancelled })
    }
}

impl IdleSession {
    /// Returns whether an item of that time means that the session is in use.
    fn is_in_use(&self, at: Timestamp) -> bool {
        at > self.last_activity_at
            && Timestamp::now().duration_since(at)
                < SignedDuration::from_secs(self.idle_timeout_seconds.into())
    }
}
