//! A delivery whose turn it is, and the call that it makes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clients::mcp::{Decision, ElicitationAnswer, Reason, Target, ToolCall};

/// A delivery that is ours until its lease ends.
#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub id: Uuid,
    /// Which claim of it this is: a later one's makes this one's word worth nothing.
    pub fence: i64,
    pub org_id: Uuid,
    pub session_id: Uuid,
    pub agent_id: String,
    tool: String,
    idempotency_key: Uuid,
    /// Whether the registry says that doing it twice under one key is doing it once.
    pub idempotent: bool,
    pub attempt: u32,
    url: String,
    credential: Option<String>,
    timeout_seconds: u32,
    #[serde(flatten)]
    document: CallDocument,
    request_state: Option<Value>,
}

/// What the database has judged, shown to people and hashed, in the words of the contract's "Agents over MCP". It is passed on as it
/// stands, so that what an approval covers is what a tool is sent.
#[derive(Debug, Deserialize, Serialize)]
struct CallDocument {
    session: Map<String, Value>,
    event: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objective: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Map<String, Value>>,
}

/// What a tool is given.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Arguments<'a> {
    #[serde(flatten)]
    document: &'a CallDocument,
    idempotency_key: Uuid,
}

/// What of a decision the protocol itself has a place for.
#[derive(Deserialize)]
struct DecisionPayload {
    decision: Decision,
}

impl Delivery {
    /// How long it is ours, counted from its claim: as the database has it, the call's timeout and some time to record what came of it.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds) + 20)
    }

    /// The call: where it goes and what is said. The URL is the registry's, and nothing of the user's token goes along.
    pub fn tool_call(&self) -> Result<(Target<'_>, ToolCall<'_>), Reason> {
        let arguments = Arguments { document: &self.document, idempotency_key: self.idempotency_key };
        let Ok(Value::Object(arguments)) = serde_json::to_value(&arguments) else {
            return Err(Reason::AnswerUnfit);
        };
        let target = Target {
            url: &self.url,
            credential: self.credential.as_deref(),
            timeout: Duration::from_secs(self.timeout_seconds.into()),
        };
        Ok((target, ToolCall { tool: &self.tool, arguments, resume: self.resume()? }))
    }

    /// A question by the contract has no state at the server: its decision is in the arguments alone.
    fn resume(&self) -> Result<Option<ElicitationAnswer<'_>>, Reason> {
        let Some((request_state, decided)) = self.request_state.as_ref().zip(self.document.decision.as_ref())
        else {
            return Ok(None);
        };
        let DecisionPayload { decision } =
            DecisionPayload::deserialize(decided).map_err(|_| Reason::AnswerUnfit)?;
        Ok(Some(ElicitationAnswer { request_state, decision, answer: decided.get("answer") }))
    }
}
