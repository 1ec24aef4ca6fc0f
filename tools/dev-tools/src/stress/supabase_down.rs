//! PostgREST is down: requests fail quickly with 503, and OpenAI receives none.

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{Person, StressEnv, run_concurrently};
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};
use local_stack::supabase::Fault;

/// Few concurrent requests, because the test measures how long one takes.
const CONCURRENCY: usize = 4;

/// The maximum duration of a request.
const MAX_WAIT_MS: u64 = 2000;

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let opened = run_concurrently(CONCURRENCY, CONCURRENCY, async |number| {
        Ok::<_, anyhow::Error>((number, env.open_session(env.person(number)).await?))
    });
    let sessions: Vec<(usize, Value)> = opened.await.into_iter().collect::<Result<_>>()?;
    // Warm up: processes start and fetch keys.
    let warm = send_all(env, &sessions, 8 * CONCURRENCY).await;
    let failed_warm_ups = warm.iter().filter(|response| !response.is_success()).count();

    env.stack.openai().clear_requests();
    let before = env.history.entries().len();
    let mut responses = Vec::new();
    for fault in [Fault::Down, Fault::Unavailable] {
        env.stack.supabase().set_fault(fault).await;
        responses.extend(send_all(env, &sessions, count / 2).await);
    }
    let openai_calls = env.stack.openai().requests().len();
    env.clear_faults().await;

    let unexpected: Vec<String> = responses
        .iter()
        .filter(|response| !is_expected(response))
        .map(|response| format!("{response:?}"))
        .collect();
    let slowest = env.history.entries()[before..].iter().map(|entry| entry.received_at - entry.sent_at).max();
    let slowest = slowest.unwrap_or(u64::MAX);
    Ok(vec![
        Measurement::zero("requests that failed before the outage", failed_warm_ups),
        Measurement::exactly(
            "responses 503 with Retry-After",
            responses.len() - unexpected.len(),
            responses.len(),
        ),
        Measurement::violations("other responses", &unexpected),
        Measurement {
            name: "longest request",
            found: format!("{slowest} ms"),
            expected: format!("≤ {MAX_WAIT_MS}"),
            passed: slowest <= MAX_WAIT_MS,
        },
        Measurement::zero("requests to OpenAI", openai_calls),
    ])
}

async fn send_all(env: &StressEnv, sessions: &[(usize, Value)], count: usize) -> Vec<TestResponse> {
    run_concurrently(count, CONCURRENCY, async |number| {
        let (owner, session) = &sessions[number % sessions.len()];
        let path = Person::path(session);
        let request = match number / sessions.len() % 7 {
            0 => Request::read(path),
            1 => Request::read("/chatkit/sessions".to_owned()),
            2 => Request::read(format!("{path}/messages")),
            3 => Request::read("/chatkit/agents".to_owned()),
            4 => Request::record(session, json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} })),
            5 => Request::open(Some(format!("down-{number}"))),
            _ => Request::renew(session, "refresh", None),
        };
        env.send(env.person(*owner), &request).await
    })
    .await
}

fn is_expected(response: &TestResponse) -> bool {
    response.status == Some(503)
        && response.code() == Some("supabase_unavailable")
        && response.retry_after.is_some()
}
