//! Converts the outcome of a call to the argument of `finish_delivery`.

use serde_json::{Value, json};

use super::calls::{FAILURE, RETRY_AFTER, TIMED_OUT};
use super::escalations::schema;
use super::operations::{Ask, Outcome};

pub fn to_json(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Completed { follow_ups, handover } => {
            let follow_up = |(agent, inputs): &(&'static str, Option<Value>)| json!({ "agent_id": agent, "objective": "Check it", "inputs": inputs });
            let follow_ups: Vec<Value> = follow_ups.iter().map(follow_up).collect();
            let handover = handover.map(|to| json!({ "agent_id": to }));
            json!({ "kind": "completed", "follow_ups": follow_ups, "handover": handover })
        }
        Outcome::Failed => json!({ "kind": "failed", "error": FAILURE }),
        Outcome::Ask(ask) => ask_outcome(ask),
        Outcome::Retry => json!({ "kind": "retry", "error": FAILURE, "retry_after_seconds": RETRY_AFTER }),
        Outcome::Unknown => json!({ "kind": "unknown", "error": TIMED_OUT }),
    }
}

fn ask_outcome(request: &Ask) -> Value {
    let mut ask = json!({ "reason": "Please decide", "decisions": request.decisions });
    let optional = [
        ("schema", request.schema.then(schema)),
        ("expires_in_seconds", request.seconds.map(|seconds| json!(seconds))),
        ("risk", request.risk.map(|risk| json!(risk))),
        ("approver", request.approver.map(|approver| json!(approver))),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            ask[member] = value;
        }
    }
    let mut outcome = json!({ "kind": "ask", "ask": ask });
    if request.state {
        outcome["request_state"] = json!("state");
    }
    outcome
}
