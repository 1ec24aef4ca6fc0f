//! What is read of a session's events and tasks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::platform::parse::Timestamp;

/// An event on record.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Event {
    /// The id that its maker gave it, unique in the session.
    pub id: Uuid,
    /// Its place in the session.
    pub seq: i64,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// What its maker said of it.
    pub payload: Map<String, Value>,
    /// `user`, `agent` or `system`: ours to say.
    pub actor_type: String,
    /// Which user or agent.
    pub actor_id: Option<String>,
    /// When it happened, by its maker's clock.
    pub occurred_at: Option<Timestamp>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// An event that is on record.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct RecordedEvent {
    /// The id that its maker gave it.
    pub id: Uuid,
    /// Its place in the session.
    pub seq: i64,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// `user`, `agent` or `system`: ours to say.
    pub actor_type: String,
    /// Which user or agent.
    pub actor_id: Option<String>,
    /// When it happened, by its maker's clock.
    pub occurred_at: Option<Timestamp>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The escalation that it opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_id: Option<Uuid>,
}

/// A piece of work that an agent does: what a task card shows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Task {
    /// The agent's id of it.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// `pending`, `running`, `completed` or `blocked`.
    pub status: String,
    /// Whether it waits for a person.
    pub requires_hitl: bool,
    /// When this state was recorded.
    pub updated_at: Timestamp,
}
