//! What a tool answered, in the words of the contract ("Agents over MCP").
//!
//! Strict in what is acted on, forgiving in the rest: only `status` must be there, `null` is as good as nothing, what is only shown is
//! cut to what can be kept, and what is not as the contract says is kept as it came.

mod content;
pub(super) mod json;
mod parse;
mod sanitize;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use parse::parse_tool_result;
pub(super) use sanitize::{replace_nul, truncate};

use crate::platform::string_enum::words;

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolResult {
    /// It is done.
    Completed(Completed),
    /// The agent says that it failed.
    Failed(Failed),
    /// A person has to decide before it goes on.
    Asked(NeedsHuman),
}

/// What an agent has done and wants to be done next.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Completed {
    /// Said to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Remarks on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Value>,
    /// The state of pieces of work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// What other agents are to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<FollowUp>,
    /// Who takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
}

/// An agent's word that it failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Failed {
    /// Said to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What there is of a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Remarks on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Value>,
    /// The state of pieces of work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
}

/// An agent that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeedsHuman {
    /// Said to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The state of pieces of work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// The question.
    pub ask: HumanRequest,
    /// For a question of MCP's own (`input_required`): what to hand to [`super::Resume`] with the decision, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_state: Option<Value>,
}

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HumanRequest {
    /// Why a person is needed.
    pub reason: String,
    /// What may be decided; at least one, each once.
    pub decisions: Vec<Decision>,
    /// The JSON schema of the answer: one that compiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Map<String, Value>>,
    /// How long it may be decided: from a minute to thirty days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u32>,
    /// How much depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// Who may decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<Approver>,
}

/// The state of a piece of work: a task card.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Task {
    /// The agent's id of it.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// How far it is.
    pub status: TaskStatus,
    /// Whether it waits for a person.
    #[serde(default)]
    pub requires_hitl: bool,
}

/// What another agent is to do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct FollowUp {
    /// Who.
    pub agent_id: String,
    /// What.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Map<String, Value>>,
}

/// Who takes over the session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Handover {
    /// Who.
    pub agent_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the next one needs to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

words! {
    /// What a person may decide.
    pub enum Decision {
        /// Do it.
        Approve = "approve",
        /// Do it otherwise.
        Edit = "edit",
        /// Do not do it.
        Reject = "reject",
        /// Here is the answer.
        Respond = "respond",
    }
}

words! {
    /// How far a piece of work is.
    pub enum TaskStatus {
        /// Not begun.
        Pending = "pending",
        /// Under way.
        Running = "running",
        /// Done.
        Completed = "completed",
        /// It cannot go on.
        Blocked = "blocked",
    }
}

words! {
    /// How much depends on a decision.
    pub enum Risk {
        /// Whoever asked may decide.
        Low = "low",
        /// Somebody else has to.
        Medium = "medium",
        /// Likewise.
        High = "high",
    }
}

words! {
    /// Who may decide.
    pub enum Approver {
        /// The session's user.
        Itself = "self",
        /// Somebody else.
        Other = "other",
    }
}
