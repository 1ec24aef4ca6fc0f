//! One request sent many times at once.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde_json::json;

use super::env::{Ground, OTHER_AGENT, each};
use super::invariants;
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};
use local_stack::openai::On;

/// How often each.
const DUPLICATES: usize = 30;

/// Keys that are raced at the same time.
const KEYS_AT_ONCE: usize = 4;

pub async fn run(ground: &Ground, keys: usize) -> Result<Vec<Figure>> {
    let raced = each(keys, KEYS_AT_ONCE, async |number| {
        let wish = Wish::open(Some(format!("duplicate-{number}")));
        let replies =
            each(DUPLICATES, DUPLICATES, async |_| ground.answered(ground.person(number), &wish).await).await;
        let mut other = wish.clone();
        other.body = Some(json!({ "agentId": OTHER_AGENT }));
        (replies, ground.answered(ground.person(number), &other).await)
    })
    .await;
    let created = ground.stack.openai().calls(On::CreateSession).len();
    let query = "select count(*) from chat_sessions";
    let sessions: i64 = sqlx::query_scalar(query).fetch_one(ground.stack.database()).await?;

    let mut strange = Vec::new();
    let (mut replayed, mut running) = (0, 0);
    for (replies, other) in &raced {
        let ids: HashSet<&str> = replies.iter().filter_map(|reply| reply.body["id"].as_str()).collect();
        let of = |status: u16| replies.iter().filter(|reply| reply.status == Some(status)).count();
        let waiting = replies.iter().filter(|reply| is_running(reply)).count();
        if ids.len() != 1 || of(201) > 1 || of(201) + of(200) + waiting != DUPLICATES {
            strange.push(format!(
                "{} ids, {} new, {} replayed, {waiting} running",
                ids.len(),
                of(201),
                of(200)
            ));
        }
        if (other.status, other.code()) != (Some(422), Some("idempotency_key_reused")) {
            strange.push(format!("another body: {other:?}"));
        }
        (replayed, running) = (replayed + of(200), running + waiting);
    }
    let mut figures = vec![
        Figure::exactly("sessions", usize::try_from(sessions).context("a count")?, keys),
        Figure::exactly("upstream creations", created, keys),
        Figure::some("duplicates that were replayed", replayed),
        Figure::some("duplicates that were told to wait", running),
        Figure::violations("keys with any other outcome, other bodies included", &strange),
    ];
    figures.extend(invariants::figures(ground).await?);
    Ok(figures)
}

/// A duplicate of a request that is still running is told how long to wait.
fn is_running(reply: &TestResponse) -> bool {
    reply.status == Some(409) && reply.code() == Some("still_running") && reply.retry_after.is_some()
}
