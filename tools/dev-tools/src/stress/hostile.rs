//! One hostile user has the maximum of due work: links to threads that OpenAI rejects, open
//! escalations, unanswered requests, keys and secrets. Other users' work must not take much longer
//! than without the hostile user.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::env::StressEnv;
use super::measurement::Measurement;
use local_stack::due_work;
use local_stack::due_work::{ALL, REJECTED_THREAD_PREFIX, WorkAmount};
use local_stack::openai::{Fault, Item};

/// Number of other users, each with one session per job.
const OTHERS: usize = 20;

/// Maximum number of runs until the other users' work is done.
const MAX_RUNS: usize = 20;

/// The limit of linked threads per session, and the number in a session from before the limit.
const LINKS: usize = 100;
const UNBOUNDED_LINKS: usize = 1_100;

/// Interval of the checks whether the other users' work is done.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Time after which an idle connection has reported its statistics.
const STATISTICS_DELAY: Duration = Duration::from_millis(11_500);

/// The cost until the other users' work was done.
struct Cost {
    runs: usize,
    requests: usize,
    /// Database pages that were read.
    pages: i64,
    /// The hostile user's pending work at that time.
    left: i64,
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    env.stack.openai().add_fault(Fault::everywhere().path_contains(REJECTED_THREAD_PREFIX).status(400));
    let without = measure(env, 0).await?;
    let with = measure(env, count).await?;
    Ok(vec![
        Measurement::info("runs until other users' work was done, without the hostile user", without.runs),
        Measurement::max_ratio("ratio of the runs with the hostile user", with.runs, without.runs, 2.0),
        Measurement::info("pages read until then, without the hostile user", usize::try_from(without.pages)?),
        Measurement::info("the same with the hostile user", usize::try_from(with.pages)?),
        Measurement::max_ratio(
            "ratio of the pages",
            usize::try_from(with.pages)?,
            usize::try_from(without.pages)?,
            2.0,
        ),
        Measurement::max_ratio("ratio of the requests to PostgREST", with.requests, without.requests, 2.0),
        Measurement::non_zero(
            "sessions of the hostile user with pending work then",
            usize::try_from(with.left)?,
        ),
    ])
}

/// Makes work due, and runs maintenance until the other users' work is done.
async fn measure(env: &StressEnv, hostile: usize) -> Result<Cost> {
    let (stack, org_id) = (&env.stack, env.person(0).user.org_id);
    for kind in ALL {
        // Each of these sessions has the maximum number of links.
        let has_links = ["expire_idle_sessions", "copy_transcripts", "apply_retention"].contains(&kind.job);
        let (hostile, links) = if has_links { (hostile.div_ceil(LINKS), LINKS) } else { (hostile, 0) };
        let hostile = hostile.min(kind.max_per_user.unwrap_or(hostile));
        due_work::insert(stack, org_id, kind, WorkAmount { hostile, links, others: OTHERS }).await?;
    }
    let many = "insert into chatkit_threads (org_id, user_id, session_id, thread_id)
        select d.org_id, d.user_id, d.id, $1 || '_' || n
        from (select distinct on (kind) * from test.due where hostile and kind in ('expire_idle_sessions', 'copy_transcripts')
              order by kind, id) as d, generate_series(1, $2) as n";
    let unbounded = i64::try_from(UNBOUNDED_LINKS - LINKS)?;
    sqlx::query(many).bind(REJECTED_THREAD_PREFIX).bind(unbounded).execute(stack.database()).await?;
    add_thread_items(env).await?;
    sqlx::query("vacuum analyze").execute(stack.database()).await?;

    let pages = pages(env).await?;
    let requests = stack.supabase().latency().count();
    let (mut runs, overhead) = (0, AtomicI64::new(0));
    while others_left(env, &overhead).await? {
        ensure!(runs < MAX_RUNS, "other users' work is not done after {runs} runs");
        runs += 1;
        let run = std::pin::pin!(stack.run_job("expire-sessions"));
        let done = std::pin::pin!(async {
            while others_left(env, &overhead).await? {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            Ok::<_, anyhow::Error>(())
        });
        match futures_util::future::select(run, done).await {
            futures_util::future::Either::Left((report, _)) => drop(report?),
            futures_util::future::Either::Right((done, run)) => {
                done?;
                // The hostile user's remaining work is not measured.
                stack.lambda().function("expire-sessions")?.kill();
                let _: Result<Value> = run.await;
            }
        }
    }
    let requests = stack.supabase().latency().count() - requests;
    let pages = self::pages(env).await? - pages - overhead.load(Ordering::Relaxed);
    let mut left = 0;
    for kind in ALL.iter().filter(|_| hostile > 0) {
        left += due_work::pending(stack, kind, true).await?;
    }
    due_work::clear(stack).await?;
    Ok(Cost { runs, requests, pages, left })
}

/// Adds messages to the other users' threads, for their transcripts.
async fn add_thread_items(env: &StressEnv) -> Result<()> {
    let query =
        "select d.id, u.chatkit_user from test.due as d join chatkit_users as u on u.user_id = d.user_id
        where d.kind = 'copy_transcripts' and not d.hostile";
    let others: Vec<(uuid::Uuid, String)> = sqlx::query_as(query).fetch_all(env.stack.database()).await?;
    for (session_id, user) in others {
        let items = (0..20).map(|n| Item::user(&format!("Line {n}"))).collect();
        let thread_id = env.stack.openai().put_thread(&user, None, items).context("creating a thread")?;
        let query = sqlx::query("update chatkit_threads set thread_id = $2 where session_id = $1");
        query.bind(session_id).bind(thread_id).execute(env.stack.database()).await?;
    }
    Ok(())
}

/// Returns whether other users have pending work. The pages of this query are added to `overhead`.
async fn others_left(env: &StressEnv, overhead: &AtomicI64) -> Result<bool> {
    let queries: Vec<String> = ALL.iter().map(|kind| due_work::remaining_query(kind, false)).collect();
    let query =
        format!("explain (analyze, buffers, timing off, format json) {}", queries.join(" union all "));
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(env.stack.database()).await?;
    for part in ["Plan", "Planning"] {
        for kind in ["Shared Hit Blocks", "Shared Read Blocks"] {
            overhead.fetch_add(plan[0][part][kind].as_i64().unwrap_or_default(), Ordering::Relaxed);
        }
    }
    Ok(plan[0]["Plan"]["Actual Rows"].as_f64().is_some_and(|rows| rows > 0.0))
}

/// Returns the pages that PostgREST's connections have read, after they have reported.
async fn pages(env: &StressEnv) -> Result<i64> {
    tokio::time::sleep(STATISTICS_DELAY).await;
    let query = "select (blks_hit + blks_read) from pg_stat_database where datname = current_database()";
    Ok(sqlx::query_scalar(query).fetch_one(env.stack.database()).await?)
}
