//! Events while a fifth of the upstream requests fail. Each is sent until it is acknowledged.

use std::collections::HashMap;

use anyhow::Result;
use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{CONCURRENCY, StressEnv, run_concurrently};
use super::invariants;
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};
use local_stack::supabase::FailureSet;

const EVENTS_PER_SESSION: usize = 40;

/// More attempts are never necessary.
const MAX_TRIES: u32 = 40;

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let owners = run_concurrently(count.div_ceil(EVENTS_PER_SESSION), CONCURRENCY, async |number| {
        Ok::<_, anyhow::Error>((number, env.open_session(env.person(number)).await?))
    });
    let sessions: Vec<(usize, Value)> = owners.await.into_iter().collect::<Result<_>>()?;
    let calls = calls(&mut env.rng(0), count);
    env.inject_faults(0.2, FailureSet::All).await;
    let outcomes = run_concurrently(calls.len(), CONCURRENCY, async |number| {
        let (owner, session) = &sessions[number % sessions.len()];
        let request = Request::record(session, Value::Array(calls[number].clone()));
        env.send_with_retries(env.person(*owner), &request, MAX_TRIES).await
    })
    .await;
    env.clear_faults().await;

    let query = "select id, count(*) from chat_events where actor_type = 'user' group by id";
    let stored: HashMap<Uuid, i64> =
        sqlx::query_as(query).fetch_all(env.stack.database()).await?.into_iter().collect();
    let sent: Vec<Uuid> = calls.iter().flatten().filter_map(id).collect();
    let lost = sent.iter().filter(|id| !stored.contains_key(id)).count();
    let doubled = stored.values().filter(|count| **count != 1).count();
    let unacknowledged = outcomes.iter().filter(|outcome| outcome.response.status != Some(201)).count();
    let repeated = outcomes.iter().filter(|outcome| outcome.tries > 1).count();
    let mut measurements = vec![
        Measurement::non_zero("failed upstream requests", env.injected_fault_count()),
        Measurement::info("requests that clients repeated", repeated),
        Measurement::zero("requests without an acknowledgement", unacknowledged),
        Measurement::exactly("events recorded", stored.len(), sent.len()),
        Measurement::zero("events lost", lost),
        Measurement::zero("events duplicated", doubled),
        Measurement::zero("requests whose events are not in order", misordered_calls(env, &calls).await?),
        Measurement::zero(
            "responses with other events than were sent",
            mismatched_responses(&calls, &outcomes.iter().map(|o| &o.response).collect::<Vec<_>>()),
        ),
    ];
    measurements.extend(invariants::check(env).await?);
    Ok(measurements)
}

/// Splits `count` events into requests of one to twenty.
fn calls(rng: &mut Rng, count: usize) -> Vec<Vec<Value>> {
    let (mut calls, mut left) = (Vec::new(), count);
    while left > 0 {
        // Most requests contain one event.
        let size = if rng.u8(..4) > 0 { 1 } else { rng.usize(1..=20) }.min(left);
        let event = |rng: &mut Rng| {
            let id = Uuid::from_u128(rng.u128(..));
            json!({ "id": id, "type": "custom_click", "payload": { "of": id } })
        };
        calls.push((0..size).map(|_| event(rng)).collect());
        left -= size;
    }
    calls
}

fn id(event: &Value) -> Option<Uuid> {
    event["id"].as_str()?.parse().ok()
}

async fn misordered_calls(env: &StressEnv, calls: &[Vec<Value>]) -> Result<usize> {
    let query = "select id, seq from chat_events where actor_type = 'user'";
    let order: HashMap<Uuid, i64> =
        sqlx::query_as(query).fetch_all(env.stack.database()).await?.into_iter().collect();
    let positions = calls.iter().map(|call| call.iter().filter_map(id).filter_map(|id| order.get(&id)));
    Ok(positions.filter(|positions| !positions.clone().is_sorted()).count())
}

/// Counts acknowledgements whose event ids differ from those of their request. The first id
/// identifies the request.
fn mismatched_responses(calls: &[Vec<Value>], responses: &[&TestResponse]) -> usize {
    let by_first: HashMap<Uuid, &Vec<Value>> =
        calls.iter().filter_map(|call| Some((id(call.first()?)?, call))).collect();
    let names = |response: &TestResponse| -> Vec<Uuid> {
        response.body["events"].as_array().into_iter().flatten().filter_map(id).collect()
    };
    let wrong = |response: &&&TestResponse| {
        let named = names(response);
        let call = named.first().and_then(|first| by_first.get(first));
        call.is_none_or(|call| call.iter().filter_map(id).collect::<Vec<_>>() != named)
    };
    responses.iter().filter(|response| response.is_success()).filter(wrong).count()
}
