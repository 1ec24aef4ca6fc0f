//! The JSON of OpenAI's ChatKit API, as far as it is of use to us. Unknown fields are ignored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Opened, Opening};
use crate::{chatkit, secret::Secret};

/// The body of `POST /chatkit/sessions`.
#[derive(Serialize)]
pub(super) struct CreateSession<'a> {
    user: &'a str,
    workflow: Workflow<'a>,
}

#[derive(Serialize)]
struct Workflow<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    tracing: Tracing,
}

#[derive(Serialize)]
struct Tracing {
    enabled: bool,
}

impl<'a> CreateSession<'a> {
    pub fn new(opening: &'a Opening) -> Self {
        Self {
            user: &opening.user,
            workflow: Workflow {
                id: &opening.workflow_id,
                version: opening.workflow_version.as_deref(),
                // OpenAI traces unless it is told not to.
                tracing: Tracing { enabled: opening.tracing_enabled },
            },
        }
    }
}

/// A session, as `POST /chatkit/sessions` answers it.
#[derive(Deserialize)]
pub(super) struct Session {
    id: String,
    client_secret: Secret,
    /// Unix seconds.
    expires_at: i64,
}

impl Session {
    /// The session in our words; `None` for what cannot be true.
    pub fn opened(self) -> Option<Opened> {
        // The id becomes part of a path when the session is cancelled.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let sound = (1..=200).contains(&self.id.len())
            && self.id.chars().all(plain)
            && !self.client_secret.expose().is_empty();
        let expires_at = Timestamp::from_second(self.expires_at).ok()?;
        sound.then_some(Opened { id: self.id, client_secret: self.client_secret, expires_at })
    }
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct List<T> {
    pub data: Vec<T>,
}

/// A thread.
#[derive(Deserialize)]
pub(super) struct Thread {
    id: String,
    /// Unix seconds.
    created_at: i64,
    title: Option<String>,
    user: String,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(rename = "type")]
    kind: String,
}

impl Thread {
    pub fn into_thread(self) -> Option<chatkit::Thread> {
        Some(chatkit::Thread {
            created_at: Timestamp::from_second(self.created_at).ok()?,
            id: self.id,
            title: self.title,
            status: self.status.kind,
            user: self.user,
        })
    }
}

/// An item of a thread, of whatever kind.
#[derive(Deserialize)]
pub(super) struct Item {
    /// Unix seconds.
    created_at: i64,
}

impl Item {
    pub fn created_at(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.created_at).ok()
    }
}
