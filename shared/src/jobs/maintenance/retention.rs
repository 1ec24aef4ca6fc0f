//! Sessions that ended longer ago than their organisation keeps them.

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport, SMALL_BATCH, share::CallBudget,
};
use crate::error::{Error, ErrorCode};

/// Rows that go in one transaction.
const ROWS: u32 = 2000;

/// Erases them, here and at ChatKit. A session with threads that ChatKit does not delete comes again with a later round.
pub(super) async fn apply_retention(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Claimed {
        sessions: Vec<OverdueSession>,
    }
    let arguments = json!({ "p_limit": SMALL_BATCH, "p_lease_seconds": LEASE_SECONDS });
    let Claimed { sessions } =
        share.service_client.rpc("claim_overdue_sessions", &arguments, share.deadline).await?;
    let mut batch = Batch::from_rows(sessions.len());
    let erase = async |overdue: OverdueSession| overdue.erase(share).await;
    let mut outcomes = std::pin::pin!(stream::iter(sessions).map(erase).buffer_unordered(CONCURRENCY));
    while let Some((deleted, erased)) = outcomes.next().await {
        report.deleted_threads += deleted;
        match erased {
            Ok(true) => report.erased_sessions += 1,
            Ok(false) => report.unerased_sessions += 1,
            Err(error) => {
                report.unerased_sessions += 1;
                batch.record_error(error)?;
            }
        }
    }
    Ok(batch)
}

/// A session that is overdue, with those of its threads that no session links that stays.
#[derive(Deserialize)]
struct OverdueSession {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_user: String,
    thread_ids: Vec<String>,
    /// There are more of them.
    threads_left: bool,
}

/// What became of a session's threads.
#[derive(Default)]
struct ThreadCleanup {
    deleted: u64,
    /// How many need not be looked at again, one after the other.
    done: usize,
}

impl OverdueSession {
    /// Erases the session. Says how many threads were deleted, and whether the session is gone.
    async fn erase(&self, share: BatchContext<'_>) -> (u64, Result<bool, Error>) {
        let mut threads = ThreadCleanup::default();
        // The threads first: without the session nobody would know of them.
        if let Err(error) = self.delete_threads(share, &mut threads).await {
            tracing::warn!(session_id = %self.session_id, %error, "an overdue session stays");
            return (threads.deleted, Ok(false));
        }
        let is_whole = threads.done == self.thread_ids.len() && !self.threads_left;
        let erased = match (is_whole, threads.done) {
            (true, _) => self.erase_rows(share).await,
            (false, 0) => Ok(false),
            (false, done) => self.unlink(share, &self.thread_ids[..done]).await.map(|()| false),
        };
        (threads.deleted, erased)
    }

    /// Deletes its threads, as far as the budget goes.
    async fn delete_threads(
        &self,
        share: BatchContext<'_>,
        threads: &mut ThreadCleanup,
    ) -> Result<(), Error> {
        let budget = CallBudget::new(share.deadline);
        for id in &self.thread_ids {
            let chatkit = share.chatkit.ok_or_else(|| Error::new(ErrorCode::ChatkitUnavailable))?;
            if share.is_last() || !budget.spend_call() {
                return Ok(());
            }
            // A page can name any thread: only one of the session's own user is deleted.
            let deleted = async {
                let thread = chatkit.thread(id, share.deadline).await?;
                if thread.is_none_or(|thread| thread.user != self.chatkit_user) {
                    return Ok(Some(0));
                }
                if !budget.spend_call() {
                    return Ok(None);
                }
                chatkit.delete_thread(id, share.deadline).await.map(|()| Some(1))
            };
            match deleted.await {
                Ok(None) => return Ok(()),
                Ok(Some(one)) => threads.deleted += one,
                Err(error) if chatkit.refuses_thread(&error, &self.chatkit_user, share.deadline).await => {
                    tracing::warn!(session_id = %self.session_id, thread_id = id, %error, "a thread is not deleted");
                }
                Err(error) => return Err(error.into()),
            }
            threads.done += 1;
        }
        Ok(())
    }

    /// Forgets threads that are deleted, where the session has more: a later round goes on with those.
    async fn unlink(&self, share: BatchContext<'_>, thread_ids: &[String]) -> Result<(), Error> {
        let arguments =
            json!({ "p_org_id": self.org_id, "p_session_id": self.session_id, "p_thread_ids": thread_ids });
        let unlinked = share.service_client.rpc_until_recorded::<serde::de::IgnoredAny>(
            "erase_overdue_session",
            &arguments,
            share.until,
        );
        match unlinked.await {
            Err(error) if error.has_code("session_not_found") => Ok(()),
            unlinked => unlinked.map(drop).map_err(Error::from),
        }
    }

    /// Erases its rows, and says whether it is gone.
    async fn erase_rows(&self, share: BatchContext<'_>) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Step {
            erased: bool,
            overdue: bool,
            wait_seconds: u64,
        }
        let arguments = json!({ "p_org_id": self.org_id, "p_session_id": self.session_id, "p_limit": ROWS });
        while !share.is_last() {
            match share
                .service_client
                .rpc_until_recorded("erase_overdue_session", &arguments, share.until)
                .await
            {
                Ok(Step { erased: true, .. }) => return Ok(true),
                Ok(Step { overdue, wait_seconds, .. }) if !overdue || wait_seconds > 0 => return Ok(false),
                Ok(_) => {}
                // Somebody else was as fast, or an answer was lost.
                Err(error) if error.has_code("session_not_found") => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}
