//! A claimed delivery, and the tool call that it makes.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    clients::mcp::{Decision, ElicitationAnswer, FollowUp, Reason, Target, ToolCall},
    platform::json_schema::{InvalidInputs, validate_inputs},
};

/// Prefix of our members of `_meta`. MCP reserves names without a prefix, and the prefixes whose
/// second label is `mcp` or `modelcontextprotocol`.
/// Source: <https://modelcontextprotocol.io/specification/2026-07-28/basic#_meta>
const META_PREFIX: &str = "chatkit-sessions/";

/// A delivery that this process holds until its lease expires.
#[derive(Debug, Deserialize)]
pub struct Delivery {
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
    #[serde(default)]
    arguments: ArgumentsForm,
    input_schema: Option<Value>,
    /// The input schemas of the tools that take this session's follow-ups, by agent.
    follow_up_schemas: HashMap<String, Value>,
    pub attempt: u32,
    url: String,
    credential: Option<String>,
    timeout_seconds: u32,
    #[serde(flatten)]
    document: CallDocument,
    request_state: Option<Value>,
}

/// The form in which a tool receives a call.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum ArgumentsForm {
    /// The arguments are the whole call.
    #[default]
    Envelope,
    /// The arguments are the inputs, and the rest is in `_meta`.
    Plain,
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

