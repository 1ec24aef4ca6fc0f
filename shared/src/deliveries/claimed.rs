//! A delivery whose turn it is, and the call that it makes.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    events::Event,
    mcp::{Call, Decision, Reason, Resume, Target},
    sessions::Channel,
};

/// A delivery that is ours until its lease ends.
#[derive(Debug, Deserialize)]
pub(super) struct Claimed {
    pub id: Uuid,
    /// Which claim of it this is: a later one's makes this one's word worth nothing.
    pub fence: i64,
    pub org_id: Uuid,
    pub session: Session,
    pub event: Event,
    pub agent_id: String,
    tool: String,
    idempotency_key: Uuid,
    /// Whether the registry says that doing it twice under one key is doing it once.
    pub idempotent: bool,
    pub attempt: u32,
    url: String,
    credential: Option<String>,
    timeout_seconds: u32,
    objective: Option<String>,
    inputs: Option<Value>,
    decision: Option<Decided>,
    request_state: Option<Value>,
}

/// The session, as an agent is told of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub(super) struct Session {
    pub id: Uuid,
    org_id: Uuid,
    user_id: Uuid,
    agent_id: String,
    channel: Channel,
    metadata: Map<String, Value>,
}

/// What a person decided on the question that this call takes up again.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct Decided {
    escalation_id: Uuid,
    decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    decided_by: Uuid,
    decided_at: Timestamp,
}

/// What a tool is given (the contract's "Agents over MCP").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Arguments<'a> {
    session: &'a Session,
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    objective: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a Decided>,
    idempotency_key: Uuid,
}

impl Claimed {
    /// The call: where it goes and what is said. The URL is the registry's, and nothing of the user's token goes along.
    pub fn call(&self) -> Result<(Target<'_>, Call<'_>), Reason> {
        let arguments = Arguments {
            session: &self.session,
            event: &self.event,
            objective: self.objective.as_deref(),
            inputs: self.inputs.as_ref(),
            decision: self.decision.as_ref(),
            idempotency_key: self.idempotency_key,
        };
        let Ok(Value::Object(arguments)) = serde_json::to_value(&arguments) else {
            return Err(Reason::AnswerUnfit);
        };
        let target = Target {
            url: &self.url,
            credential: self.credential.as_deref(),
            timeout: Duration::from_secs(self.timeout_seconds.into()),
        };
        // A question by the contract has no state at the server: its decision is in the arguments alone.
        let resume = self.request_state.as_ref().zip(self.decision.as_ref());
        let resume = resume.map(|(request_state, decided)| Resume {
            request_state,
            decision: decided.decision,
            answer: decided.answer.as_ref(),
        });
        Ok((target, Call { tool: &self.tool, arguments, resume }))
    }
}
