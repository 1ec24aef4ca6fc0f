//! Types of the ChatKit API, as the rest of the crate sees them.

use crate::platform::{parse::Timestamp, secret::Secret};

/// What a ChatKit session is opened with.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct CreateSession {
    /// The user as the provider knows them: opaque, one per organisation and user.
    #[serde(rename = "chatkit_user")]
    pub user: String,
    /// The agent's workflow, from our registry.
    pub workflow_id: String,
    /// The version that the registry pins, if it does.
    pub workflow_version: Option<String>,
    /// Whether the provider keeps traces.
    pub tracing_enabled: bool,
    /// How long it lives, if not the ten minutes that are the most.
    #[serde(skip)]
    pub lifetime_seconds: Option<u32>,
}

/// A ChatKit session: a token that lives ten minutes at most.
#[derive(Clone, Debug)]
pub struct ChatKitSession {
    /// The provider's id, `cksess_…`.
    pub id: String,
    /// What the browser connects with.
    pub client_secret: Secret,
    /// When it runs out.
    pub expires_at: Timestamp,
}

/// A conversation at the provider.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// The provider's id, `cthr_…`.
    pub id: String,
    /// Its title, once it has one.
    pub title: Option<String>,
    /// `active`, `locked`, `closed`, or what else the provider says.
    pub status: String,
    /// When it began.
    pub created_at: Timestamp,
    /// Whose it is, as the provider knows them.
    #[serde(skip)]
    pub user: String,
}

/// A page of what was said in a thread.
#[derive(Debug)]
pub struct MessagePage {
    /// What people and the agent said; other items are passed over.
    pub messages: Vec<Message>,
    /// After which item the next page begins; none for the last page.
    pub next: Option<String>,
}

/// Something that was said in a thread.
#[derive(Debug, serde::Serialize)]
pub struct Message {
    /// ChatKit's id of the item.
    pub id: String,
    /// `user` or `agent`.
    pub role: &'static str,
    /// The text, its parts on lines of their own.
    pub content: String,
    /// What was attached: id, name, type and MIME type of each.
    pub attachments: Vec<serde_json::Value>,
    /// When it was said.
    pub created_at: Timestamp,
}
