//! Session creations while a fifth of the upstream requests fail.

use std::collections::HashSet;

use anyhow::Result;

use super::env::{CONCURRENCY, RetryResult, StressEnv, run_concurrently};
use super::invariants;
use super::measurement::Measurement;
use super::requests::Request;
use local_stack::openai::Operation;
use local_stack::supabase::FailureSet;

/// Number of attempts of a client.
const CLIENT_TRIES: u32 = 3;

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    // Transient failures only: for others, three attempts are not guaranteed to succeed.
    env.inject_faults(0.2, FailureSet::Transient).await;
    let outcomes = run_concurrently(count, CONCURRENCY, async |number| {
        let request = Request::open(Some(format!("creation-{number}")));
        env.send_with_retries(env.person(number), &request, CLIENT_TRIES).await
    })
    .await;
    env.clear_faults().await;
    env.wait_for_leases().await?;
    env.run_job().await?;

    let opened: Vec<&RetryResult> = outcomes.iter().filter(|outcome| outcome.response.is_success()).collect();
    let ids: HashSet<&str> =
        opened.iter().filter_map(|outcome| outcome.response.body["id"].as_str()).collect();
    let repeated = outcomes.iter().filter(|outcome| outcome.tries > 1).count();
    let calls = env.stack.openai().calls(Operation::CreateSession);
    let upstream_creations = calls.iter().filter(|call| call.work_status == Some(200)).count();
    let query = "select s.id::text from chat_sessions as s
                 where s.status = 'active' and not exists (select from idempotency_keys as k where k.session_id = s.id)";
    let without_key: Vec<String> = sqlx::query_scalar(query).fetch_all(env.stack.database()).await?;
    // 99.6 % are expected. Of 400 creations, 5 fail by chance in one run of 40, and 9 hardly ever.
    let min_percent = if count < 1_000 { 98.0 } else { 99.0 };
    let mut measurements = vec![
        Measurement::non_zero("failed upstream requests", env.injected_fault_count()),
        Measurement::info("requests that clients repeated", repeated),
        Measurement::min_percent(
            "creations that succeeded within 3 attempts",
            opened.len(),
            count,
            min_percent,
        ),
        Measurement::max_ratio("ChatKit sessions created per session", upstream_creations, count, 1.3),
        Measurement::exactly("sessions, one per successful creation", ids.len(), opened.len()),
        Measurement::violations("active sessions without an idempotency key", &without_key),
        Measurement::violations(
            "client secrets of another ChatKit session",
            &mismatched_secrets(env, &opened),
        ),
    ];
    measurements.extend(invariants::check(env).await?);
    Ok(measurements)
}

/// Returns the sessions whose client secret does not belong to the ChatKit session in the response.
fn mismatched_secrets(env: &StressEnv, opened: &[&RetryResult]) -> Vec<String> {
    let there = env.stack.openai().sessions();
    let known: HashSet<(&str, &str)> =
        there.iter().map(|session| (session.id.as_str(), session.client_secret.reveal())).collect();
    let mismatched = opened.iter().filter(|outcome| {
        let id = outcome.response.body["chatkit"]["sessionId"].as_str().unwrap_or_default();
        !known.contains(&(id, outcome.response.secret().unwrap_or_default()))
    });
    mismatched.map(|outcome| outcome.response.body["id"].to_string()).collect()
}
