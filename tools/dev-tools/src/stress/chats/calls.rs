//! The calls of the model, compared with the agent's own record, the decisions that were sent, and
//! the model's inputs.

use std::collections::HashMap;

use anyhow::Result;
use local_stack::agents::Agent;
use serde_json::Value;

use super::tools::{Approver, FREE_TOOL, HELD_TOOL, LIMIT, LIMITED_TOOL};
use crate::stress::env::StressEnv;
use crate::stress::measurement::Measurement;

/// A call as it is stored: one that a model requested, or that continues one after a decision.
#[derive(sqlx::FromRow)]
struct StoredCall {
    id: String,
    key: String,
    /// The event of the model's request, which all deliveries of a call have.
    request: String,
    tool: String,
    inputs: Value,
    status: String,
    /// Whether an earlier call was made in answers to the same question. The model has not read the
    /// output of a call that was made after a decision.
    follows_call: bool,
    is_completed: bool,
    release_id: Option<String>,
    /// The hash of the subject, if the call is the one in it.
    released_hash: Option<String>,
    decision: Option<String>,
    /// The inputs that the person saw.
    decided_inputs: Option<Value>,
}

const CALLS: &str = "select d.id::text as id, d.event_id::text as key, d.about_event_id::text as request,
    d.tool, d.inputs, d.status,
    exists (
      select from deliveries as e
      join chat_runs as q on q.id = e.run_id
      where q.thread_id = r.thread_id and q.question_seq = r.question_seq
        and e.session_id = d.session_id and e.seq < d.seq and e.fence > 0 and e.call_id is not null
    ) as follows_call,
    d.status = 'done' and coalesce(d.finished_as = 'done', false) as is_completed,
    d.release_id::text as release_id,
    case d.released_hash
      when chatkit_private.content_hash(chatkit_private.subject_call(x.subject)) then x.subject_hash
    end as released_hash, x.decision,
    x.subject -> 'inputs' as decided_inputs
  from deliveries as d
  join chat_runs as r on r.id = d.run_id
  left join chat_escalations as x on x.id = d.release_id";

/// Rules of the stored calls, each with a query for its violations.
const RULES: &[(&str, &str)] = &[
    (
        "failed calls that only an operator could make again",
        "select d.id::text || ' ' || d.error from deliveries as d
         where d.run_id is not null and d.status = 'dead' and not exists (
           select from chat_escalations as x where x.delivery_id = d.id)",
    ),
    (
        "calls without an output or a note in their thread",
        "select d.id::text || ' ' || d.status from deliveries as d
         join chat_runs as r on r.id = d.run_id
         where d.status not in ('pending', 'running') and d.resumes is null and not exists (
           select from chat_hidden_items as h
           where h.thread_id = r.thread_id and (
             h.kind = 'function_call_output' and h.item ->> 'call_id' = d.call_id
             or h.kind = 'hidden_context_item' and h.item -> 'content' -> 'inputs' = d.inputs))",
    ),
    (
        "calls with two outputs in their thread",
        "select h.thread_id || ' ' || (h.item ->> 'call_id') from chat_hidden_items as h
         where h.kind = 'function_call_output'
         group by h.thread_id, h.item ->> 'call_id' having count(*) > 1",
    ),
    (
        "held calls without an open escalation",
        "select d.id::text from deliveries as d
         where d.run_id is not null and d.status = 'asked' and not exists (
           select from chat_escalations as x where x.delivery_id = d.id and x.status = 'open')",
    ),
];

