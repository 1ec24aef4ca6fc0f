//! A claimed delivery, and the tool call that it makes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clients::mcp::{Decision, ElicitationAnswer, Reason, Target, ToolCall};

/// A delivery that this run holds until its lease expires.
#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub id: Uuid,
    /// Fencing token: the number of this claim. The database ignores a result with an older one.
    pub fence: i64,
    pub org_id: Uuid,
    pub session_id: Uuid,
    pub agent_id: String,
    tool: String,
    idempotency_key: Uuid,
    /// Whether the registry declares the tool idempotent: repeating a call with the same key has no
    /// further effect.
    pub idempotent: bool,
    pub attempt: u32,
    url: String,
    credential: Option<String>,
    timeout_seconds: u32,
    #[serde(flatten)]
    document: CallDocument,
    request_state: Option<Value>,
}

/// The part of the call's arguments that the database checks and hashes, and that people decide on;
/// docs/guides/write-an-agent.md describes it. It is passed on unchanged, so that a tool gets
/// exactly what an approval covers.
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

/// Arguments of the tool call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Arguments<'a> {
    #[serde(flatten)]
    document: &'a CallDocument,
    idempotency_key: Uuid,
}

/// The part of a decision that an MCP elicitation response contains.
#[derive(Deserialize)]
struct DecisionPayload {
    decision: Decision,
}

impl Delivery {
    /// Returns the length of the lease, counted from the claim. The database computes the same: the
    /// call's timeout and some time to record the result.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds) + 20)
    }

    /// Builds the call and its target. The URL comes from the registry. Nothing of the user's token
    /// is sent.
    pub fn tool_call(&self) -> Result<(Target<'_>, ToolCall<'_>), Reason> {
        let arguments = Arguments { document: &self.document, idempotency_key: self.idempotency_key };
        let Ok(Value::Object(arguments)) = serde_json::to_value(&arguments) else {
            return Err(Reason::AnswerMismatch);
        };
        let target = Target {
            url: &self.url,
            credential: self.credential.as_deref(),
            timeout: Duration::from_secs(self.timeout_seconds.into()),
        };
        Ok((target, ToolCall { tool: &self.tool, arguments, resume: self.resume()? }))
    }

    /// Returns the elicitation to answer, if the server waits for one. A request that an agent made
    /// in a tool result has no state at the server; only the arguments contain its decision.
    fn resume(&self) -> Result<Option<ElicitationAnswer<'_>>, Reason> {
        let Some((request_state, decided)) = self.request_state.as_ref().zip(self.document.decision.as_ref())
        else {
            return Ok(None);
        };
        let DecisionPayload { decision } =
            DecisionPayload::deserialize(decided).map_err(|_| Reason::AnswerMismatch)?;
        Ok(Some(ElicitationAnswer { request_state, decision, answer: decided.get("answer") }))
    }
}
