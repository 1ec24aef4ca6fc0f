//! Transcripts: copies the messages of a session's ChatKit threads, when the session has ended or
//! on demand.

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport, SMALL_BATCH, share::CallBudget,
};
use crate::{
    clients::{
        openai::{self as chatkit, ChatKit},
        supabase,
    },
    error::{Error, ErrorCode},
};

/// Delay in seconds before a transcript is retried if ChatKit did not respond. The database
/// increases it with each attempt.
const POSTPONE_SECONDS: u32 = 60;

/// Copies the threads of ended sessions, each item once. What ChatKit does not return is retried
/// later.
pub(super) async fn copy_transcripts(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Claimed {
        transcripts: Vec<Transcript>,
    }
    let Some(chatkit) = share.chatkit else { return Ok(Batch::default()) };
    let arguments = json!({ "p_limit": SMALL_BATCH, "p_lease_seconds": LEASE_SECONDS });
    let Claimed { transcripts } =
        share.service_client.rpc("claim_transcripts", &arguments, share.deadline).await?;
    let mut batch = Batch::from_rows(transcripts.len());
    let copy = async |transcript: Transcript| {
        let budget = CallBudget::new(share.deadline);
        let mut copying =
            TranscriptCopy { share, chatkit, budget, transcript: &transcript, added: 0, at: None };
        let copied = copying.run().await;
        (copying.added, copied)
    };
    let mut outcomes = std::pin::pin!(stream::iter(transcripts).map(copy).buffer_unordered(CONCURRENCY));
    while let Some((added, copied)) = outcomes.next().await {
        report.transcript_messages += added;
        copied.or_else(|error| batch.record_error(error))?;
    }
    Ok(batch)
}

/// A session whose threads are to be copied.
#[derive(Deserialize)]
struct Transcript {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_user: String,
    attempt: u32,
    thread_ids: Vec<String>,
    /// The item of the first thread after which to continue.
    after_item_id: Option<String>,
    /// The thread after those, which is left to a later run.
    next_thread_id: Option<String>,
}

/// Progress of copying one transcript.
struct TranscriptCopy<'a> {
    share: BatchContext<'a>,
    chatkit: &'a ChatKit,
    budget: CallBudget,
    transcript: &'a Transcript,
    /// Messages that were new.
    added: u64,
    /// Where a later run continues: in this thread, after this item. `None` if nothing is left.
    at: Option<(&'a str, Option<String>)>,
}

enum CopyError {
    /// The call budget is used up.
    BudgetOver,
    Chatkit(chatkit::Error),
    Supabase(Error),
    /// The session was erased after it was claimed, or is being erased.
    Erased,
}

impl From<supabase::Error> for CopyError {
    fn from(error: supabase::Error) -> Self {
        if is_gone(&error) { Self::Erased } else { Self::Supabase(error.into()) }
    }
}

/// Returns whether Supabase rejected a call because its session or thread no longer exists.
fn is_gone(error: &supabase::Error) -> bool {
    error.has_code("session_not_found") || error.has_code("thread_not_found")
}

impl TranscriptCopy<'_> {
    /// Copies what the budget allows, and records how far it came.
    async fn run(&mut self) -> Result<(), Error> {
        let (share, transcript) = (self.share, self.transcript);
        let mut finished = json!({
            "p_org_id": transcript.org_id,
            "p_session_id": transcript.session_id,
            "p_attempt": transcript.attempt,
        });
        match self.copy().await {
            Ok(()) | Err(CopyError::BudgetOver) => {}
            Err(CopyError::Chatkit(error)) => {
                tracing::warn!(session_id = %transcript.session_id, %error, "a transcript is postponed");
                finished["p_retry_after_seconds"] = json!(POSTPONE_SECONDS);
            }
            Err(CopyError::Erased) => return Ok(()),
            // A row that violates a constraint now will violate it later too.
            Err(CopyError::Supabase(error)) if error.code == ErrorCode::InvalidRequest => {
                tracing::warn!(session_id = %transcript.session_id, %error, "a transcript is incomplete");
                self.at = None;
            }
            Err(CopyError::Supabase(error)) => return Err(error),
        }
        if let Some((thread_id, after)) = &self.at {
            finished["p_thread_id"] = json!(thread_id);
            if let Some(after) = after {
                finished["p_after_item_id"] = json!(after);
            }
        }
        let copied =
            share.service_client.rpc::<serde::de::IgnoredAny>("finish_transcript", &finished, share.deadline);
        match copied.await {
            Err(error) if is_gone(&error) => Ok(()),
            copied => copied.map(drop).map_err(Error::from),
        }
    }

    /// Copies the threads in order, from where an earlier run stopped.
    async fn copy(&mut self) -> Result<(), CopyError> {
        let Transcript { thread_ids, after_item_id, next_thread_id, .. } = self.transcript;
        for (place, id) in thread_ids.iter().enumerate() {
            self.at = Some((id, after_item_id.clone().filter(|_| place == 0)));
            let mut copied = self.copy_thread(id).await;
            if let (Err(CopyError::Chatkit(error)), Some((_, after @ Some(_)))) = (&copied, &mut self.at)
                && matches!(error.status, Some(400 | 404))
            {
                // The item to continue after may be deleted. Start over; items are not copied
                // twice.
                *after = None;
                copied = self.copy_thread(id).await;
            }
            match copied {
                Err(CopyError::Chatkit(error)) if self.is_refused(&error).await => {
                    let session_id = self.transcript.session_id;
                    tracing::warn!(%session_id, thread_id = id, %error, "a thread is not copied");
                }
                copied => copied?,
            }
        }
        self.at = next_thread_id.as_deref().map(|id| (id, None));
        Ok(())
    }

    /// Copies a thread page by page.
    async fn copy_thread(&mut self, thread_id: &str) -> Result<(), CopyError> {
        #[derive(Deserialize)]
        struct Recorded {
            added: u64,
        }
        let (BatchContext { service_client, deadline, .. }, Transcript { org_id, session_id, .. }) =
            (self.share, self.transcript);
        // A frontend can link any thread id, so only threads of the session's own user are copied.
        self.spend_call()?;
        let thread = self.chatkit.thread(thread_id, deadline).await.map_err(CopyError::Chatkit)?;
        if thread.is_none_or(|thread| thread.user != self.transcript.chatkit_user) {
            return Ok(());
        }
        loop {
            self.spend_call()?;
            let after = self.at.as_ref().and_then(|(_, after)| after.clone());
            let page = self.chatkit.messages(thread_id, after.as_deref(), deadline).await;
            let page = page.map_err(CopyError::Chatkit)?;
            if !page.messages.is_empty() {
                let arguments = json!({
                    "p_org_id": org_id,
                    "p_session_id": session_id,
                    "p_thread_id": thread_id,
                    "p_items": page.messages,
                });
                let recorded: Recorded =
                    service_client.rpc("record_thread_items", &arguments, deadline).await?;
                self.added += recorded.added;
            }
            // A page without a next cursor, or with the same one again, is the last.
            let Some(next) = page.next.filter(|next| Some(next) != after.as_ref()) else { return Ok(()) };
            if let Some((_, after)) = &mut self.at {
                *after = Some(next);
            }
        }
    }

    fn spend_call(&self) -> Result<(), CopyError> {
        (!self.share.is_last() && self.budget.spend_call()).then_some(()).ok_or(CopyError::BudgetOver)
    }

    async fn is_refused(&self, error: &chatkit::Error) -> bool {
        self.chatkit.refuses_thread(error, &self.transcript.chatkit_user, self.share.deadline).await
    }
}