/// Checks the calls after all of them have ended.
pub async fn check(env: &StressEnv, agent: &Agent, approver: &Approver<'_>) -> Result<Vec<Measurement>> {
    let database = env.stack.database();
    let calls: Vec<StoredCall> = sqlx::query_as(CALLS).fetch_all(database).await?;
    let mut effects: HashMap<String, usize> = HashMap::new();
    for action in agent.actions() {
        *effects.entry(action.key).or_default() += 1;
    }
    let effects_of = |call: &StoredCall| effects.get(&call.key).copied().unwrap_or_default();

    let mut measurements = Vec::new();
    for (name, query) in RULES {
        let found: Vec<String> = sqlx::query_scalar(*query).fetch_all(database).await?;
        measurements.push(Measurement::violations(name, &found));
    }
    let mut of_requests: HashMap<&str, usize> = HashMap::new();
    for call in &calls {
        *of_requests.entry(&call.request).or_default() += effects_of(call);
    }
    let twice: Vec<String> = of_requests
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(request, count)| format!("{request} {count} times"))
        .collect();
    let known: HashMap<&str, &StoredCall> = calls.iter().map(|call| (call.key.as_str(), call)).collect();
    let unknown: Vec<String> =
        effects.keys().filter(|key| !known.contains_key(key.as_str())).cloned().collect();
    let without_effect = calls.iter().filter(|call| call.is_completed && effects_of(call) != 1);
    let without_effect: Vec<String> =
        without_effect.map(|call| format!("{} {}", call.id, effects_of(call))).collect();

    // Every call that reached the agent, whether it was executed or not.
    let mut without_leave = Vec::new();
    let mut other_inputs = Vec::new();
    let mut released = 0;
    for sent in agent.calls() {
        let arguments = sent.arguments();
        let Some(call) = known.get(arguments["idempotencyKey"].as_str().unwrap_or_default()) else {
            without_leave.push(format!("an unknown call: {arguments}"));
            continue;
        };
        if arguments["inputs"] != call.inputs || sent.params["name"] != call.tool.as_str() {
            other_inputs.push(format!("{} received {arguments}", call.id));
        }
        if !needs_decision(call) {
            continue;
        }
        released += 1;
        let hash = call.release_id.as_deref().and_then(|id| approver.approved_hash(id));
        let is_approved = call.decision.as_deref() == Some("approve")
            && hash.is_some()
            && hash == call.released_hash
            && call.decided_inputs.as_ref() == Some(&arguments["inputs"]);
        if !is_approved {
            without_leave.push(format!("{} {} {}", call.id, call.tool, call.inputs));
        }
    }
    let requests = env.stack.model().requests();
    let rejected: Vec<String> = requests
        .iter()
        .filter(|request| request.status == Some(400))
        .map(|request| request.request_id.clone())
        .collect();
    let unpaired = requests.iter().filter_map(|request| unpaired_call(&request.body)).collect::<Vec<_>>();
    let count = |status: &str| calls.iter().filter(|call| call.status == status).count();
    let with_outputs = requests.iter().filter(|request| has_calls(&request.body)).count();
    measurements.extend([
        Measurement::violations("calls with two effects", &twice),
        Measurement::violations("effects that no call has", &unknown),
        Measurement::violations("calls recorded as done, without one effect", &without_effect),
        Measurement::violations("calls made without leave", &without_leave),
        Measurement::violations("calls with other inputs than those that are stored", &other_inputs),
        Measurement::violations("inputs that the model rejects", &rejected),
        Measurement::violations("inputs with a call that does not have one output", &unpaired),
        Measurement::non_zero("inputs with calls", with_outputs),
        Measurement::non_zero("calls made after a decision", released),
        Measurement::non_zero("calls done", count("done")),
        Measurement::info("calls withdrawn: refused, rejected or failed", count("withdrawn")),
        Measurement::info("calls given up after a decision", count("dead")),
        Measurement::info("calls of unknown outcome", count("unknown")),
    ]);
    Ok(measurements)
}

/// Whether a person must have approved a call. The rule of the tools, stated again.
fn needs_decision(call: &StoredCall) -> bool {
    match call.tool.as_str() {
        FREE_TOOL => false,
        LIMITED_TOOL => {
            call.follows_call || call.inputs["amount"].as_f64().is_none_or(|amount| amount > LIMIT.into())
        }
        HELD_TOOL => true,
        _ => true,
    }
}

fn has_calls(body: &Value) -> bool {
    body["input"].as_array().is_some_and(|items| items.iter().any(|item| item["type"] == "function_call"))
}

/// Returns the id of a call in a model's input that does not have exactly one output after it, or
/// of an output without a call.
fn unpaired_call(body: &Value) -> Option<String> {
    let mut open: HashMap<&str, bool> = HashMap::new();
    for item in body["input"].as_array()? {
        let id = item["call_id"].as_str().unwrap_or_default();
        match item["type"].as_str() {
            Some("function_call") if open.insert(id, true).is_some() => return Some(id.to_owned()),
            Some("function_call_output") if open.insert(id, false) != Some(true) => {
                return Some(id.to_owned());
            }
            _ => {}
        }
    }
    open.into_iter().find(|(_, is_open)| *is_open).map(|(id, _)| id.to_owned())
}
