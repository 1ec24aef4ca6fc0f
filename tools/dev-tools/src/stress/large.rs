//! A large table of which a small part is idle: the work of ending that part must not grow with the table.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use serde_json::Value;

use super::env::{AGENT, Ground};
use super::measurement::Figure;

/// One session in so many is idle.
const IDLE_PART: usize = 20;

/// Runs of the scheduler at the same time.
const ROUNDS_AT_ONCE: usize = 3;

/// How much larger the large table is than the small one that it is compared with.
const TIMES: usize = 10;

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let idle = count / IDLE_PART;
    // As many are idle in the small table as in the large one, so that only the rest differs.
    put(ground, count / TIMES - idle, "1 hour").await?;
    put(ground, idle, "25 hours").await?;
    let small = work(ground).await?;
    put(ground, count - count / TIMES, "1 hour").await?;
    let large = work(ground).await?;

    let expired: u64 = try_join_all((0..ROUNDS_AT_ONCE).map(|_| runs(ground))).await?.into_iter().sum();
    let query = "select count(*) from chat_sessions where status = 'active' and last_activity_at > now() - interval '2 hours'";
    let left: i64 = sqlx::query_scalar(query).fetch_one(ground.stack.database()).await?;
    Ok(vec![
        Figure::exactly("idle sessions that ended", usize::try_from(expired)?, idle),
        Figure::exactly("other sessions, that did not", usize::try_from(left)?, count - idle),
        Figure::told("pages touched to claim a hundred in a table of a tenth", small),
        Figure::told("pages touched to claim a hundred", large),
        Figure::at_most("the one by the other", large, small, 1.5),
    ])
}

/// Writes sessions of that age, as fast as the database can.
async fn put(ground: &Ground, count: usize, age: &str) -> Result<()> {
    let user = &ground.person(0).user;
    let query = "with u as (
           insert into chatkit_users (org_id, user_id) values ($1, $2) on conflict do nothing
         )
         insert into chat_sessions (id, org_id, user_id, channel, agent_id, metadata, created_at, last_activity_at)
         select gen_random_uuid(), $1, $2, 'web', $3, '{}', now() - interval '30 days', now() - $4::interval
         from generate_series(1, $5)";
    let insert = sqlx::query(query).bind(user.org_id).bind(user.id).bind(AGENT).bind(age);
    insert.bind(i64::try_from(count)?).execute(ground.stack.database()).await.context("writing sessions")?;
    sqlx::query("vacuum analyze").execute(ground.stack.database()).await.context("analysing")?;
    Ok(())
}

/// The pages that the database touches to hand out one batch of idle sessions. It is let go of at once.
async fn work(ground: &Ground) -> Result<usize> {
    let mut transaction = ground.stack.database().begin().await?;
    let query = "explain (analyze, buffers, timing off, format json) select claim_idle_sessions(100, 60)";
    let plan: Value = sqlx::query_scalar(query).fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    let pages = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(usize::try_from(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))?)
}

/// Runs until nothing is idle, and how many sessions they ended. What a run had claimed when its time was over is free for
/// others a minute later.
async fn runs(ground: &Ground) -> Result<u64> {
    let query = "select exists (select from chat_sessions where status = 'active' and last_activity_at < now() - interval '24 hours')";
    let mut expired = 0;
    while sqlx::query_scalar(query).fetch_one(ground.stack.database()).await? {
        match ground.run_job().await?["expiredSessions"].as_u64() {
            Some(0) | None => tokio::time::sleep(Duration::from_secs(1)).await,
            Some(now) => expired += now,
        }
    }
    Ok(expired)
}
