//! Sessions become idle, and some users return at that moment.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::env::{AGENT, CONCURRENCY, StressEnv, run_concurrently};
use super::invariants;
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};

/// Number of concurrent maintenance runs.
const CONCURRENT_RUNS: usize = 3;

/// Interval between two returning users: about as fast as sessions expire.
const RETURN_INTERVAL: Duration = Duration::from_millis(8);

/// One in so many users returns after all runs.
const LATE_FRACTION: usize = 9;

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let opened = run_concurrently(count, CONCURRENCY, async |number| open(env, number).await).await;
    let sessions: Vec<(usize, Value)> = opened.into_iter().collect::<Result<_>>()?;
    let age = "update chat_sessions set last_activity_at = now() - interval '25 hours'";
    sqlx::query(age).execute(env.stack.database()).await?;

    // Half of the users return one after the other, during the runs.
    let (started, (end, over)) = (Instant::now(), watch::channel(false));
    let returning = run_concurrently(count, count, async |index| {
        let (number, session) = &sessions[index];
        let mut rng = env.rng(*number);
        if rng.bool() {
            return None;
        }
        if index % LATE_FRACTION == 0 {
            drop(over.clone().wait_for(|over| *over).await);
        } else {
            tokio::time::sleep_until(started + RETURN_INTERVAL * u32::try_from(index).unwrap_or(u32::MAX))
                .await;
        }
        let event = json!({ "id": Uuid::from_u128(rng.u128(..)), "type": "custom_back" });
        let response =
            env.send_with_retries(env.person(*number), &Request::record(session, event), 5).await.response;
        Some((session["id"].clone(), response))
    });
    let runs = async {
        let expired = try_join_all((0..CONCURRENT_RUNS).map(|_| runs(env, count))).await;
        end.send_replace(true);
        expired
    };
    let (returned, runs) = tokio::join!(returning, runs);
    let mut expired: u64 = runs?.into_iter().sum();
    if !idle_sessions(env).await?.is_empty() {
        // A run whose time was over leaves its claims to the first run after their lease.
        env.wait_for_leases().await?;
        expired += self::runs(env, count).await?;
    }
    let returned: Vec<(Value, TestResponse)> = returned.into_iter().flatten().collect();
    measurements(env, expired, &returned).await
}

/// Opens a session by RPC, without ChatKit.
async fn open(env: &StressEnv, number: usize) -> Result<(usize, Value)> {
    let user = &env.person(number).user;
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": Uuid::now_v7(),
        "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {},
    });
    let (status, answer) = env.stack.rpc("open_session", arguments).await?;
    ensure!(status.is_success(), "open_session answered {status}: {answer}");
    Ok((number, answer["session"].clone()))
}

/// Runs maintenance until several runs in a row do nothing.
async fn runs(env: &StressEnv, count: usize) -> Result<u64> {
    let (mut expired, mut idle_runs) = (0, 0);
    while idle_runs < 3 {
        let report = env.run_job().await?;
        let now = report["expiredSessions"].as_u64().unwrap_or_default();
        idle_runs = if now == 0 { idle_runs + 1 } else { 0 };
        expired += now;
        tokio::time::sleep(Duration::from_millis(count as u64 / 10)).await;
    }
    Ok(expired)
}

/// Returns the active sessions that have expired.
async fn idle_sessions(env: &StressEnv) -> Result<Vec<String>> {
    let query = "select id::text from chat_sessions as s where status = 'active' and last_activity_at < now() - interval '24 hours'";
    Ok(sqlx::query_scalar(query).fetch_all(env.stack.database()).await?)
}

async fn measurements(
    env: &StressEnv,
    expired: u64,
    returned: &[(Value, TestResponse)],
) -> Result<Vec<Measurement>> {
    let database = env.stack.database();
    let query = "select id::text from chat_sessions where status = 'ended' and end_reason = 'expired'";
    let ended: HashSet<String> = sqlx::query_scalar(query).fetch_all(database).await?.into_iter().collect();
    // Activity in a session that expired for inactivity.
    let query = "select distinct e.session_id::text from chat_events as e join chat_sessions as s on s.id = e.session_id
                 where s.end_reason = 'expired' and e.actor_type <> 'system'";
    let newer: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;

    let (mut in_time, mut too_late, mut unexpected) = (0, 0, Vec::new());
    for (id, response) in returned {
        let is_ended = id.as_str().is_some_and(|id| ended.contains(id));
        match (response.status, response.code()) {
            (Some(201), None) if !is_ended => in_time += 1,
            (Some(409), Some("session_ended")) if is_ended => too_late += 1,
            _ => unexpected.push(format!("{id}: {response:?}")),
        }
    }
    let mut measurements = vec![
        Measurement::non_zero("users who returned in time", in_time),
        Measurement::non_zero("users who returned too late", too_late),
        Measurement::violations("sessions that expired in spite of newer activity", &newer),
        Measurement::violations("responses that contradict the session's state", &unexpected),
        Measurement::violations("idle sessions that did not expire", &idle_sessions(env).await?),
        Measurement::exactly(
            "expired sessions, as reported by the runs",
            usize::try_from(expired)?,
            ended.len(),
        ),
    ];
    // These sessions were opened without ChatKit, so the invariant about it does not apply.
    let rules = invariants::check(env).await?;
    measurements.extend(
        rules
            .into_iter()
            .filter(|measurement| !measurement.name.contains("without a recorded ChatKit session")),
    );
    Ok(measurements)
}
