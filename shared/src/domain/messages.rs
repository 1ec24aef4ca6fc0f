//! Messages: the transcript of a session.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        pagination::{Page, PageRequest, Rows, SeqCursor},
    },
    error::Error,
    platform::{parse::Timestamp, string_enum::words},
};

words! {
    /// The kinds of messages to list.
    pub enum Kinds {
        /// Messages of users and agents.
        Messages = "messages",
        /// Every item of the threads, for example widgets.
        All = "all",
    }
}

/// A message, as stored in the table and returned by the API.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Message {
    /// The id of the message, unique in the session.
    pub id: Uuid,
    /// Sequence number in the session.
    pub seq: i64,
    /// `user`, `agent` or `system`.
    pub role: String,
    pub content: String,
    pub attachments: Vec<Value>,
    /// The tool call that produced the message.
    pub tool_invocation_id: Option<String>,
    pub created_at: Timestamp,
    /// For an item of the self-hosted chat: its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// For an item of the self-hosted chat: its type in ChatKit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The item as ChatKit.js receives it, with [`Kinds::All`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// When the item was removed from its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ListMessagesCall {
    p_session_id: Uuid,
    p_all_kinds: bool,
    #[serde(flatten)]
    page: PageRequest<SeqCursor>,
}

impl Rpc for ListMessagesCall {
    const NAME: &'static str = "list_messages";
    type Output = Rows<Message>;
}

/// Lists the messages of a session in order.
///
/// # Errors
/// Returns `session_not_found` if the session does not exist or the caller may not see it.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    session_id: Uuid,
    kinds: Kinds,
    page: PageRequest<SeqCursor>,
) -> Result<Page<Message>, Error> {
    let call = ListMessagesCall { p_session_id: session_id, p_all_kinds: kinds == Kinds::All, page };
    let rows = user_client.rpc(&call, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|last| SeqCursor { seq: last.seq }))
}
