//! The store of the chat: one RPC per request. Each RPC takes the hash of the client secret and
//! finds the session, the user and the organisation itself.

mod calls;
mod cards;
mod setup;
mod threads;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use calls::{BeginChatCall, BegunCall};
pub use cards::StoredCard;
pub use setup::{ModelSettings, ModelSetup, NextAgent, OfferedTool, OtherAgent};
pub use threads::{StoredPage, ThreadItems};

use super::{history::InputSize, protocol::ThreadItem};
use crate::{
    clients::supabase::{self, Rpc, ServiceClient},
    domain::deliveries::{Delivery, FinishedDelivery, RpcOutcome},
    error::Error,
    platform::{http_client::Deadline, parse::Timestamp, secret::Secret},
};

/// Lease of a run, in seconds. A process renews it once a second while it answers.
pub const LEASE_SECONDS: u32 = 15;

/// The threads of the user whose client secret a request carries.
#[derive(Clone)]
pub struct ChatStore {
    service_client: ServiceClient,
    secret_hash: String,
}

/// A thread as it is stored.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredThread {
    pub id: String,
    pub title: Option<String>,
    pub created_at: Timestamp,
}

/// Arguments of an RPC of the chat.
#[derive(Serialize)]
struct WithSecret<'a, T> {
    p_secret_hash: &'a str,
    #[serde(flatten)]
    arguments: &'a T,
}

impl<T: Rpc> Rpc for WithSecret<'_, T> {
    const NAME: &'static str = T::NAME;
    const IS_SLOW: bool = T::IS_SLOW;
    type Output = T::Output;
}

/// The arguments that begin a run. The same question under the same key begins one run.
#[derive(Clone, Debug, Serialize)]
pub struct BeginChatRunCall {
    pub p_run_id: Uuid,
    pub p_request_key: String,
    pub p_request_hash: String,
    pub p_key_is_explicit: bool,
    pub p_thread_id: String,
    pub p_is_new_thread: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_title: Option<String>,
    pub p_items: Vec<ThreadItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_retry_after_item_id: Option<String>,
    pub p_draft: Vec<ThreadItem>,
    pub p_lease_seconds: u32,
    /// The card of a call after which the conversation continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_continued_item_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_client_tool_output: Option<ClientToolOutput>,
}

/// The output of a client tool. An object, so that a result of `null` is not an omitted argument.
#[derive(Clone, Debug, Serialize)]
pub struct ClientToolOutput {
    pub result: Value,
}

impl Rpc for BeginChatRunCall {
    const NAME: &'static str = "begin_chat_run";
    type Output = BeginOutcome;
}

#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum BeginOutcome {
    Begun(Box<BegunRun>),
    /// Another answer in the thread is stopping.
    Busy,
    /// The request repeats one whose run exists.
    Repeated(RepeatedRun),
    /// The card does not offer to continue: its call has not ended, or the conversation has gone
    /// on.
    NotOffered,
}

/// A run of this process, and what the model needs.
#[derive(Debug, Deserialize)]
pub struct BegunRun {
    pub run_id: Uuid,
    pub thread: StoredThread,
    /// The user's message. `None` if the user answered in another way.
    pub question: Option<Value>,
    /// Items that this answer replaces, also those that an earlier attempt has removed.
    pub removed_item_ids: Vec<String>,
    /// Cards of held calls after the question, which stay when the answer is replaced.
    #[serde(default)]
    pub kept_items: Vec<ThreadItem>,
    #[serde(flatten)]
    pub setup: ModelSetup,
    /// An opaque id of the user.
    pub user: Uuid,
    pub history: StoredHistory,
    /// Size of the thread's latest input.
    pub last_input: Option<LastInput>,
}

/// The newest items of a thread, visible and hidden, in order.
#[derive(Debug, Deserialize)]
pub struct StoredHistory {
    pub items: Vec<Value>,
    /// Whether these are all items of the thread.
    pub complete: bool,
}

/// Size of an input that a model has read.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct LastInput {
    bytes: u64,
    tokens: u64,
}

impl From<LastInput> for InputSize {
    fn from(LastInput { bytes, tokens }: LastInput) -> Self {
        Self { bytes, tokens }
    }
}

/// The run of an earlier request with the same key.
#[derive(Debug, Deserialize)]
pub struct RepeatedRun {
    pub run_id: Uuid,
    pub status: RunStatus,
    pub thread: StoredThread,
    pub question: Option<Value>,
    /// Items that this answer replaces.
    pub removed_item_ids: Vec<String>,
    /// Items of the answer, if the run has finished.
    pub items: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Completed,
    /// The model reached a limit.
    Incomplete,
    Stopped,
    Failed,
    /// The process stopped before it had finished the run.
    Interrupted,
}