/// Arguments of a tool with the form `envelope`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
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

    /// Returns the time that the registration gives the tool for a call.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }

    /// Builds the call and its target. The URL comes from the registry. Nothing of the user's token
    /// is sent.
    ///
    /// # Errors
    /// [`Reason::InvalidInputs`] if the inputs do not match the registered schema. They are checked
    /// here for every call: a registration may have changed since a person or an agent wrote them.
    pub fn tool_call(&self) -> Result<(Target<'_>, ToolCall<'_>), Reason> {
        self.check_inputs()?;
        let (arguments, meta) = match self.arguments {
            ArgumentsForm::Envelope => (self.envelope()?, Map::new()),
            ArgumentsForm::Plain => (self.document.inputs.clone().unwrap_or_default(), self.meta()),
        };
        let target = Target {
            url: &self.url,
            credential: self.credential.as_deref(),
            timeout: Duration::from_secs(self.timeout_seconds.into()),
        };
        Ok((target, ToolCall { tool: &self.tool, arguments, meta, resume: self.resume()? }))
    }

    /// Marks the follow-ups whose inputs do not match the schema of the tool that would receive
    /// them. The database does not know JSON Schema and refuses the marked ones. A follow-up may
    /// have an objective and no inputs.
    pub fn check_follow_ups(&self, follow_ups: &mut [FollowUp]) {
        for follow_up in follow_ups {
            let schema = self.follow_up_schemas.get(&follow_up.agent_id);
            if let Some((schema, inputs)) = schema.zip(follow_up.inputs.as_ref()) {
                let inputs = Value::Object(inputs.clone());
                follow_up.invalid_inputs = validate_inputs(schema, &inputs).is_err();
            }
        }
    }

    /// Checks the inputs of the call. An event without inputs is not checked for the form
    /// `envelope`.
    fn check_inputs(&self) -> Result<(), Reason> {
        let Some((schema, inputs)) = self.input_schema.as_ref().zip(self.document.inputs.as_ref()) else {
            return Ok(());
        };
        validate_inputs(schema, &Value::Object(inputs.clone())).map_err(|invalid| match invalid {
            InvalidInputs::UnusableSchema(_) => Reason::UnusableSchema,
            InvalidInputs::Mistakes(_) => Reason::InvalidInputs,
        })
    }

    fn envelope(&self) -> Result<Map<String, Value>, Reason> {
        let envelope = Envelope { document: &self.document, idempotency_key: self.idempotency_key };
        match serde_json::to_value(&envelope) {
            Ok(Value::Object(arguments)) => Ok(arguments),
            _ => Err(Reason::AnswerMismatch),
        }
    }

    /// Returns the members of `_meta` for the form `plain`.
    fn meta(&self) -> Map<String, Value> {
        let document = &self.document;
        let members = [
            ("session", Some(Value::Object(document.session.clone()))),
            ("eventId", document.event.get("id").cloned()),
            ("objective", document.objective.clone().map(Value::String)),
            ("decision", document.decision.clone().map(Value::Object)),
            ("idempotencyKey", Some(Value::String(self.idempotency_key.to_string()))),
        ];
        let named =
            members.into_iter().filter_map(|(name, value)| Some((format!("{META_PREFIX}{name}"), value?)));
        named.collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delivery(fields: Value) -> Delivery {
        let mut delivery = json!({
            "id": Uuid::nil(), "fence": 1, "org_id": Uuid::nil(), "session_id": Uuid::nil(),
            "agent_id": "payables", "tool": "pay", "idempotency_key": Uuid::nil(), "idempotent": true,
            "attempt": 1, "url": "https://agents.example.com/mcp", "credential": null,
            "timeout_seconds": 20, "input_schema": null, "follow_up_schemas": {}, "request_state": null,
            "session": {"id": "s-1", "channel": "web"}, "event": {"id": "e-1", "payload": {"action": "pay"}},
        });
        delivery.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(delivery).unwrap()
    }

    #[test]
    fn plain_call_has_inputs_as_arguments_and_the_rest_in_meta() {
        let inputs = json!({"invoice_id": "42", "amount": 7.5});
        let decision = json!({"decision": "approve", "escalationId": "x-1"});
        let call = json!({"arguments": "plain", "inputs": inputs, "objective": "Pay.", "decision": decision});
        let delivery = delivery(call);
        let (_, call) = delivery.tool_call().unwrap();
        assert_eq!(Value::Object(call.arguments), inputs);
        let expected = json!({
            "chatkit-sessions/session": {"id": "s-1", "channel": "web"}, "chatkit-sessions/eventId": "e-1",
            "chatkit-sessions/objective": "Pay.", "chatkit-sessions/decision": decision,
            "chatkit-sessions/idempotencyKey": Uuid::nil(),
        });
        assert_eq!(Value::Object(call.meta), expected);
    }

    #[test]
    fn envelope_is_the_default_and_has_no_meta() {
        for form in [json!({}), json!({"arguments": "envelope"})] {
            let delivery = delivery(form);
            let (_, call) = delivery.tool_call().unwrap();
            let expected = json!({
                "session": {"id": "s-1", "channel": "web"},
                "event": {"id": "e-1", "payload": {"action": "pay"}}, "idempotencyKey": Uuid::nil(),
            });
            assert_eq!((Value::Object(call.arguments), call.meta.len()), (expected, 0));
        }
    }

    #[test]
    fn call_with_invalid_inputs_is_not_built() {
        let schema =
            json!({"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}});
        let unusable = json!({"type": "object", "$ref": "#"});
        for (form, schema, inputs, expected) in [
            ("plain", &schema, json!({"amount": 7}), None),
            ("plain", &schema, json!({"amount": "7"}), Some(Reason::InvalidInputs)),
            ("plain", &schema, json!({}), Some(Reason::InvalidInputs)),
            ("envelope", &schema, json!({"amount": "7"}), Some(Reason::InvalidInputs)),
            ("envelope", &schema, Value::Null, None),
            ("plain", &unusable, json!({"amount": 7}), Some(Reason::UnusableSchema)),
        ] {
            let delivery = delivery(json!({"arguments": form, "inputs": inputs, "input_schema": schema}));
            let found = delivery.tool_call().err();
            assert_eq!(found, expected, "{form} {inputs}");
        }
    }

    #[test]
    fn follow_up_with_invalid_inputs_is_marked() {
        let schemas = json!({"tax": {"type": "object", "required": ["invoice"]}});
        let delivery = delivery(json!({"follow_up_schemas": schemas}));
        let follow_ups = json!([
            {"agentId": "tax", "inputs": {"invoice": 1}}, {"agentId": "tax", "inputs": {}}, {"agentId": "tax"},
            {"agentId": "audit", "inputs": {}, "invalidInputs": true, "invalid_inputs": true},
        ]);
        let mut follow_ups: Vec<FollowUp> = serde_json::from_value(follow_ups).unwrap();
        delivery.check_follow_ups(&mut follow_ups);
        let marked: Vec<bool> = follow_ups.iter().map(|follow_up| follow_up.invalid_inputs).collect();
        assert_eq!(marked, [false, true, false, false]);
        let sent = serde_json::to_value(&follow_ups).unwrap();
        assert_eq!((&sent[1]["invalid_inputs"], sent[0].get("invalid_inputs")), (&json!(true), None));
    }
}
