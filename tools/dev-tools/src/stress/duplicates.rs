//! One request, sent many times concurrently.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde_json::json;

use super::env::{OTHER_AGENT, StressEnv, run_concurrently};
use super::invariants;
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};
use local_stack::openai::Operation;

/// Number of duplicates of each request.
const DUPLICATES: usize = 30;

/// Number of keys that are used concurrently.
const KEY_CONCURRENCY: usize = 4;

pub async fn run(env: &StressEnv, keys: usize) -> Result<Vec<Measurement>> {
    let raced = run_concurrently(keys, KEY_CONCURRENCY, async |number| {
        let request = Request::open(Some(format!("duplicate-{number}")));
        let responses = run_concurrently(DUPLICATES, DUPLICATES, async |_| {
            env.send_until_response(env.person(number), &request).await
        })
        .await;
        let mut other = request.clone();
        other.body = Some(json!({ "agentId": OTHER_AGENT }));
        (responses, env.send_until_response(env.person(number), &other).await)
    })
    .await;
    let created = env.stack.openai().calls(Operation::CreateSession).len();
    let query = "select count(*) from chat_sessions";
    let sessions: i64 = sqlx::query_scalar(query).fetch_one(env.stack.database()).await?;

    let mut unexpected = Vec::new();
    let (mut replayed, mut running) = (0, 0);
    for (responses, other) in &raced {
        let ids: HashSet<&str> =
            responses.iter().filter_map(|response| response.body["id"].as_str()).collect();
        let of = |status: u16| responses.iter().filter(|response| response.status == Some(status)).count();
        let waiting = responses.iter().filter(|response| is_running(response)).count();
        if ids.len() != 1 || of(201) > 1 || of(201) + of(200) + waiting != DUPLICATES {
            unexpected.push(format!(
                "{} ids, {} new, {} replayed, {waiting} running",
                ids.len(),
                of(201),
                of(200)
            ));
        }
        if (other.status, other.code()) != (Some(422), Some("idempotency_key_reused")) {
            unexpected.push(format!("another body: {other:?}"));
        }
        (replayed, running) = (replayed + of(200), running + waiting);
    }
    let mut measurements = vec![
        Measurement::exactly("sessions", usize::try_from(sessions).context("converting a count")?, keys),
        Measurement::exactly("ChatKit sessions created", created, keys),
        Measurement::non_zero("duplicates with a replayed response", replayed),
        Measurement::non_zero("duplicates that were rejected as still running", running),
        Measurement::violations(
            "keys with another outcome, or a wrong response for another body",
            &unexpected,
        ),
    ];
    measurements.extend(invariants::check(env).await?);
    Ok(measurements)
}

/// Returns whether the response rejects a duplicate of a running request, with Retry-After.
fn is_running(response: &TestResponse) -> bool {
    response.status == Some(409) && response.code() == Some("still_running") && response.retry_after.is_some()
}
