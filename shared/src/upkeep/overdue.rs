//! Sessions that ended longer ago than their organisation keeps them.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{BATCH, LEASE_SECONDS, Report};
use crate::{
    chatkit::ChatKit,
    error::{Code, Error},
    supabase::Writer,
    upstream::Deadline,
};

/// Rows that go in one transaction.
const ROWS: u32 = 2000;

/// Erases them, here and at ChatKit.
///
/// # Errors
/// Those of Supabase. A session with threads that ChatKit does not delete comes again with a later round.
pub async fn erase_overdue(
    writer: &Writer,
    chatkit: Option<&ChatKit>,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Claimed {
        sessions: Vec<Overdue>,
    }
    while deadline.leaves_room() {
        let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
        let Claimed { sessions } = writer.call("claim_overdue_sessions", &arguments, deadline).await?;
        if sessions.is_empty() {
            break;
        }
        for overdue in sessions {
            if !deadline.leaves_room() {
                // Its lease runs out, and a later round takes it.
                return Ok(());
            }
            // The threads first: without the session nobody would know of them.
            match overdue.delete_threads(chatkit, deadline).await {
                Ok(deleted) => {
                    report.deleted_threads += deleted;
                    *match overdue.erase(writer, deadline).await? {
                        true => &mut report.erased_sessions,
                        false => &mut report.unerased_sessions,
                    } += 1;
                }
                Err(error) => {
                    tracing::warn!(session_id = %overdue.session_id, %error, "an overdue session stays");
                    report.unerased_sessions += 1;
                }
            }
        }
    }
    Ok(())
}

/// A session that is overdue, with those of its threads that no session links that stays.
#[derive(Deserialize)]
struct Overdue {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_user: String,
    thread_ids: Vec<String>,
}

impl Overdue {
    /// Deletes its threads, and says how many.
    async fn delete_threads(&self, chatkit: Option<&ChatKit>, deadline: Deadline) -> Result<u64, Error> {
        let mut deleted = 0;
        for id in &self.thread_ids {
            let chatkit = chatkit.ok_or_else(|| Error::new(Code::ChatkitUnavailable))?;
            // A page can name any thread: only one of the session's own user is deleted.
            let thread = chatkit.thread(id, deadline).await?;
            if thread.is_some_and(|thread| thread.user == self.chatkit_user) {
                chatkit.delete_thread(id, deadline).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Erases its rows, and says whether it is gone.
    async fn erase(&self, writer: &Writer, deadline: Deadline) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Step {
            erased: bool,
            overdue: bool,
            wait_seconds: u64,
        }
        let arguments = json!({ "p_org_id": self.org_id, "p_session_id": self.session_id, "p_limit": ROWS });
        while deadline.leaves_room() {
            match writer.call("erase_overdue_session", &arguments, deadline).await {
                Ok(Step { erased: true, .. }) => return Ok(true),
                Ok(Step { overdue, wait_seconds, .. }) if !overdue || wait_seconds > 0 => return Ok(false),
                Ok(_) => {}
                // Somebody else was as fast, or an answer was lost.
                Err(error) if error.is_refusal("session_not_found") => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}