impl RunStatus {
    /// Returns whether a repeated request takes up the question again.
    pub const fn is_broken(self) -> bool {
        matches!(self, Self::Failed | Self::Interrupted)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct AppendChatRunCall {
    pub p_run_id: Uuid,
    pub p_chunk_seq: u32,
    pub p_events: Vec<Value>,
    pub p_items: Vec<Value>,
    pub p_draft: Vec<Value>,
    pub p_lease_seconds: u32,
    /// Tokens of the responses that the model has counted. The run is charged for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_counted_tokens: Option<u64>,
}

impl Rpc for AppendChatRunCall {
    const NAME: &'static str = "append_chat_run";
    type Output = Appended;
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Appended {
    /// False if the run has ended, because its lease had expired.
    pub running: bool,
    /// Whether the answer must stop.
    pub stop: bool,
    /// Whether there are tokens left for another response, if the call has counted tokens.
    #[serde(default)]
    pub has_tokens: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct FinishChatRunCall {
    pub p_run_id: Uuid,
    pub p_status: RunStatus,
    pub p_chunk_seq: u32,
    pub p_events: Vec<Value>,
    pub p_items: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_input_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_error_code: Option<&'static str>,
}

impl Rpc for FinishChatRunCall {
    const NAME: &'static str = "finish_chat_run";
    type Output = Finished;
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Finished {
    /// False if the run had ended otherwise; nothing is stored then.
    pub finished: bool,
}

#[derive(Serialize)]
struct FollowChatRunCall {
    p_run_id: Uuid,
    p_after_chunk_seq: u32,
}

impl Rpc for FollowChatRunCall {
    const NAME: &'static str = "follow_chat_run";
    type Output = FollowedRun;
}

/// The chunks that a run has streamed after a given one.
#[derive(Debug, Deserialize)]
pub struct FollowedRun {
    pub status: RunStatus,
    /// The last chunk of `events`.
    pub chunk_seq: u32,
    /// The last chunk of the run so far.
    pub last_chunk_seq: u32,
    pub events: Vec<Value>,
}

impl ChatStore {
    pub fn new(service_client: ServiceClient, client_secret: &Secret) -> Self {
        Self { service_client, secret_hash: sha256_hex(client_secret.expose().as_bytes()) }
    }

    /// Returns the hash by which the database finds the client secret.
    pub fn secret_hash(&self) -> &str {
        &self.secret_hash
    }

    async fn call<R: Rpc>(&self, arguments: &R, deadline: Deadline) -> Result<R::Output, supabase::Error> {
        let call = WithSecret { p_secret_hash: &self.secret_hash, arguments };
        self.service_client.rpc(&call, deadline).await
    }

    /// Stores a question and begins its answer.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, `item_not_found`, the code of a limit
    /// with 429, or the error of Supabase.
    pub async fn begin_run(
        &self,
        call: &BeginChatRunCall,
        deadline: Deadline,
    ) -> Result<BeginOutcome, Error> {
        Ok(self.call(call, deadline).await?)
    }

    /// Stores what a run has streamed, and renews its lease. The call is repeated until the
    /// deadline, because what it stores must not be lost.
    ///
    /// # Errors
    /// Returns the last error of Supabase.
    pub async fn append(&self, call: &AppendChatRunCall, deadline: Deadline) -> Result<Appended, Error> {
        let call = WithSecret { p_secret_hash: &self.secret_hash, arguments: call };
        Ok(self.service_client.rpc_until_recorded(&call, deadline).await?)
    }

    /// Ends a run. The call is repeated until the deadline.
    ///
    /// # Errors
    /// Returns the last error of Supabase.
    pub async fn finish(&self, call: &FinishChatRunCall, deadline: Deadline) -> Result<Finished, Error> {
        let call = WithSecret { p_secret_hash: &self.secret_hash, arguments: call };
        Ok(self.service_client.rpc_until_recorded(&call, deadline).await?)
    }

    /// Records the result of a call that this process has made, as long as its lease lasts.
    ///
    /// # Errors
    /// Returns the last error of Supabase.
    pub async fn record_call(
        &self,
        delivery: &Delivery,
        outcome: &RpcOutcome,
        lease: Deadline,
    ) -> Result<FinishedDelivery, Error> {
        delivery.record(&self.service_client, outcome, lease).await
    }

    /// Returns what another process has streamed for a run.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, or the error of Supabase.
    pub async fn follow(&self, run_id: Uuid, after: u32, deadline: Deadline) -> Result<FollowedRun, Error> {
        let call = FollowChatRunCall { p_run_id: run_id, p_after_chunk_seq: after };
        Ok(self.call(&call, deadline).await?)
    }
}

/// Returns a SHA-256 hash in hexadecimal digits.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
