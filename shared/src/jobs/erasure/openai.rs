//! Erasing a user's data at ChatKit. Sessions are cancelled first, so that no new thread begins
//! while the threads are deleted.

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::ErasureRun;
use crate::{
    clients::{openai as chatkit, supabase::Rpc},
    domain::sessions::ConfirmChatKitCancelledCall,
    error::Error,
};

/// Maximum number of sessions that one transaction ends.
const BATCH: u32 = 50;

/// Maximum number of concurrent requests to ChatKit.
const CONCURRENCY: usize = 8;

#[derive(Serialize)]
struct EndErasedSessionsCall<'a> {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_limit: u32,
    /// ChatKit sessions that OpenAI refuses to cancel.
    p_refused_ids: &'a [String],
}

#[derive(Deserialize)]
struct EndedSessions {
    /// Whether the user has more active sessions.
    active: bool,
    sessions: Vec<LiveChatKitSessions>,
}

#[derive(Deserialize)]
struct LiveChatKitSessions {
    session_id: Uuid,
    chatkit_session_ids: Vec<String>,
}

impl Rpc for EndErasedSessionsCall<'_> {
    const NAME: &'static str = "end_erased_sessions";
    type Output = EndedSessions;
}

#[derive(Serialize)]
struct RecordDeletedThreadsCall<'a> {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_thread_ids: &'a [String],
}

impl Rpc for RecordDeletedThreadsCall<'_> {
    const NAME: &'static str = "record_deleted_threads";
    type Output = IgnoredAny;
}

impl ErasureRun<'_> {
    /// Ends the user's sessions and cancels their live ChatKit sessions, until none is left. A
    /// ChatKit session that OpenAI refuses to cancel expires within ten minutes; its row stays
    /// until then.
    pub(super) async fn end_sessions(self) -> Result<(), Error> {
        let mut refused = Vec::new();
        loop {
            let call = EndErasedSessionsCall {
                p_org_id: self.org_id,
                p_user_id: self.user_id,
                p_limit: BATCH,
                p_refused_ids: &refused,
            };
            let EndedSessions { active, sessions } = self.service_client.rpc(&call, self.deadline).await?;
            if !active && (sessions.is_empty() || self.chatkit.is_none()) {
                return Ok(());
            }
            for LiveChatKitSessions { session_id, chatkit_session_ids } in sessions {
                refused.extend(self.cancel(session_id, chatkit_session_ids).await?);
            }
            self.check_time_left()?;
        }
    }

    /// Cancels ChatKit sessions and returns those that OpenAI refuses to cancel, whose rows stay
    /// until they expire. Unlike when a session ends normally, other failures stop the erasure,
    /// since the rows with the ids are about to be erased.
    async fn cancel(self, session_id: Uuid, ids: Vec<String>) -> Result<Vec<String>, Error> {
        let Some(chatkit) = self.chatkit else { return Ok(Vec::new()) };
        let cancel = async |id: String| (chatkit.cancel_session(&id, self.deadline).await, id);
        let (cancelled, refused, failed) = self.for_each(ids, cancel).await;
        if !cancelled.is_empty() {
            let call = ConfirmChatKitCancelledCall {
                p_org_id: self.org_id,
                p_session_id: session_id,
                p_chatkit_session_ids: &cancelled,
            };
            match self.service_client.rpc(&call, self.deadline).await {
                // A parallel attempt at the same erasure has already erased the session.
                Err(error) if error.has_code("session_not_found") => {}
                confirmed => drop(confirmed?),
            }
        }
        failed.map_or(Ok(refused), |error| Err(error.into()))
    }

    /// Deletes the user's threads until ChatKit lists none. ChatKit lists a hundred at a time.
    /// Returns the threads that OpenAI lists but refuses to delete.
    pub(super) async fn delete_threads(self) -> Result<Vec<String>, Error> {
        let mut refused: Vec<String> = Vec::new();
        let (Some(chatkit), Some(user)) = (self.chatkit, self.user) else { return Ok(refused) };
        let mut after: Option<String> = None;
        loop {
            let ids = chatkit.thread_ids(user, after.as_deref(), self.deadline).await?;
            let Some(last) = ids.last().cloned() else { return Ok(refused) };
            let ids: Vec<String> = ids.into_iter().filter(|id| !refused.contains(id)).collect();
            if ids.is_empty() {
                // This page has only threads that were refused, so continue after it.
                after = Some(last);
                self.check_time_left()?;
                continue;
            }
            // Recorded before they are deleted, so that they are counted even if this process dies
            // meanwhile.
            let call = RecordDeletedThreadsCall {
                p_org_id: self.org_id,
                p_user_id: self.user_id,
                p_thread_ids: &ids,
            };
            self.service_client.rpc(&call, self.deadline).await?;
            let delete = async |id: String| (chatkit.delete_thread(&id, self.deadline).await, id);
            let (deleted, not_deleted, failed) = self.for_each(ids, delete).await;
            tracing::debug!(threads = deleted.len(), "threads deleted at OpenAI");
            refused.extend(not_deleted);
            if let Some(error) = failed {
                return Err(error.into());
            }
            self.check_time_left()?;
        }
    }

    /// Runs a job for every id, concurrently. Returns the ids for which it succeeded, the ids that
    /// OpenAI refused, and the first error of another kind.
    async fn for_each<F: Future<Output = (Result<(), chatkit::Error>, String)>>(
        self,
        ids: Vec<String>,
        job: impl Fn(String) -> F,
    ) -> (Vec<String>, Vec<String>, Option<chatkit::Error>) {
        let mut done = Vec::new();
        let mut refused = Vec::new();
        let mut failed = None;
        let mut outcomes = std::pin::pin!(stream::iter(ids).map(job).buffer_unordered(CONCURRENCY));
        while let Some((outcome, id)) = outcomes.next().await {
            match outcome {
                Ok(()) => done.push(id),
                Err(error) if self.is_refused(&error).await => {
                    let user_id = self.user_id;
                    tracing::warn!(%user_id, upstream_id = id, %error, "something is not erased at OpenAI");
                    refused.push(id);
                }
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        (done, refused, failed)
    }

    async fn is_refused(self, error: &chatkit::Error) -> bool {
        match (self.chatkit, self.user) {
            (Some(chatkit), Some(user)) => chatkit.refuses_thread(error, user, self.deadline).await,
            _ => false,
        }
    }
}
