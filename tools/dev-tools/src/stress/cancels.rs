//! Sessions are cancelled while other devices renew their client secrets.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::env::{Person, StressEnv, run_concurrently};
use super::invariants;
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};
use local_stack::http::RandomFault;
use local_stack::openai::{Fault, Operation};

/// Number of concurrent sessions, each with five devices.
const CONCURRENCY: usize = 6;
const REFRESHES: usize = 4;

/// The outcome of one session.
#[derive(Default)]
struct RaceResult {
    /// Client secrets that are valid after the response to the cancellation.
    usable: Vec<String>,
    /// All client secrets that were returned.
    secrets: Vec<String>,
    /// Refreshes that succeeded, and those that returned `session_ended`.
    refreshed: usize,
    rejected: usize,
    unexpected: Vec<String>,
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    // For a tenth, OpenAI rejects every cancellation.
    let (down, up) = (count / 10, count - count / 10);
    let slow = Fault::new(Operation::CreateSession)
        .delay_response(Duration::from_millis(15))
        .random(RandomFault::new(0.3, env.seed));
    env.stack.openai().add_fault(slow);
    let raced = run_concurrently(up, CONCURRENCY, async |number| race(env, number).await).await;
    let raced: Vec<RaceResult> = raced.into_iter().collect::<Result<_>>()?;

    env.stack.openai().add_fault(Fault::new(Operation::CancelSession).status(503).should_retry(false));
    let outage = run_concurrently(down, CONCURRENCY, async |number| race(env, up + number).await).await;
    let outage: Vec<RaceResult> = outage.into_iter().collect::<Result<_>>()?;
    let left = outage.iter().map(|raced| raced.usable.len()).sum();
    env.clear_faults().await;
    env.wait_for_leases().await?;
    env.run_job().await?;
    let usable = |raced: &[RaceResult]| raced.iter().map(|raced| raced.usable.len()).sum::<usize>();
    let sum = |part: fn(&RaceResult) -> usize| raced.iter().chain(&outage).map(part).sum();
    let unexpected: Vec<String> =
        raced.iter().chain(&outage).flat_map(|raced| raced.unexpected.clone()).collect();
    let mut measurements = vec![
        Measurement::non_zero("refreshes before the cancellation", sum(|raced| raced.refreshed)),
        Measurement::non_zero("refreshes that returned session_ended", sum(|raced| raced.rejected)),
        Measurement::violations("other outcomes", &unexpected),
        Measurement::zero("client secrets valid after the cancellation", usable(&raced)),
        Measurement::non_zero("the same while OpenAI rejects cancellations", left),
    ];
    measurements.extend(invariants::check(env).await?);
    // The fake's clock is ten minutes ahead by now.
    let mut outlived = 0;
    for secret in outage.iter().flat_map(|raced| &raced.secrets) {
        outlived += usize::from(is_usable(env, secret).await);
    }
    measurements.push(Measurement::zero("of those, valid after ten minutes", outlived));
    Ok(measurements)
}

async fn race(env: &StressEnv, number: usize) -> Result<RaceResult> {
    let person = env.person(number);
    let session = env.open_session(person).await?;
    let mut rng = env.rng(number);
    let expires_soon = rng.bool();
    if expires_soon {
        // The current secret expires soon, so that each refresh calls OpenAI.
        let query = "update chatkit_sessions set expires_at = now() + interval '60 seconds' where session_id = $1::uuid";
        sqlx::query(query).bind(session["id"].as_str()).execute(env.stack.database()).await?;
    }
    let pauses: Vec<u64> = (0..=REFRESHES).map(|_| rng.u64(..40)).collect();
    let cancelling = async {
        sleep_ms(pauses[REFRESHES]).await;
        let cancelled = env.send_with_retries(person, &Request::cancel(&session), 5).await.response;
        let usable = is_usable(env, session["chatkit"]["clientSecret"].as_str().unwrap_or_default()).await;
        (cancelled, usable)
    };
    let refreshing = run_concurrently(REFRESHES, REFRESHES, async |device| {
        sleep_ms(pauses[device]).await;
        let purpose = if device % 2 == 0 { "refresh" } else { "resume" };
        env.send_until_response(person, &Request::renew(&session, purpose, None)).await
    });
    let ((cancelled, usable), refreshes) = tokio::join!(cancelling, refreshing);
    if expires_soon {
        // The database would consider the secret expired and not cancel it, while OpenAI still
        // accepts it.
        let query = "update chatkit_sessions set expires_at = $2::timestamptz where chatkit_session_id = $1";
        let first = &session["chatkit"];
        let real = sqlx::query(query).bind(first["sessionId"].as_str()).bind(first["expiresAt"].as_str());
        anyhow::ensure!(real.execute(env.stack.database()).await?.rows_affected() == 1, "no row of {first}");
    }
    evaluate(env, &session, &cancelled, usable, &refreshes).await
}

async fn evaluate(
    env: &StressEnv,
    session: &Value,
    cancelled: &TestResponse,
    first_is_usable: bool,
    refreshes: &[TestResponse],
) -> Result<RaceResult> {
    let mut raced = RaceResult::default();
    let path = Person::path(session);
    if cancelled.status != Some(200) || cancelled.body["status"] != "ended" {
        raced.unexpected.push(format!("{path} was not cancelled: {cancelled:?}"));
    }
    if first_is_usable {
        raced.usable.push(path.clone());
    }
    raced.secrets.extend(session["chatkit"]["clientSecret"].as_str().map(str::to_owned));
    for refresh in refreshes {
        match (refresh.status, refresh.code(), refresh.secret()) {
            (Some(200), None, Some(secret)) => {
                raced.refreshed += 1;
                raced.secrets.push(secret.to_owned());
                if is_usable(env, secret).await {
                    raced.usable.push(path.clone());
                }
            }
            (Some(409), Some("session_ended"), _) => raced.rejected += 1,
            // Another device's refresh is running.
            (Some(409), Some("still_running"), _) => {}
            _ => raced.unexpected.push(format!("{path} was not refreshed: {refresh:?}")),
        }
    }
    Ok(raced)
}

/// Returns whether a browser can still use the client secret.
async fn is_usable(env: &StressEnv, secret: &str) -> bool {
    env.stack.openai().post_message(secret, None, "Are you there?").await.is_ok()
}

async fn sleep_ms(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
