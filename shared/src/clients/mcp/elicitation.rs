//! Requests for input by MCP's own means (`input_required`, revision 2026-07-28).
//!
//! The server answers a call with the input that it needs, and the client makes the
//! same call again with that input. This fits a person's decision, except that hours
//! may pass between the two calls.
//! Source: <https://modelcontextprotocol.io/specification/2026-07-28/basic/utilities/mrtr>

use std::collections::BTreeMap;

use rmcp::model::{CallToolRequestParams, ElicitRequestParams, InputRequest, InputRequiredResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    error::Reason,
    result::{Decision, HumanRequest, NeedsHuman, replace_nul, truncate},
};
use crate::platform::json_schema::Schema;

const MAX_REASON: usize = 2_000;
const MAX_REQUESTS: usize = 8;
const MAX_STATE: usize = 64 * 1024;

/// A person's decision on an `input_required` request.
#[derive(Clone, Copy, Debug)]
pub struct ElicitationAnswer<'a> {
    /// The stored value of [`NeedsHuman::request_state`], unchanged.
    pub request_state: &'a Value,
    pub decision: Decision,
    pub answer: Option<&'a Value>,
}

/// State that is stored until a person decides.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct PendingElicitation {
    request_state: Option<String>,
    inputs: Vec<String>,
}

/// A server's request before it completes the call.
pub(super) enum InputRequired {
    /// The same call again, with this state: the server was only busy.
    Retry(String),
    /// An answer from a person.
    Ask(Box<NeedsHuman>),
}

/// A request for input that cannot be put to a person.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidResult;

pub(super) fn parse(result: InputRequiredResult) -> Result<InputRequired, InvalidResult> {
    let state = result.request_state;
    if state.as_ref().is_some_and(|state| state.len() > MAX_STATE || state.contains('\0')) {
        return Err(InvalidResult);
    }
    let requests = result.input_requests.unwrap_or_default();
    match (requests.len(), state) {
        (0, Some(state)) => Ok(InputRequired::Retry(state)),
        (1..=MAX_REQUESTS, state) => ask(requests, state).map(|asked| InputRequired::Ask(Box::new(asked))),
        _ => Err(InvalidResult),
    }
}

fn ask(
    requests: BTreeMap<String, InputRequest>,
    request_state: Option<String>,
) -> Result<NeedsHuman, InvalidResult> {
    let mut forms = Map::new();
    let mut messages = Vec::new();
    for (name, request) in requests {
        let (message, schema) = form(request)?;
        messages.push(message);
        forms.insert(name, replace_nul(schema));
    }
    let kept = PendingElicitation { request_state, inputs: forms.keys().cloned().collect() };
    let schema = match (forms.len(), forms.values().next()) {
        (1, Some(form)) => form.clone(),
        _ => json!({"type": "object", "required": kept.inputs, "properties": forms}),
    };
    Schema::compile(&schema).map_err(|_| InvalidResult)?;
    let Value::Object(schema) = schema else { return Err(InvalidResult) };
    let reason = truncate(&messages.join("\n").replace('\0', "\u{fffd}"), MAX_REASON);
    let reason = if reason.is_empty() { "The agent asks for an answer.".to_owned() } else { reason };
    Ok(NeedsHuman {
        message: None,
        tasks: Vec::new(),
        ask: HumanRequest {
            reason,
            decisions: vec![Decision::Respond, Decision::Reject],
            schema: Some(schema),
            expires_in_seconds: None,
            risk: None,
            approver: None,
        },
        request_state: serde_json::to_value(kept).ok(),
    })
}

/// Parses a request for a form. We declare no capability for any other kind of input.
fn form(request: InputRequest) -> Result<(String, Value), InvalidResult> {
    let InputRequest::Elicitation(request) = request else { return Err(InvalidResult) };
    let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = request.params else {
        return Err(InvalidResult);
    };
    serde_json::to_value(requested_schema).map(|schema| (message, schema)).map_err(|_| InvalidResult)
}

impl ElicitationAnswer<'_> {
    /// Adds the answers to the parameters of the call.
    pub(super) fn apply_to(self, params: &mut CallToolRequestParams) -> Result<(), Reason> {
        let kept = PendingElicitation::deserialize(self.request_state).map_err(|_| Reason::AnswerMismatch)?;
        let response = |name: &String| {
            let given = match kept.inputs.len() {
                1 => self.answer,
                _ => self.answer.and_then(|answer| answer.get(name)),
            };
            let response = match (self.decision, given) {
                (Decision::Reject, _) => json!({"action": "decline"}),
                (_, Some(content @ Value::Object(_))) => json!({"action": "accept", "content": content}),
                _ => return Err(Reason::AnswerMismatch),
            };
            Ok((name.clone(), response))
        };
        params.input_responses = Some(kept.inputs.iter().map(response).collect::<Result<_, _>>()?);
        params.request_state = kept.request_state;
        Ok(())
    }
}

#[cfg(test)]
#[path = "elicitation_tests.rs"]
mod tests;
