//! What a router says of a call, as the database takes it.

use serde_json::{Value, json};

use super::calls::{FAILURE, LOST, RETRY_AFTER};
use super::operations::{Ask, Outcome};
use super::questions::schema;

pub fn json_of(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Completed { follow_ups, handover } => {
            let follow_up = |(agent, inputs): &(&'static str, Option<Value>)| json!({ "agent_id": agent, "objective": "Check it", "inputs": inputs });
            let follow_ups: Vec<Value> = follow_ups.iter().map(follow_up).collect();
            let handover = handover.map(|to| json!({ "agent_id": to }));
            json!({ "kind": "completed", "follow_ups": follow_ups, "handover": handover })
        }
        Outcome::Failed => json!({ "kind": "failed", "error": FAILURE }),
        Outcome::Ask(ask) => asked(ask),
        Outcome::Retry => json!({ "kind": "retry", "error": FAILURE, "retry_after_seconds": RETRY_AFTER }),
        Outcome::Unknown => json!({ "kind": "unknown", "error": LOST }),
    }
}

fn asked(asked: &Ask) -> Value {
    let mut ask = json!({ "reason": "Please decide", "decisions": asked.decisions });
    let optional = [
        ("schema", asked.schema.then(schema)),
        ("expires_in_seconds", asked.seconds.map(|seconds| json!(seconds))),
        ("risk", asked.risk.map(|risk| json!(risk))),
        ("approver", asked.approver.map(|approver| json!(approver))),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            ask[member] = value;
        }
    }
    let mut outcome = json!({ "kind": "ask", "ask": ask });
    if asked.state {
        outcome["request_state"] = json!("state");
    }
    outcome
}
