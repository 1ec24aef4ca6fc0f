//! One member has as much scheduled work due as the bounds on one user let it make: made-up links that OpenAI refuses, over many sessions and in one, open
//! escalations, requests without an answer, keys and secrets. What everybody else needs is done as if there were no such member.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::env::Ground;
use super::measurement::Figure;
use local_stack::due_work;
use local_stack::due_work::{Amount, KINDS, REFUSED};
use local_stack::openai::{Fault, Item};

/// Others, each with one session of each kind.
const OTHERS: usize = 20;

/// The most runs that others' work may take.
const MOST_ROUNDS: usize = 20;

/// How many threads a session links at most, and one that did before there was a bound.
const LINKS: usize = 100;
const UNBOUNDED: usize = 1_100;

/// How often it is looked whether others' work is done.
const GLANCE: Duration = Duration::from_millis(50);

/// After so long a connection without work has told what it did.
const STATISTICS: Duration = Duration::from_millis(11_500);

/// What it took until others' work was done.
struct Took {
    runs: usize,
    /// Requests that PostgREST had.
    requests: usize,
    /// Pages of the database that were touched.
    pages: i64,
    /// How much of the hostile member's work was left then.
    left: i64,
}

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    ground.stack.openai().fault(Fault::everywhere().about(REFUSED).status(400));
    let without = once(ground, 0).await?;
    let with = once(ground, count).await?;
    Ok(vec![
        Figure::told("runs until others' work was done, without the hostile member", without.runs),
        Figure::at_most("runs with it, by those", with.runs, without.runs, 2.0),
        Figure::told("pages of the database touched until then, without", usize::try_from(without.pages)?),
        Figure::told("the same with it", usize::try_from(with.pages)?),
        Figure::at_most(
            "the one by the other",
            usize::try_from(with.pages)?,
            usize::try_from(without.pages)?,
            2.0,
        ),
        Figure::at_most(
            "requests to PostgREST until then, by those without",
            with.requests,
            without.requests,
            2.0,
        ),
        Figure::some("sessions of the hostile member with work left then", usize::try_from(with.left)?),
    ])
}

/// Has work due, and runs begun until that of others is done.
async fn once(ground: &Ground, hostile: usize) -> Result<Took> {
    let (stack, org_id) = (&ground.stack, ground.person(0).user.org_id);
    for kind in KINDS {
        // Each of these sessions has as many links as it may.
        let linked = ["expire_idle_sessions", "copy_transcripts", "apply_retention"].contains(&kind.duty);
        let (hostile, links) = if linked { (hostile.div_ceil(LINKS), LINKS) } else { (hostile, 0) };
        let hostile = hostile.min(kind.most.unwrap_or(hostile));
        due_work::fill(stack, org_id, kind, Amount { hostile, links, others: OTHERS }).await?;
    }
    let many = "insert into chatkit_threads (org_id, user_id, session_id, thread_id)
        select d.org_id, d.user_id, d.id, $1 || '_' || n
        from (select distinct on (kind) * from test.due where hostile and kind in ('expire_idle_sessions', 'copy_transcripts')
              order by kind, id) as d, generate_series(1, $2) as n";
    let unbounded = i64::try_from(UNBOUNDED - LINKS)?;
    sqlx::query(many).bind(REFUSED).bind(unbounded).execute(stack.database()).await?;
    speak(ground).await?;
    sqlx::query("vacuum analyze").execute(stack.database()).await?;

    let pages = pages(ground).await?;
    let requests = stack.supabase().latency().count();
    let (mut runs, looked) = (0, AtomicI64::new(0));
    while others_left(ground, &looked).await? {
        ensure!(runs < MOST_ROUNDS, "others' work is not done after {runs} runs");
        runs += 1;
        let run = std::pin::pin!(stack.run_job("expire-sessions"));
        let done = std::pin::pin!(async {
            while others_left(ground, &looked).await? {
                tokio::time::sleep(GLANCE).await;
            }
            Ok::<_, anyhow::Error>(())
        });
        match futures_util::future::select(run, done).await {
            futures_util::future::Either::Left((report, _)) => drop(report?),
            futures_util::future::Either::Right((done, run)) => {
                done?;
                // What the hostile member still has is no affair of others.
                stack.lambda().function("expire-sessions")?.kill();
                let _: Result<Value> = run.await;
            }
        }
    }
    let requests = stack.supabase().latency().count() - requests;
    let pages = self::pages(ground).await? - pages - looked.load(Ordering::Relaxed);
    let mut left = 0;
    for kind in KINDS.iter().filter(|_| hostile > 0) {
        left += due_work::left(stack, kind, true).await?;
    }
    due_work::clear(stack).await?;
    Ok(Took { runs, requests, pages, left })
}

/// Others have said something in their threads, which is in their transcripts in the end.
async fn speak(ground: &Ground) -> Result<()> {
    let query =
        "select d.id, u.chatkit_user from test.due as d join chatkit_users as u on u.user_id = d.user_id
        where d.kind = 'copy_transcripts' and not d.hostile";
    let others: Vec<(uuid::Uuid, String)> = sqlx::query_as(query).fetch_all(ground.stack.database()).await?;
    for (session_id, user) in others {
        let items = (0..20).map(|n| Item::user(&format!("Line {n}"))).collect();
        let thread_id = ground.stack.openai().put_thread(&user, None, items).context("a thread")?;
        let query = sqlx::query("update chatkit_threads set thread_id = $2 where session_id = $1");
        query.bind(session_id).bind(thread_id).execute(ground.stack.database()).await?;
    }
    Ok(())
}

/// Whether others have work left. The pages touched to find out are added to `looked`.
async fn others_left(ground: &Ground, looked: &AtomicI64) -> Result<bool> {
    let queries: Vec<String> = KINDS.iter().map(|kind| due_work::left_query(kind, false)).collect();
    let query =
        format!("explain (analyze, buffers, timing off, format json) {}", queries.join(" union all "));
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(ground.stack.database()).await?;
    for part in ["Plan", "Planning"] {
        for kind in ["Shared Hit Blocks", "Shared Read Blocks"] {
            looked.fetch_add(plan[0][part][kind].as_i64().unwrap_or_default(), Ordering::Relaxed);
        }
    }
    Ok(plan[0]["Plan"]["Actual Rows"].as_f64().is_some_and(|rows| rows > 0.0))
}

/// The pages that PostgREST's connections have touched in tables and indexes, once they have told.
async fn pages(ground: &Ground) -> Result<i64> {
    tokio::time::sleep(STATISTICS).await;
    let query = "select (blks_hit + blks_read) from pg_stat_database where datname = current_database()";
    Ok(sqlx::query_scalar(query).fetch_one(ground.stack.database()).await?)
}
