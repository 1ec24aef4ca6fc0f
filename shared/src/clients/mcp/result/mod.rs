//! Tool results, by the contract with agents ("Agents over MCP").
//!
//! Parsing is strict only where the result is acted on. Only `status` is required, and `null`
//! counts as missing. Text that is only shown is truncated to what can be stored. Values that
//! violate the contract are kept as received.

mod content;
pub(super) mod json;
mod parse;
mod sanitize;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use uuid::Uuid;

pub(super) use parse::parse_tool_result;
pub(super) use sanitize::{replace_nul, truncate};

pub use crate::clients::{Approver, Decision, Risk};
use crate::platform::{parse::Timestamp, string_enum::words};

#[derive(Clone, Debug, PartialEq)]
pub enum ToolResult {
    Completed(Completed),
    /// The agent reports that it failed.
    Failed(FailureReport),
    /// A person has to decide before the agent continues.
    NeedsHuman(NeedsHuman),
}

/// Work that an agent has done, and what it wants to be done next.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Completed {
    /// Message to the session's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskUpdate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<FollowUp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
}

/// An agent's report that it failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FailureReport {
    /// Message to the session's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Partial result, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskUpdate>,
}

/// A result that waits for a person's decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeedsHuman {
    /// Message to the session's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskUpdate>,
    pub ask: HumanRequest,
    /// State of an `input_required` request, to be passed unchanged to
    /// [`ElicitationAnswer`](super::ElicitationAnswer) with the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_state: Option<Value>,
}

/// A request for a person's decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HumanRequest {
    /// Reason why a person has to decide.
    pub reason: String,
    /// Decisions that are allowed: at least one, each once.
    pub decisions: Vec<Decision>,
    /// JSON Schema of the answer, which is known to compile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Map<String, Value>>,
    /// Time in which a person can decide: from a minute to thirty days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<Approver>,
}

/// State of a piece of work, shown as a task card.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct TaskUpdate {
    /// Id that the agent gave the task.
    pub id: String,
    pub title: String,
    pub status: TaskStatus,
    /// Whether the task waits for a person.
    #[serde(default)]
    pub requires_hitl: bool,
    // The optional members that follow are ignored if they cannot be read, and the task is kept.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The escalation that the task waits for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub escalation_id: Option<Uuid>,
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Value::deserialize(deserializer).map(|value| T::deserialize(value).ok())
}

/// Work for another agent to do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct FollowUp {
    pub agent_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Map<String, Value>>,
    /// Whether the inputs do not match the schema of the tool that would receive them. Set by the
    /// dispatcher, never by the agent.
    #[serde(skip_deserializing, skip_serializing_if = "std::ops::Not::not")]
    pub invalid_inputs: bool,
}

/// Transfer of the session to another agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Handover {
    pub agent_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Information that the next agent needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

words! {
    pub enum TaskStatus {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Blocked = "blocked",
    }
}
