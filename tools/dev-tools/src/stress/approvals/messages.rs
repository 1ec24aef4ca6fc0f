//! Converts events, decisions and calls between the model and the database.

use serde_json::{Value, json};
use uuid::Uuid;

use super::calls::OutgoingCall;
use super::operations::{Choice, EventInput, QuotedHash};
use super::rows::Rows;
use super::state::State;

/// Returns the subject hash that a decision quotes.
pub fn hash(rows: &Rows, escalation: &str, choice: &Choice) -> Option<String> {
    match choice.hash {
        QuotedHash::Shown => rows.hash(escalation).map(str::to_owned),
        QuotedHash::Wrong => Some("0".repeat(64)),
        QuotedHash::Missing => None,
    }
}

/// Returns an event as a client sends it.
pub fn event(before: &State, rows: &Rows, input: &EventInput) -> Option<Value> {
    let mut event = json!({ "id": Uuid::new_v4() });
    let (kind, payload) = match input {
        EventInput::Reserved => ("agent_result", json!({ "status": "completed" })),
        EventInput::Click { payload } => ("button_click", payload.clone()),
        EventInput::Handover { to, from } => {
            let mut payload = json!({ "agentId": to });
            if let Some(from) = from {
                payload["fromAgentId"] = json!(from);
            }
            ("handover", payload)
        }
        EventInput::Escalation { decisions, seconds } => {
            event["escalation_id"] = json!(Uuid::new_v4());
            let mut payload = json!({ "reason": "Please help", "decisions": decisions });
            if let Some(seconds) = seconds {
                payload["expiresInSeconds"] = json!(seconds);
            }
            ("hitl_escalation", payload)
        }
        EventInput::Resolve { escalation, choice } => {
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

/// Converts a claimed call to the model's form.
pub fn sent(rows: &Rows, call: &Value) -> OutgoingCall {
    let call_in_names = rows.document(call);
    let text = |member: &str| call_in_names[member].as_str().unwrap_or_default().to_owned();
    let mut document = json!({ "agentId": call["agent_id"] });
    for member in ["tool", "session", "event", "objective", "inputs", "decision"] {
        if let Some(value) = call_in_names.get(member) {
            document[member] = value.clone();
        }
    }
    OutgoingCall {
        delivery: text("id"),
        idempotency_key: text("idempotency_key"),
        resumes_state: call.get("request_state").is_some(),
        document,
    }
}
