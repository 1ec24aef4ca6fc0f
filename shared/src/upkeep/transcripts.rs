//! What was said at ChatKit in a session's threads, copied into its transcript: once it has ended, and on demand.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{BATCH, LEASE_SECONDS, Report};
use crate::{
    chatkit::{self, ChatKit},
    error::{Code, Error},
    supabase::{self, Writer},
    upstream::Deadline,
};

/// After how many seconds a transcript is fetched again that ChatKit did not answer for; the database makes it more each time.
const POSTPONE_SECONDS: u32 = 60;

/// The most pages of one thread: a hundred items each.
const MAX_PAGES: usize = 100;

/// Copies the threads of sessions that have ended, each item once.
///
/// # Errors
/// Those of Supabase. What ChatKit does not answer for is fetched later.
pub async fn copy_transcripts(
    writer: &Writer,
    chatkit: &ChatKit,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Claimed {
        transcripts: Vec<Transcript>,
    }
    while deadline.leaves_room() {
        let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
        let Claimed { transcripts } = writer.call("claim_transcripts", &arguments, deadline).await?;
        if transcripts.is_empty() {
            break;
        }
        for transcript in transcripts {
            if !deadline.leaves_room() {
                // Its lease runs out, and a later round takes it.
                return Ok(());
            }
            let mut finished = json!({
                "p_org_id": transcript.org_id,
                "p_session_id": transcript.session_id,
                "p_attempt": transcript.attempt,
            });
            match transcript.copy(writer, chatkit, deadline).await {
                Ok(added) => report.copied_messages += added,
                Err(Failed::Chatkit(error)) => {
                    tracing::warn!(session_id = %transcript.session_id, %error, "a transcript is postponed");
                    finished["p_retry_after_seconds"] = json!(POSTPONE_SECONDS);
                }
                Err(Failed::Erased) => continue,
                // What the table does not take today it does not take tomorrow.
                Err(Failed::Supabase(error)) if error.code == Code::InvalidRequest => {
                    tracing::warn!(session_id = %transcript.session_id, %error, "a transcript is incomplete");
                }
                Err(Failed::Supabase(error)) => return Err(error),
            }
            match writer.call::<serde::de::IgnoredAny>("finish_transcript", &finished, deadline).await {
                Err(error) if is_gone(&error) => {}
                told => drop(told?),
            }
        }
    }
    Ok(())
}

/// A session whose threads are to be copied.
#[derive(Deserialize)]
struct Transcript {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_user: String,
    attempt: u32,
    thread_ids: Vec<String>,
}

enum Failed {
    Chatkit(chatkit::Error),
    Supabase(Error),
    /// The session was erased since it was claimed, or is being erased.
    Erased,
}

impl From<supabase::Error> for Failed {
    fn from(error: supabase::Error) -> Self {
        if is_gone(&error) { Self::Erased } else { Self::Supabase(error.into()) }
    }
}

/// Whether it is refused for what it is about not being there any more.
fn is_gone(error: &supabase::Error) -> bool {
    error.is_refusal("session_not_found") || error.is_refusal("thread_not_found")
}

impl Transcript {
    /// Copies all its threads, and says how many messages were new.
    async fn copy(&self, writer: &Writer, chatkit: &ChatKit, deadline: Deadline) -> Result<u64, Failed> {
        let mut added = 0;
        for id in &self.thread_ids {
            // A page can name any thread: only one of the session's own user is shown, here as everywhere.
            let thread = chatkit.thread(id, deadline).await.map_err(Failed::Chatkit)?;
            if thread.is_some_and(|thread| thread.user == self.chatkit_user) {
                added += self.copy_thread(writer, chatkit, deadline, id).await?;
            }
        }
        Ok(added)
    }

    async fn copy_thread(
        &self,
        writer: &Writer,
        chatkit: &ChatKit,
        deadline: Deadline,
        thread_id: &str,
    ) -> Result<u64, Failed> {
        #[derive(Deserialize)]
        struct Recorded {
            added: u64,
        }
        let (mut added, mut after) = (0, None);
        for _ in 0..MAX_PAGES {
            let page =
                chatkit.messages(thread_id, after.as_deref(), deadline).await.map_err(Failed::Chatkit)?;
            if !page.messages.is_empty() {
                let arguments = json!({
                    "p_org_id": self.org_id,
                    "p_session_id": self.session_id,
                    "p_thread_id": thread_id,
                    "p_items": page.messages,
                });
                let recorded: Recorded = writer.call("record_thread_items", &arguments, deadline).await?;
                added += recorded.added;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(added)
    }
}
