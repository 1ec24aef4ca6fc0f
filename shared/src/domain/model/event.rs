//! Types of a session's events and tasks, as they are read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::platform::parse::Timestamp;

/// An event, as stored in the table and returned by the API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Event {
    /// Assigned by the event's sender, unique in the session.
    pub id: Uuid,
    /// Sequence number in the session.
    pub seq: i64,
    #[serde(rename = "type")]
    pub kind: String,
    pub payload: Map<String, Value>,
    /// `user`, `agent` or `system`, set by the server.
    pub actor_type: String,
    /// Id of the user or agent.
    pub actor_id: Option<String>,
    /// Time of the event by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// Time at which the server recorded the event.
    pub created_at: Timestamp,
}

/// An event as `POST /chatkit/sessions/{id}/events` returns it, without its payload.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct RecordedEvent {
    /// Assigned by the event's sender, unique in the session.
    pub id: Uuid,
    /// Sequence number in the session.
    pub seq: i64,
    #[serde(rename = "type")]
    pub kind: String,
    /// `user`, `agent` or `system`, set by the server.
    pub actor_type: String,
    /// Id of the user or agent.
    pub actor_id: Option<String>,
    /// Time of the event by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// Time at which the server recorded the event.
    pub created_at: Timestamp,
    /// The escalation that the event opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_id: Option<Uuid>,
}

/// A task of an agent, as a task card shows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Task {
    /// The id that the agent assigned.
    pub id: String,
    pub title: String,
    /// `pending`, `running`, `completed` or `blocked`.
    pub status: String,
    /// Whether the task waits for a human decision.
    pub requires_hitl: bool,
    pub description: Option<String>,
    pub due_at: Option<Timestamp>,
    /// The escalation of the session that the task waits for.
    pub escalation_id: Option<Uuid>,
    pub updated_at: Timestamp,
}
