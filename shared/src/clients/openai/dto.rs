//! JSON types of OpenAI's ChatKit API, with the fields that we use. Unknown fields are ignored.

use serde::{Deserialize, Serialize};

use super::{ChatKitSession, ChatKitSessionRequest};
use crate::{
    clients::openai,
    platform::{parse::Timestamp, secret::Secret},
};

/// Body of `POST /chatkit/sessions`.
#[derive(Serialize)]
pub(super) struct CreateSessionBody<'a> {
    user: &'a str,
    workflow: WorkflowParameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_after: Option<ExpiresAfter>,
}

#[derive(Serialize)]
struct ExpiresAfter {
    anchor: &'static str,
    seconds: u32,
}

#[derive(Serialize)]
struct WorkflowParameters<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    tracing: Tracing,
}

#[derive(Serialize)]
struct Tracing {
    enabled: bool,
}

impl<'a> CreateSessionBody<'a> {
    pub fn new(opening: &'a ChatKitSessionRequest) -> Self {
        Self {
            user: &opening.user,
            workflow: WorkflowParameters {
                id: &opening.workflow_id,
                version: opening.workflow_version.as_deref(),
                // OpenAI traces unless tracing is disabled.
                tracing: Tracing { enabled: opening.tracing_enabled },
            },
            expires_after: opening
                .lifetime_seconds
                .map(|seconds| ExpiresAfter { anchor: "created_at", seconds }),
        }
    }
}

/// A session, as `POST /chatkit/sessions` returns it.
#[derive(Deserialize)]
pub(super) struct SessionResponse {
    id: String,
    client_secret: Secret,
    /// Unix seconds.
    expires_at: i64,
}

impl SessionResponse {
    /// Converts the response; returns `None` if a value is not valid.
    pub fn into_chatkit_session(self) -> Option<ChatKitSession> {
        // The id becomes part of a path when the session is cancelled.
        let sound = is_path_safe(&self.id) && !self.client_secret.expose().is_empty();
        let expires_at = Timestamp::from_second(self.expires_at)?;
        sound.then_some(ChatKitSession { id: self.id, client_secret: self.client_secret, expires_at })
    }
}

/// Returns whether an id is always exactly one segment of a path.
pub(super) fn is_path_safe(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=200).contains(&id.len()) && id.chars().all(plain)
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub data: Vec<T>,
}

#[derive(Deserialize)]
pub(super) struct ThreadResponse {
    id: String,
    /// Unix seconds.
    created_at: i64,
    title: Option<String>,
    user: String,
    status: ThreadStatus,
}

/// Id and owner of a thread. Other fields are not parsed, so they cannot cause an error.
#[derive(Deserialize)]
pub(super) struct ThreadOwner {
    id: String,
    user: String,
}

impl ThreadOwner {
    /// Returns the thread's id if the thread belongs to this user.
    pub fn into_owned_id(self, user: &str) -> Option<String> {
        (self.user == user && is_path_safe(&self.id)).then_some(self.id)
    }
}

#[derive(Deserialize)]
struct ThreadStatus {
    #[serde(rename = "type")]
    kind: String,
}

impl ThreadResponse {
    pub fn into_thread(self) -> Option<openai::HostedThread> {
        Some(openai::HostedThread {
            created_at: Timestamp::from_second(self.created_at)?,
            id: self.id,
            title: self.title,
            status: self.status.kind,
            user: self.user,
        })
    }
}

/// An item of a thread, of any kind.
#[derive(Deserialize)]
pub(super) struct Item {
    /// Unix seconds.
    created_at: i64,
}

impl Item {
    pub fn created_at(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.created_at)
    }
}

/// A page of a thread's items.
#[derive(Deserialize)]
pub(super) struct Items {
    data: Vec<ThreadItem>,
    has_more: bool,
    last_id: Option<String>,
}

/// An item with its text. Items of kinds that OpenAI may add are ignored.
#[derive(Deserialize)]
struct ThreadItem {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    /// Unix seconds.
    created_at: i64,
    #[serde(default)]
    content: Vec<Part>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Attachment {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    mime_type: String,
}

/// Maximum number of characters that are kept of a message, as of our own messages.
const MAX_CONTENT: usize = 60_000;

impl Items {
    pub fn into_messages(self) -> openai::MessagePage {
        let next = self.last_id.filter(|_| self.has_more);
        let messages = self.data.into_iter().filter_map(ThreadItem::into_message).collect();
        openai::MessagePage { messages, next }
    }
}

impl ThreadItem {
    fn into_message(self) -> Option<openai::ThreadMessage> {
        let role = match self.kind.as_str() {
            "chatkit.user_message" => "user",
            "chatkit.assistant_message" => "agent",
            _ => return None,
        };
        let line = |part: &Part| match part.kind.as_str() {
            "quoted_text" => format!("> {}", part.text),
            _ => part.text.clone(),
        };
        let content = self.content.iter().map(line).collect::<Vec<_>>().join("\n");
        let attachments = self.attachments.into_iter().map(Attachment::into_json);
        Some(openai::ThreadMessage {
            id: self.id,
            role,
            content: strip_nul_and_truncate(&content),
            attachments: attachments.collect(),
            created_at: Timestamp::from_second(self.created_at)?,
        })
    }
}

impl Attachment {
    /// Leaves out the URL of the preview, which expires.
    fn into_json(self) -> serde_json::Value {
        serde_json::json!({
            "id": strip_nul_and_truncate(&self.id),
            "type": strip_nul_and_truncate(&self.kind),
            "name": strip_nul_and_truncate(&self.name),
            "mimeType": strip_nul_and_truncate(&self.mime_type),
        })
    }
}

/// Returns a text that PostgreSQL can store: without NUL, and bounded.
fn strip_nul_and_truncate(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_CONTENT).collect()
}
