//! Calls of models that wait for a decision: turns, deliveries, the dispatcher's claims, maintenance
//! and the inbox go on.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use uuid::Uuid;

use super::page::Page;
use super::work::{Times, Worker, ratios, time};
use super::{CHAT_AGENT, HELD_TOOL, People};
use crate::stress::env::{StressEnv, run_concurrently};
use crate::stress::measurement::Measurement;
use crate::stress::requests::Request;

/// Held calls before the first measurement: a page of the inbox is full.
const PAGE: usize = 20;

/// Users with held calls.
const HOLDERS: usize = 8;

/// Runs of maintenance in a measurement.
const MAX_RUNS: usize = 5;

pub async fn measure(
    env: &StressEnv,
    people: &People,
    count: usize,
    rounds: usize,
) -> Result<Vec<Measurement>> {
    let mut holders = Vec::new();
    for number in 0..HOLDERS {
        holders.push(Page::open(env, env.person(number), CHAT_AGENT).await?);
    }
    let workers = [
        Worker {
            page: Page::open(env, env.person(0), CHAT_AGENT).await?,
            question: "Call",
            turn: "held calls: turn with a call, user with held calls, ratio",
            delivery: Some("held calls: delivery, user with held calls, ratio"),
        },
        Worker {
            page: Page::open(env, env.person(HOLDERS), CHAT_AGENT).await?,
            question: "Call",
            turn: "held calls: turn with a call, same organisation, ratio",
            delivery: Some("held calls: delivery, same organisation, ratio"),
        },
        Worker {
            page: Page::open(env, &people.foreigner, CHAT_AGENT).await?,
            question: "Call",
            turn: "held calls: turn with a call, other organisation, ratio",
            delivery: Some("held calls: delivery, other organisation, ratio"),
        },
    ];
    hold(&holders, 0..PAGE).await?;
    time(&workers, 1).await?;
    let without = work(env, people, &workers, rounds).await?;
    hold(&holders, PAGE..PAGE + count).await?;
    let with = work(env, people, &workers, rounds).await?;
    let mut measurements = ratios(without, with);
    measurements.extend(check(env, people, PAGE + count).await?);
    Ok(measurements)
}

/// Lets the model request calls that are held, each in an answer of its own.
async fn hold(holders: &[Page<'_>], numbers: std::ops::Range<usize>) -> Result<()> {
    let first = numbers.start;
    let held = run_concurrently(numbers.len(), HOLDERS, async |offset| {
        let number = first + offset;
        let (_, view) = holders[number % HOLDERS].ask(&format!("Hold {number}")).await?;
        let cards = view.items().iter().filter(|item| item["type"] == "widget").count();
        ensure!(cards == 1, "call {number} has {cards} cards: {view:?}");
        Ok(())
    });
    held.await.into_iter().collect()
}

/// Times the workers, the claims of a dispatcher, maintenance, and the first page of the inbox.
async fn work(env: &StressEnv, people: &People, workers: &[Worker<'_>], rounds: usize) -> Result<Vec<Times>> {
    let mut times = time(workers, rounds).await?;
    let (mut claims, mut runs, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        claims.push(claim(env).await?);
        pages.push(read_page(env, people).await?);
    }
    for _ in 0..rounds.min(MAX_RUNS) {
        let started = Instant::now();
        env.run_job().await?;
        runs.push(started.elapsed());
    }
    times.push(Times { name: "held calls: claim of the dispatcher, ratio", all: claims });
    times.push(Times { name: "held calls: run of expire-sessions, ratio", all: runs });
    times.push(Times { name: "held calls: page of the inbox, ratio", all: pages });
    Ok(times)
}

/// Claims deliveries. Nothing is due.
async fn claim(env: &StressEnv) -> Result<Duration> {
    let arguments = json!({ "p_limit": 16, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
    let started = Instant::now();
    let (status, claimed) = env.stack.rpc("claim_deliveries", arguments).await?;
    let took = started.elapsed();
    ensure!(status.is_success() && claimed["deliveries"] == json!([]), "{status} {claimed}");
    Ok(took)
}

async fn read_page(env: &StressEnv, people: &People) -> Result<Duration> {
    let request = Request::read(format!("/chatkit/escalations?limit={PAGE}"));
    let started = Instant::now();
    let page = env.send_until_response(&people.approver, &request).await;
    let took = started.elapsed();
    let rows = page.body["escalations"].as_array().map_or(0, Vec::len);
    ensure!(page.is_success() && rows == PAGE, "the page has {rows} escalations: {page:?}");
    Ok(took)
}

/// Every call is held, and the inbox has each of them once.
async fn check(env: &StressEnv, people: &People, held: usize) -> Result<Vec<Measurement>> {
    let query = "select d.id::text || ' ' || d.status from deliveries as d
                 left join chat_escalations as x on x.delivery_id = d.id and x.status = 'open'
                 where d.tool = $1 and (d.status <> 'asked' or d.fence > 0 or x.id is null)";
    let others: Vec<String> =
        sqlx::query_scalar(query).bind(HELD_TOOL).fetch_all(env.stack.database()).await?;
    let query = "select count(*) from chat_escalations as x
                 join chat_messages as m on m.chatkit_item_id = chatkit_private.card_item_id(x.id)
                 where x.tool = $1 and m.item #>> '{widget,id}' = 'held_call'";
    let cards: i64 = sqlx::query_scalar(query).bind(HELD_TOOL).fetch_one(env.stack.database()).await?;
    let (mut listed, mut ids) = (0, HashSet::new());
    let mut path = "/chatkit/escalations?limit=100".to_owned();
    loop {
        let page = env.send_until_response(&people.approver, &Request::read(path)).await;
        ensure!(page.is_success(), "{page:?}");
        for escalation in page.body["escalations"].as_array().into_iter().flatten() {
            if escalation["kind"] == "policy" {
                listed += 1;
                ids.insert(escalation["id"].to_string());
            }
        }
        match page.body["nextCursor"].as_str() {
            Some(cursor) => path = format!("/chatkit/escalations?limit=100&cursor={cursor}"),
            None => break,
        }
    }
    Ok(vec![
        Measurement::violations("held calls: calls that are not held", &others),
        Measurement::exactly("held calls: cards", usize::try_from(cards)?, held),
        Measurement::exactly("held calls: rows of the inbox", listed, held),
        Measurement::exactly("held calls: different rows of the inbox", ids.len(), held),
    ])
}
