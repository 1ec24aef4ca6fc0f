//! Idle sessions. ChatKit talks past us, so a session that looks idle here is asked for there before it ends.

use futures_util::{StreamExt, future::join_all, stream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{BATCH, LEASE_SECONDS, Report};
use crate::{
    chatkit::{self, ChatKit},
    error::{Code, Error},
    sessions,
    supabase::Writer,
    upstream::Deadline,
};

/// Sessions that are looked into at the same time.
const AT_ONCE: usize = 8;

/// After how many seconds a session is looked into again that ChatKit did not answer for.
const POSTPONE_SECONDS: u32 = 300;

/// Ends sessions that are idle, here and at ChatKit.
///
/// # Errors
/// Those of Supabase. A session that ChatKit does not answer for is postponed.
pub async fn expire_idle_sessions(
    writer: &Writer,
    chatkit: Option<&ChatKit>,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Claimed {
        sessions: Vec<Idle>,
    }
    while deadline.leaves_room() {
        let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
        let Claimed { sessions } = writer.call("claim_idle_sessions", &arguments, deadline).await?;
        if sessions.is_empty() {
            break;
        }
        let round = Round { writer, chatkit, deadline };
        let mut outcomes = stream::iter(sessions).map(|idle| round.end(idle)).buffer_unordered(AT_ONCE);
        while let Some(outcome) = outcomes.next().await {
            let outcome = match outcome {
                // Erased since it was claimed.
                Err(error) if error.code == Code::SessionNotFound => continue,
                outcome => outcome?,
            };
            match outcome {
                Outcome::Expired { cancelled, uncancelled } => {
                    report.expired_sessions += 1;
                    report.cancelled_chatkit += cancelled as u64;
                    report.uncancelled_chatkit += uncancelled as u64;
                }
                Outcome::Active => report.found_active += 1,
                Outcome::Postponed => report.postponed += 1,
            }
        }
    }
    Ok(())
}

/// A session that is idle as far as the database knows.
#[derive(Debug, Deserialize)]
struct Idle {
    org_id: Uuid,
    session_id: Uuid,
    last_activity_at: Timestamp,
    thread_ids: Vec<String>,
}

enum Outcome {
    Expired { cancelled: usize, uncancelled: usize },
    Active,
    Postponed,
}

#[derive(Clone, Copy)]
struct Round<'a> {
    writer: &'a Writer,
    chatkit: Option<&'a ChatKit>,
    deadline: Deadline,
}

impl Round<'_> {
    async fn end(self, idle: Idle) -> Result<Outcome, Error> {
        if !self.deadline.leaves_room() {
            // Its lease runs out, and a later round takes it.
            return Ok(Outcome::Postponed);
        }
        match self.newest_item(&idle.thread_ids).await {
            Ok(Some(at)) if at > idle.last_activity_at => self.active_upstream(&idle, at).await,
            Ok(_) => self.expire(&idle, idle.last_activity_at).await,
            Err(error) => {
                tracing::warn!(session_id = %idle.session_id, %error, "an idle session is postponed");
                let arguments = json!({
                    "p_org_id": idle.org_id,
                    "p_session_id": idle.session_id,
                    "p_retry_after_seconds": POSTPONE_SECONDS,
                });
                self.tell("release_idle_session", &arguments).await?;
                Ok(Outcome::Postponed)
            }
        }
    }

    /// When the newest item of these threads was made; they are asked all at once.
    async fn newest_item(self, thread_ids: &[String]) -> Result<Option<Timestamp>, chatkit::Error> {
        let Some(chatkit) = self.chatkit else { return Ok(None) };
        let asked = thread_ids.iter().map(|id| chatkit.newest_item(id, self.deadline));
        let newest: Vec<_> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
        Ok(newest.into_iter().flatten().max())
    }

    /// Somebody talked at ChatKit meanwhile: that counts, and may still be too long ago.
    async fn active_upstream(self, idle: &Idle, at: Timestamp) -> Result<Outcome, Error> {
        #[derive(Deserialize)]
        struct Noted {
            idle: bool,
            last_activity_at: Timestamp,
        }
        let arguments = json!({ "p_org_id": idle.org_id, "p_session_id": idle.session_id, "p_at": at });
        let noted: Noted = self.writer.call("note_upstream_activity", &arguments, self.deadline).await?;
        if noted.idle { self.expire(idle, noted.last_activity_at).await } else { Ok(Outcome::Active) }
    }

    /// Ends the session if nothing has happened since.
    async fn expire(self, idle: &Idle, last_activity_at: Timestamp) -> Result<Outcome, Error> {
        #[derive(Deserialize)]
        struct Ended {
            expired: bool,
            #[serde(default)]
            live_chatkit_session_ids: Vec<String>,
        }
        let arguments = json!({
            "p_org_id": idle.org_id,
            "p_session_id": idle.session_id,
            "p_last_activity_at": last_activity_at,
        });
        let Ended { expired, live_chatkit_session_ids: ids } =
            self.writer.call("expire_session", &arguments, self.deadline).await?;
        if !expired {
            return Ok(Outcome::Active);
        }
        let of = sessions::Of { org_id: idle.org_id, session_id: idle.session_id, deadline: self.deadline };
        let cancelled = match self.chatkit {
            Some(chatkit) => sessions::cancel_upstream(chatkit, self.writer, of, &ids).await,
            None => 0,
        };
        Ok(Outcome::Expired { cancelled, uncancelled: ids.len() - cancelled })
    }

    async fn tell(self, function: &'static str, arguments: &serde_json::Value) -> Result<(), Error> {
        self.writer.call::<serde::de::IgnoredAny>(function, arguments, self.deadline).await?;
        Ok(())
    }
}
