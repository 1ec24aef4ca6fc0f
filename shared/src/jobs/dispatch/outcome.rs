//! What came of a call, in the words of `finish_delivery`.

use serde_json::{Map, Value, json};

use crate::clients::mcp::{Ask, Asked, CallError, Completed, Failed, Outcome, Task};

/// What the database is told. A tool that may have done its work is called again only if it may be done twice; otherwise a person
/// is asked.
pub(super) fn of(outcome: Result<Outcome, CallError>, idempotent: bool) -> Value {
    match outcome {
        Ok(Outcome::Completed(completed)) => completed_of(completed),
        Ok(Outcome::Failed(Failed { message, tasks, .. })) => told(
            "failed",
            [("error", Some(json!("agent_failed"))), ("message", text(message)), ("tasks", tasks_of(&tasks))],
        ),
        Ok(Outcome::Asked(Asked { message, tasks, ask, request_state })) => told(
            "ask",
            [
                ("message", text(message)),
                ("tasks", tasks_of(&tasks)),
                ("ask", Some(ask_of(ask))),
                ("request_state", request_state),
            ],
        ),
        Err(error) if error.may_have_been_done() && !idempotent => {
            told("unknown", [("error", Some(json!(error.code())))])
        }
        Err(error) if error.is_passing() => {
            let wait = error.retry_after().map(|wait| json!(wait.as_secs()));
            told("retry", [("error", Some(json!(error.code()))), ("retry_after_seconds", wait)])
        }
        Err(error) => failed(error.code()),
    }
}

/// An outcome that another try would not change.
pub(super) fn failed(error: &str) -> Value {
    told("failed", [("error", Some(json!(error)))])
}

fn completed_of(completed: Completed) -> Value {
    let Completed { message, output, notices, tasks, follow_ups, handover } = completed;
    let follow_ups = follow_ups.into_iter().map(|follow_up| {
        let mut told = Map::from_iter([("agent_id".to_owned(), json!(follow_up.agent_id))]);
        told.extend(follow_up.objective.map(|objective| ("objective".to_owned(), json!(objective))));
        told.extend(follow_up.inputs.map(|inputs| ("inputs".to_owned(), json!(inputs))));
        Value::Object(told)
    });
    let handover = handover.map(|handover| {
        let mut told = Map::from_iter([("agent_id".to_owned(), json!(handover.agent_id))]);
        told.extend(handover.reason.map(|reason| ("reason".to_owned(), json!(reason))));
        told.extend(handover.summary.map(|summary| ("summary".to_owned(), json!(summary))));
        Value::Object(told)
    });
    told(
        "completed",
        [
            ("message", text(message)),
            ("output", output),
            ("notices", list(notices)),
            ("tasks", tasks_of(&tasks)),
            ("follow_ups", list(follow_ups.collect())),
            ("handover", handover),
        ],
    )
}

fn ask_of(ask: Ask) -> Value {
    let mut told = Map::from_iter([
        ("reason".to_owned(), json!(ask.reason)),
        ("decisions".to_owned(), json!(ask.decisions)),
    ]);
    told.extend(ask.schema.map(|schema| ("schema".to_owned(), Value::Object(schema))));
    told.extend(ask.expires_in_seconds.map(|seconds| ("expires_in_seconds".to_owned(), json!(seconds))));
    told.extend(ask.risk.map(|risk| ("risk".to_owned(), json!(risk))));
    told.extend(ask.approver.map(|approver| ("approver".to_owned(), json!(approver))));
    Value::Object(told)
}

fn tasks_of(tasks: &[Task]) -> Option<Value> {
    let task = |task: &Task| json!({ "id": task.id, "title": task.title, "status": task.status, "requires_hitl": task.requires_hitl });
    list(tasks.iter().map(task).collect())
}

fn text(text: Option<String>) -> Option<Value> {
    text.map(Value::String)
}

fn list(all: Vec<Value>) -> Option<Value> {
    (!all.is_empty()).then_some(Value::Array(all))
}

fn told<const N: usize>(kind: &str, parts: [(&str, Option<Value>); N]) -> Value {
    let parts = parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(parts.chain([("kind".to_owned(), json!(kind))]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::mcp::Reason;

    #[test]
    fn a_tool_that_may_have_done_its_work_is_called_again_only_if_that_does_no_harm() {
        let kind = |error: &CallError, idempotent| of(Err(error.clone()), idempotent)["kind"].clone();
        let lost = CallError::Unknown(Reason::ConnectionLost);
        assert_eq!((kind(&lost, true), kind(&lost, false)), (json!("retry"), json!("unknown")));
        let unsent = CallError::NotSent(Reason::Unreachable);
        assert_eq!((kind(&unsent, true), kind(&unsent, false)), (json!("retry"), json!("retry")));
        let misconfigured = CallError::NotSent(Reason::CredentialMissing);
        assert_eq!(of(Err(misconfigured), true), json!({ "kind": "failed", "error": "credential_missing" }));
    }
}
