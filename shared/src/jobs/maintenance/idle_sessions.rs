//! Idle sessions. ChatKit talks past us, so a session that looks idle here is asked for there before it ends.

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{AT_ONCE, BATCH, Batch, LEASE_SECONDS, Report, Share, share::Budget};
use crate::{
    clients::openai as chatkit,
    domain::sessions,
    error::{Code, Error},
    platform::parse::Timestamp,
};

/// Threads of one session that are asked for at the same time.
const THREADS_AT_ONCE: usize = 4;

/// After how many seconds a session is looked into again that ChatKit did not answer for.
const POSTPONE_SECONDS: u32 = 300;

/// The same of one with more threads than a round asks for.
const GO_ON_SECONDS: u32 = 60;

/// Ends sessions that are idle, here and at ChatKit. A session that ChatKit does not answer for is postponed.
pub(super) async fn expire_idle_sessions(share: Share<'_>, report: &mut Report) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Claimed {
        sessions: Vec<Idle>,
    }
    let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
    let Claimed { sessions } = share.writer.call("claim_idle_sessions", &arguments, share.deadline).await?;
    let mut batch = Batch::of(sessions.len());
    let end = async |idle: Idle| Look { share, idle: &idle }.end().await;
    let mut outcomes = std::pin::pin!(stream::iter(sessions).map(end).buffer_unordered(AT_ONCE));
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(Outcome::Expired { cancelled, uncancelled }) => {
                report.expired_sessions += 1;
                report.cancelled_chatkit += cancelled as u64;
                report.uncancelled_chatkit += uncancelled as u64;
            }
            Ok(Outcome::Active) => report.found_active += 1,
            Ok(Outcome::Postponed) => report.postponed += 1,
            // Erased since it was claimed.
            Err(error) if error.code == Code::SessionNotFound => {}
            Err(error) => batch.note(error)?,
        }
    }
    Ok(batch)
}

/// A session that is idle as far as the database knows.
#[derive(Debug, Deserialize)]
struct Idle {
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

/// What ChatKit says of a session's threads.
#[derive(Default)]
struct Asked {
    /// When the newest item was made.
    newest: Option<Timestamp>,
    /// For how many threads there was an answer, one after the other.
    threads: usize,
    /// Why no more were asked for, where that was not for the budget's end.
    error: Option<chatkit::Error>,
}

#[derive(Clone, Copy)]
struct Look<'a> {
    share: Share<'a>,
    idle: &'a Idle,
}

impl Look<'_> {
    async fn end(self) -> Result<Outcome, Error> {
        let Self { share, idle } = self;
        if share.is_over() {
            // Its lease runs out, and a later round takes it.
            return Ok(Outcome::Postponed);
        }
        let asked = self.ask().await;
        let mut last_activity_at = idle.last_activity_at;
        if let Some(at) = asked.newest.filter(|at| *at > idle.last_activity_at) {
            // Somebody talked at ChatKit meanwhile: that counts, and may still be too long ago.
            let noted = self.note(at).await?;
            if !noted.idle {
                return Ok(Outcome::Active);
            }
            last_activity_at = noted.last_activity_at;
        }
        if let Some(error) = asked.error {
            tracing::warn!(session_id = %idle.session_id, %error, "an idle session is postponed");
            return self.release(POSTPONE_SECONDS, asked.threads, last_activity_at).await;
        }
        if share.chatkit.is_some() && (asked.threads < idle.thread_ids.len() || idle.threads_left) {
            return self.release(GO_ON_SECONDS, asked.threads, last_activity_at).await;
        }
        self.expire(last_activity_at).await
    }

    /// Asks when something was last said in the session's threads, until that is known to be too recent or the budget is used up.
    async fn ask(self) -> Asked {
        let Self { share, idle } = self;
        let (mut asked, budget) = (Asked::default(), Budget::new(share.deadline));
        let Some(chatkit) = share.chatkit else { return asked };
        let ask = async |id: &String| {
            if !budget.take() {
                return None;
            }
            match chatkit.newest_item(id, share.deadline).await {
                Err(error) if chatkit.refuses_thread(&error, &idle.chatkit_user, share.deadline).await => {
                    tracing::warn!(session_id = %idle.session_id, thread_id = id, %error, "a thread is passed over");
                    Some(Ok(None))
                }
                newest => Some(newest),
            }
        };
        let mut answers = std::pin::pin!(stream::iter(&idle.thread_ids).map(ask).buffered(THREADS_AT_ONCE));
        while let Some(Some(answer)) = answers.next().await {
            match answer {
                Ok(newest) => asked.newest = asked.newest.max(newest),
                Err(error) => {
                    asked.error = Some(error);
                    break;
                }
            }
            asked.threads += 1;
            if asked.newest.is_some_and(|at| idle.is_in_use(at)) {
                break;
            }
        }
        asked
    }

    async fn note(self, at: Timestamp) -> Result<Noted, Error> {
        let Self { share, idle } = self;
        let arguments = json!({ "p_org_id": idle.org_id, "p_session_id": idle.session_id, "p_at": at });
        Ok(share.writer.call("record_chatkit_activity", &arguments, share.deadline).await?)
    }

    /// Leaves the session to a later round, which goes on after the threads that were asked for.
    async fn release(
        self,
        after_seconds: u32,
        threads: usize,
        last_activity_at: Timestamp,
    ) -> Result<Outcome, Error> {
        let Self { share, idle } = self;
        let arguments = json!({
            "p_org_id": idle.org_id,
            "p_session_id": idle.session_id,
            "p_retry_after_seconds": after_seconds,
            "p_threads_asked": idle.threads_asked + threads,
            "p_last_activity_at": last_activity_at,
        });
        let released =
            share.writer.call::<serde::de::IgnoredAny>("release_idle_session", &arguments, share.deadline);
        released.await?;
        Ok(Outcome::Postponed)
    }

    /// Ends the session if nothing has happened since.
    async fn expire(self, last_activity_at: Timestamp) -> Result<Outcome, Error> {
        #[derive(Deserialize)]
        struct Ended {
            expired: bool,
            #[serde(default)]
            live_chatkit_session_ids: Vec<String>,
        }
        let Self { share, idle } = self;
        let arguments = json!({
            "p_org_id": idle.org_id,
            "p_session_id": idle.session_id,
            "p_last_activity_at": last_activity_at,
        });
        let Ended { expired, live_chatkit_session_ids: ids } =
            share.writer.call("expire_session", &arguments, share.deadline).await?;
        if !expired {
            return Ok(Outcome::Active);
        }
        let of = sessions::Of { org_id: idle.org_id, session_id: idle.session_id, deadline: share.deadline };
        let cancelled = match share.chatkit {
            Some(chatkit) => sessions::cancel_upstream(chatkit, share.writer, of, &ids).await,
            None => 0,
        };
        Ok(Outcome::Expired { cancelled, uncancelled: ids.len() - cancelled })
    }
}

#[derive(Deserialize)]
struct Noted {
    idle: bool,
    last_activity_at: Timestamp,
}

impl Idle {
    /// Whether the session is in use with something said at that time.
    fn is_in_use(&self, at: Timestamp) -> bool {
        at > self.last_activity_at
            && Timestamp::now().duration_since(at)
                < SignedDuration::from_secs(self.idle_timeout_seconds.into())
    }
}
