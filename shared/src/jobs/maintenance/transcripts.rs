//! Transcripts: copies the messages of a session's ChatKit threads, when the session has ended or
//! on demand.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::{
    Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport, SMALL_BATCH,
    batch::{CallBudget, ClaimLimits, ClaimedRows, process_claimed},
};
use crate::{
    clients::{
        openai::{self as chatkit, ChatKit},
        supabase::{self, Rpc},
    },
    error::{Error, ErrorCode},
};

/// Delay in seconds before a transcript is retried if ChatKit did not respond. The database
/// increases it with each attempt.
const POSTPONE_SECONDS: u32 = 60;

/// Copies the threads of ended sessions, each item once. What ChatKit does not return is retried
/// later.
pub(super) async fn copy_transcripts(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let Some(chatkit) = context.chatkit else { return Ok(Batch::default()) };
    let claim = ClaimLimits { p_limit: SMALL_BATCH, p_lease_seconds: LEASE_SECONDS };
    let copy = async |transcript: Transcript| {
        let budget = CallBudget::new(context.deadline);
        let mut copying =
            TranscriptCopy { context, chatkit, budget, transcript: &transcript, added: 0, at: None };
        let copied = copying.run().await;
        (copying.added, copied)
    };
    let record = |(added, copied): (u64, Result<(), Error>), batch: &mut Batch| {
        report.transcript_messages += added;
        copied.or_else(|error| batch.record_error(error))
    };
    process_claimed(context, ClaimTranscriptsCall(claim), CONCURRENCY, copy, record).await
}

#[derive(Serialize)]
struct ClaimTranscriptsCall(ClaimLimits);

impl Rpc for ClaimTranscriptsCall {
    const NAME: &'static str = "claim_transcripts";
    type Output = ClaimedRows<Transcript>;
}

#[derive(Serialize)]
struct FinishTranscriptCall<'a> {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_attempt: u32,
    /// Delay of the next attempt, if ChatKit did not respond.
    #[serde(skip_serializing_if = "Option::is_none")]
    p_retry_after_seconds: Option<u32>,
    /// The thread with which a later run continues. Without it, the transcript is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    p_thread_id: Option<&'a str>,
    /// The item of that thread after which a later run continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after_item_id: Option<&'a str>,
}

impl Rpc for FinishTranscriptCall<'_> {
    const NAME: &'static str = "finish_transcript";
    type Output = IgnoredAny;
}

#[derive(Serialize)]
struct RecordThreadItemsCall<'a> {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_thread_id: &'a str,
    p_items: &'a [chatkit::ThreadMessage],
}

#[derive(Deserialize)]
struct RecordedItems {
    /// Number of messages that were new.
    added: u64,
}

impl Rpc for RecordThreadItemsCall<'_> {
    const NAME: &'static str = "record_thread_items";
    type Output = RecordedItems;
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
    context: BatchContext<'a>,
    chatkit: &'a ChatKit,
    budget: CallBudget,
    transcript: &'a Transcript,
    /// Number of messages that were copied for the first time.
    added: u64,
    /// The position at which a later run continues: in this thread, after this item. `None` if
    /// nothing is left.
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
        let context = self.context;
        let transcript = self.transcript;
        let mut retry_after_seconds = None;
        match self.copy().await {
            Ok(()) | Err(CopyError::BudgetOver) => {}
            Err(CopyError::Chatkit(error)) => {
                tracing::warn!(session_id = %transcript.session_id, %error, "a transcript is postponed");
                retry_after_seconds = Some(POSTPONE_SECONDS);
            }
            Err(CopyError::Erased) => return Ok(()),
            // A row that violates a constraint now will violate it later too.
            Err(CopyError::Supabase(error)) if error.code == ErrorCode::InvalidRequest => {
                tracing::warn!(session_id = %transcript.session_id, %error, "a transcript is incomplete");
                self.at = None;
            }
            Err(CopyError::Supabase(error)) => return Err(error),
        }
        let call = FinishTranscriptCall {
            p_org_id: transcript.org_id,
            p_session_id: transcript.session_id,
            p_attempt: transcript.attempt,
            p_retry_after_seconds: retry_after_seconds,
            p_thread_id: self.at.as_ref().map(|(thread_id, _)| *thread_id),
            p_after_item_id: self.at.as_ref().and_then(|(_, after)| after.as_deref()),
        };
        match context.service_client.rpc(&call, context.deadline).await {
            Err(error) if is_gone(&error) => Ok(()),
            finished => finished.map(drop).map_err(Error::from),
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
        let (BatchContext { service_client, deadline, .. }, Transcript { org_id, session_id, .. }) =
            (self.context, self.transcript);
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
                let call = RecordThreadItemsCall {
                    p_org_id: *org_id,
                    p_session_id: *session_id,
                    p_thread_id: thread_id,
                    p_items: &page.messages,
                };
                self.added += service_client.rpc(&call, deadline).await?.added;
            }
            // A page without a next cursor, or with the same one again, is the last.
            let Some(next) = page.next.filter(|next| Some(next) != after.as_ref()) else { return Ok(()) };
            if let Some((_, after)) = &mut self.at {
                *after = Some(next);
            }
        }
    }

    fn spend_call(&self) -> Result<(), CopyError> {
        if self.context.is_last() || !self.budget.spend_call() {
            return Err(CopyError::BudgetOver);
        }
        Ok(())
    }

    async fn is_refused(&self, error: &chatkit::Error) -> bool {
        self.chatkit.refuses_thread(error, &self.transcript.chatkit_user, self.context.deadline).await
    }
}
