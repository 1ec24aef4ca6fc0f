//! Types of the ChatKit API for the rest of the crate.

use crate::platform::{parse::Timestamp, secret::Secret};

/// Parameters of a new ChatKit session.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct ChatKitSessionRequest {
    /// Opaque id of the user at OpenAI, one per organisation and user.
    #[serde(rename = "chatkit_user")]
    pub user: String,
    /// Workflow of the agent, from our registry.
    pub workflow_id: String,
    /// Version that the registry pins, if any.
    pub workflow_version: Option<String>,
    /// Whether OpenAI keeps traces of the session.
    pub tracing_enabled: bool,
    /// Lifetime in seconds. `None` means ten minutes, which is the maximum.
    #[serde(skip)]
    pub lifetime_seconds: Option<u32>,
}

/// A ChatKit session, which lives ten minutes at most.
#[derive(Clone, Debug)]
pub struct ChatKitSession {
    /// OpenAI's id of the session, `cksess_…`.
    pub id: String,
    /// Token that the browser connects with.
    pub client_secret: Secret,
    pub expires_at: Timestamp,
}

/// A conversation, stored at OpenAI.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostedThread {
    /// OpenAI's id of the thread, `cthr_…`.
    pub id: String,
    pub title: Option<String>,
    /// `active`, `locked`, `closed`, or another value from OpenAI.
    pub status: String,
    pub created_at: Timestamp,
    /// Owner of the thread, as in [`ChatKitSessionRequest::user`].
    #[serde(skip)]
    pub user: String,
}

/// A page of a thread's messages.
#[derive(Debug)]
pub struct MessagePage {
    /// Messages of users and of the agent. Other items are left out.
    pub messages: Vec<ThreadMessage>,
    /// Id of the item after which the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// A message of a thread.
#[derive(Debug, serde::Serialize)]
pub struct ThreadMessage {
    /// ChatKit's id of the item.
    pub id: String,
    /// `user` or `agent`.
    pub role: &'static str,
    /// Text, with each part on a line of its own.
    pub content: String,
    /// Id, name, type and MIME type of each attachment.
    pub attachments: Vec<serde_json::Value>,
    pub created_at: Timestamp,
}
