//! A large table with few idle sessions: the cost of expiring them must not grow with the table.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use serde_json::Value;

use super::env::{AGENT, StressEnv};
use super::measurement::Measurement;

/// One session in so many is idle.
const IDLE_FRACTION: usize = 20;

/// Number of concurrent maintenance runs.
const CONCURRENT_RUNS: usize = 3;

/// Size of the large table relative to the small one.
const SIZE_RATIO: usize = 10;

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let idle = count / IDLE_FRACTION;
    // Both tables have the same number of idle sessions.
    insert_sessions(env, count / SIZE_RATIO - idle, "1 hour").await?;
    insert_sessions(env, idle, "25 hours").await?;
    let small = pages_per_claim(env).await?;
    insert_sessions(env, count - count / SIZE_RATIO, "1 hour").await?;
    let large = pages_per_claim(env).await?;

    let expired: u64 =
        try_join_all((0..CONCURRENT_RUNS).map(|_| run_until_done(env))).await?.into_iter().sum();
    let query = "select count(*) from chat_sessions where status = 'active' and last_activity_at > now() - interval '2 hours'";
    let left: i64 = sqlx::query_scalar(query).fetch_one(env.stack.database()).await?;
    Ok(vec![
        Measurement::exactly("idle sessions that expired", usize::try_from(expired)?, idle),
        Measurement::exactly("other sessions, still active", usize::try_from(left)?, count - idle),
        Measurement::info("pages read to claim a hundred in a table of a tenth", small),
        Measurement::info("pages read to claim a hundred", large),
        Measurement::max_ratio("ratio of the pages", large, small, 1.5),
    ])
}

async fn insert_sessions(env: &StressEnv, count: usize, age: &str) -> Result<()> {
    let user = &env.person(0).user;
    let query = "with u as (
           insert into chatkit_users (org_id, user_id) values ($1, $2) on conflict do nothing
         )
         insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider, metadata, created_at,
           last_activity_at)
         select gen_random_uuid(), $1, $2, 'web', $3, 'openai_hosted', '{}', now() - interval '30 days', now() - $4::interval
         from generate_series(1, $5)";
    let insert = sqlx::query(query).bind(user.org_id).bind(user.id).bind(AGENT).bind(age);
    insert.bind(i64::try_from(count)?).execute(env.stack.database()).await.context("inserting sessions")?;
    sqlx::query("vacuum analyze").execute(env.stack.database()).await.context("analysing")?;
    Ok(())
}

/// Returns the pages that the database reads to claim one batch of idle sessions, and rolls back.
async fn pages_per_claim(env: &StressEnv) -> Result<usize> {
    let mut transaction = env.stack.database().begin().await?;
    let query = "explain (analyze, buffers, timing off, format json) select claim_idle_sessions(100, 60)";
    let plan: Value = sqlx::query_scalar(query).fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    let pages = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(usize::try_from(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))?)
}

/// Runs maintenance until no session is idle, and returns the number of expired sessions. A claim
/// of a run that timed out is free after a minute.
async fn run_until_done(env: &StressEnv) -> Result<u64> {
    let query = "select exists (select from chat_sessions where status = 'active' and last_activity_at < now() - interval '24 hours')";
    let mut expired = 0;
    while sqlx::query_scalar(query).fetch_one(env.stack.database()).await? {
        match env.run_job().await?["expiredSessions"].as_u64() {
            Some(0) | None => tokio::time::sleep(Duration::from_secs(1)).await,
            Some(now) => expired += now,
        }
    }
    Ok(expired)
}
