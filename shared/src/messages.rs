//! The transcript of a session.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    call::Call,
    error::{Code, Error},
    page::{Page, SeqCursor, cut},
    supabase::Reader,
};

/// A message, as the table keeps it and the API shows it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Message {
    /// Its id, unique in the session.
    pub id: Uuid,
    /// Its place in the session.
    pub seq: i64,
    /// `user`, `agent` or `system`.
    pub role: String,
    /// What was said.
    pub content: String,
    /// What was attached.
    pub attachments: Vec<Value>,
    /// The tool call that it came from.
    pub tool_invocation_id: Option<String>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// A page of a session's messages, in the order in which they were said.
///
/// # Errors
/// `session_not_found`.
pub async fn list(
    reader: &Reader,
    call: &Call,
    session_id: Uuid,
    limit: u16,
    after: Option<SeqCursor>,
) -> Result<Page<Message>, Error> {
    #[derive(Deserialize)]
    struct Row {
        chat_messages: Vec<Message>,
    }
    // Asked through the session, so that one which may not be seen is told from one without messages.
    let mut query = reader
        .from("chat_sessions")
        .select("chat_messages(id,seq,role,content,attachments,tool_invocation_id,created_at)")
        .eq("id", session_id.to_string())
        .order_with_options("seq", Some("chat_messages"), true, false)
        .foreign_table_limit(usize::from(limit) + 1, "chat_messages");
    if let Some(SeqCursor(seq)) = after {
        query = query.gt("chat_messages.seq", seq.to_string());
    }
    let rows: Vec<Row> = reader.rows(query, &call.caller.token, call.deadline).await?;
    let row = rows.into_iter().next().ok_or_else(|| Error::new(Code::SessionNotFound))?;
    Ok(cut(row.chat_messages, limit, |message| SeqCursor(message.seq), SeqCursor::encode))
}
