//! Messages: the transcript of a session.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clients::supabase::UserClient,
    domain::{
        RequestContext,
        pagination::{Page, PageSize, Rows, SeqCursor},
    },
    error::Error,
    platform::parse::Timestamp,
};

/// A message, as stored in the table and returned by the API.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Message {
    /// Unique in the session.
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
}

/// Lists the messages of a session in order.
///
/// # Errors
/// Returns `session_not_found` if the session does not exist or the caller may not see it.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    session_id: Uuid,
    limit: PageSize,
    after: Option<SeqCursor>,
) -> Result<Page<Message>, Error> {
    #[derive(Serialize)]
    struct Arguments {
        p_session_id: Uuid,
        p_limit: PageSize,
        p_after_seq: i64,
    }
    let p_after_seq = after.map_or(0, |SeqCursor(seq)| seq);
    let arguments = Arguments { p_session_id: session_id, p_limit: limit, p_after_seq };
    let rows: Rows<Message> =
        user_client.read("list_messages", &arguments, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|message| SeqCursor(message.seq).encode()))
}
