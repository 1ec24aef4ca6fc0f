//! What has to go at ChatKit: the tokens first, so that nobody begins another thread while the threads go.

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;
use uuid::Uuid;

use super::Round;
use crate::error::Error;

/// Sessions that are ended in one transaction.
const BATCH: u32 = 50;

/// Threads that are deleted at the same time.
const AT_ONCE: usize = 8;

impl Round<'_> {
    /// Ends the person's sessions and cancels what lives of them at ChatKit, until none is left.
    pub(super) async fn end_sessions(self) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Ended {
            active: bool,
            sessions: Vec<Live>,
        }
        #[derive(Deserialize)]
        struct Live {
            session_id: Uuid,
            chatkit_session_ids: Vec<String>,
        }
        loop {
            let arguments = json!({ "p_org_id": self.org_id, "p_user_id": self.user_id, "p_limit": BATCH });
            let Ended { active, sessions } =
                self.writer.call("end_erased_sessions", &arguments, self.deadline).await?;
            if !active && (sessions.is_empty() || self.chatkit.is_none()) {
                return Ok(());
            }
            for Live { session_id, chatkit_session_ids } in sessions {
                self.cancel(session_id, &chatkit_session_ids).await?;
            }
            self.has_room()?;
        }
    }

    /// Cancels ChatKit sessions. Unlike a session's own end, this goes no further until it is done: the row that knows of one
    /// is about to go.
    async fn cancel(self, session_id: Uuid, ids: &[String]) -> Result<(), Error> {
        let Some(chatkit) = self.chatkit else { return Ok(()) };
        try_join_all(ids.iter().map(|id| chatkit.cancel(id, self.deadline))).await?;
        let arguments = json!({
            "p_org_id": self.org_id,
            "p_session_id": session_id,
            "p_chatkit_session_ids": ids,
        });
        match self.writer.call::<IgnoredAny>("confirm_chatkit_cancelled", &arguments, self.deadline).await {
            // Somebody else is at the same erasure, and further.
            Err(error) if error.is_refusal("session_not_found") => Ok(()),
            confirmed => confirmed.map(drop).map_err(Error::from),
        }
    }

    /// Deletes the person's threads until ChatKit lists none: it lists a hundred at a time.
    pub(super) async fn delete_threads(self, user: &str) -> Result<(), Error> {
        let Some(chatkit) = self.chatkit else { return Ok(()) };
        loop {
            let ids = chatkit.thread_ids(user, self.deadline).await?;
            if ids.is_empty() {
                return Ok(());
            }
            // On record first, so that those are counted, too, after whose deletion this process dies.
            let arguments =
                json!({ "p_org_id": self.org_id, "p_user_id": self.user_id, "p_thread_ids": ids });
            self.writer.call::<IgnoredAny>("note_erased_threads", &arguments, self.deadline).await?;
            let delete = async |id: String| chatkit.delete_thread(&id, self.deadline).await;
            stream::iter(ids).map(delete).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
            self.has_room()?;
        }
    }
}
