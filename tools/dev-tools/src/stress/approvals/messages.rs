//! Events and decisions as the database takes them, and calls as it gives them.

use serde_json::{Value, json};
use uuid::Uuid;

use super::calls::Sent;
use super::operations::{Choice, Given, Hash};
use super::rows::Rows;
use super::state::State;

/// The hash that a decision names.
pub fn hash(rows: &Rows, escalation: &str, choice: &Choice) -> Option<String> {
    match choice.hash {
        Hash::Shown => rows.hash(escalation).map(str::to_owned),
        Hash::Wrong => Some("0".repeat(64)),
        Hash::Missing => None,
    }
}

/// An event as a client sends it.
pub fn event(before: &State, rows: &Rows, given: &Given) -> Option<Value> {
    let mut event = json!({ "id": Uuid::new_v4() });
    let (kind, payload) = match given {
        Given::Reserved => ("agent_result", json!({ "status": "completed" })),
        Given::Click { payload } => ("button_click", payload.clone()),
        Given::Handover { to, from } => {
            let mut payload = json!({ "agentId": to });
            if let Some(from) = from {
                payload["fromAgentId"] = json!(from);
            }
            ("handover", payload)
        }
        Given::Escalation { decisions, seconds } => {
            event["escalation_id"] = json!(Uuid::new_v4());
            let mut payload = json!({ "reason": "Please help", "decisions": decisions });
            if let Some(seconds) = seconds {
                payload["expiresInSeconds"] = json!(seconds);
            }
            ("hitl_escalation", payload)
        }
        Given::Resolve { escalation, choice } => {
            let name = before.escalation_name(*escalation);
            let mut payload = json!({ "escalationId": rows.id(&name)?, "decision": choice.decision });
            if let Some(answer) = &choice.answer {
                payload["answer"] = answer.clone();
            }
            if let Some(hash) = hash(rows, &name, choice) {
                payload["subjectHash"] = json!(hash);
            }
            ("hitl_resolved", payload)
        }
    };
    event["type"] = json!(kind);
    event["payload"] = payload;
    Some(event)
}

/// A call in the model's words.
pub fn sent(rows: &Rows, call: &Value) -> Sent {
    let call_in_names = rows.document(call);
    let text = |member: &str| call_in_names[member].as_str().unwrap_or_default().to_owned();
    let mut document = json!({ "agentId": call["agent_id"] });
    for member in ["tool", "session", "event", "objective", "inputs", "decision"] {
        if let Some(value) = call_in_names.get(member) {
            document[member] = value.clone();
        }
    }
    Sent {
        delivery: text("id"),
        idempotency_key: text("idempotency_key"),
        resumes_state: call.get("request_state").is_some(),
        document,
    }
}
