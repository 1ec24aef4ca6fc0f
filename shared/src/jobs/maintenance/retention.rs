//! Retention: erases sessions whose organisation's retention period has passed since they ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport, SMALL_BATCH,
    batch::{CallBudget, ClaimLimits, ClaimedRows, process_claimed},
};
use crate::{
    clients::supabase::Rpc,
    error::{Error, ErrorCode},
};

/// Maximum number of rows that one transaction erases.
const ROWS: u32 = 2000;

/// Erases overdue sessions, here and at ChatKit. A session whose threads ChatKit does not delete is
/// retried in a later run.
pub(super) async fn apply_retention(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let claim = ClaimLimits { p_limit: SMALL_BATCH, p_lease_seconds: LEASE_SECONDS };
    let erase = async |overdue: OverdueSession| overdue.erase(context).await;
    let record = |(deleted, erased), batch: &mut Batch| {
        report.deleted_threads += deleted;
        match erased {
            Ok(true) => report.erased_sessions += 1,
            Ok(false) => report.session_erase_failures += 1,
            Err(error) => {
                report.session_erase_failures += 1;
                batch.record_error(error)?;
            }
        }
        Ok(())
    };
    process_claimed(context, ClaimOverdueSessionsCall(claim), CONCURRENCY, erase, record).await
}

#[derive(Serialize)]
struct ClaimOverdueSessionsCall(ClaimLimits);

impl Rpc for ClaimOverdueSessionsCall {
    const NAME: &'static str = "claim_overdue_sessions";
    type Output = ClaimedRows<OverdueSession>;
}

/// A session past its retention period, with its threads that only overdue sessions link.
#[derive(Deserialize)]
struct OverdueSession {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_user: String,
    thread_ids: Vec<String>,
    /// Whether the session has more such threads.
    threads_left: bool,
}

/// Erases rows of an overdue session, or only its links to threads.
#[derive(Serialize)]
struct EraseOverdueSessionCall<'a> {
    p_org_id: Uuid,
    p_session_id: Uuid,
    /// Maximum number of rows that the call erases.
    #[serde(skip_serializing_if = "Option::is_none")]
    p_limit: Option<u32>,
    /// Deleted threads, whose links are erased. Without them, everything is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    p_thread_ids: Option<&'a [String]>,
}

#[derive(Deserialize)]
struct ErasureStep {
    erased: bool,
    overdue: bool,
    wait_seconds: u64,
}

impl Rpc for EraseOverdueSessionCall<'_> {
    const NAME: &'static str = "erase_overdue_session";
    type Output = ErasureStep;
}

/// Progress of deleting a session's threads.
#[derive(Default)]
struct ThreadCleanup {
    deleted: u64,
    /// Number of threads that are finished, counted from the first without a gap.
    done: usize,
}

impl OverdueSession {
    /// Erases the session. Returns the number of deleted threads, and whether the session is
    /// erased.
    async fn erase(&self, context: BatchContext<'_>) -> (u64, Result<bool, Error>) {
        let mut threads = ThreadCleanup::default();
        // The threads first: without the session's rows their ids would be lost.
        if let Err(error) = self.delete_threads(context, &mut threads).await {
            tracing::warn!(session_id = %self.session_id, %error, "an overdue session stays");
            return (threads.deleted, Ok(false));
        }
        let is_whole = threads.done == self.thread_ids.len() && !self.threads_left;
        let erased = match (is_whole, threads.done) {
            (true, _) => self.erase_rows(context).await,
            (false, 0) => Ok(false),
            (false, done) => self.unlink(context, &self.thread_ids[..done]).await.map(|()| false),
        };
        (threads.deleted, erased)
    }

    /// Deletes the session's threads, as far as the budget allows.
    async fn delete_threads(
        &self,
        context: BatchContext<'_>,
        threads: &mut ThreadCleanup,
    ) -> Result<(), Error> {
        let budget = CallBudget::new(context.deadline);
        for id in &self.thread_ids {
            let chatkit = context.chatkit.ok_or_else(|| Error::new(ErrorCode::ChatkitUnavailable))?;
            if context.is_last() || !budget.spend_call() {
                return Ok(());
            }
            // A frontend can link any thread id, so only threads of the session's own user are
            // deleted.
            let deleted = async {
                let thread = chatkit.thread(id, context.deadline).await?;
                if thread.is_none_or(|thread| thread.user != self.chatkit_user) {
                    return Ok(Some(0));
                }
                if !budget.spend_call() {
                    return Ok(None);
                }
                chatkit.delete_thread(id, context.deadline).await.map(|()| Some(1))
            };
            match deleted.await {
                Ok(None) => return Ok(()),
                Ok(Some(one)) => threads.deleted += one,
                Err(error) if chatkit.refuses_thread(&error, &self.chatkit_user, context.deadline).await => {
                    tracing::warn!(session_id = %self.session_id, thread_id = id, %error, "a thread is not deleted");
                }
                Err(error) => return Err(error.into()),
            }
            threads.done += 1;
        }
        Ok(())
    }

    /// Removes deleted threads from a session that has more. A later run continues with those.
    async fn unlink(&self, context: BatchContext<'_>, thread_ids: &[String]) -> Result<(), Error> {
        let call = EraseOverdueSessionCall {
            p_org_id: self.org_id,
            p_session_id: self.session_id,
            p_limit: None,
            p_thread_ids: Some(thread_ids),
        };
        match context.service_client.rpc_until_recorded(&call, context.until).await {
            Err(error) if error.has_code("session_not_found") => Ok(()),
            unlinked => unlinked.map(drop).map_err(Error::from),
        }
    }

    /// Erases the session's rows. Returns whether the session is gone.
    async fn erase_rows(&self, context: BatchContext<'_>) -> Result<bool, Error> {
        let call = EraseOverdueSessionCall {
            p_org_id: self.org_id,
            p_session_id: self.session_id,
            p_limit: Some(ROWS),
            p_thread_ids: None,
        };
        while !context.is_last() {
            match context.service_client.rpc_until_recorded(&call, context.until).await {
                Ok(ErasureStep { erased: true, .. }) => return Ok(true),
                Ok(ErasureStep { overdue, wait_seconds, .. }) if !overdue || wait_seconds > 0 => {
                    return Ok(false);
                }
                Ok(_) => {}
                // A parallel run erased it, or a response was lost.
                Err(error) if error.has_code("session_not_found") => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}
