//! Events on their way to agents of which a fifth goes wrong, by routers that are killed.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::figure::Figure;
use super::ground::{AT_ONCE, Ground, OTHER_AGENT, each};
use super::requests::Wish;
use crate::agents::{Agent, Fault};

/// Events share sessions, in which they have an order.
const EVENTS_A_SESSION: usize = 20;

/// How many of them a call records.
const EVENTS_A_CALL: usize = 5;

/// Routers are killed that often, and so many times.
const BETWEEN_KILLS: Duration = Duration::from_millis(400);
const KILLS: usize = 12;

/// Longer than any lease and any pause: where nothing goes on for so long, something is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let agent = ground.world.agents().agent(OTHER_AGENT).context("there is no such agent")?;
    let org_id = ground.person(0).user.org_id;
    let tool = json!({ "idempotent": true, "policy": "auto" });
    ground.world.put_to_work(org_id, OTHER_AGENT, tool).await?;
    let opened =
        each(count.div_ceil(EVENTS_A_SESSION), AT_ONCE, async |number| open(ground, number).await).await;
    let sessions: Vec<(usize, Value)> = opened.into_iter().collect::<Result<_>>()?;

    let faults = disturb(agent);
    let calls = count / EVENTS_A_CALL;
    let recording = each(calls, AT_ONCE, async |number| {
        let (owner, session) = &sessions[number % sessions.len()];
        let wish = Wish::record(session, events(&mut ground.rng(number)));
        ground.insist(ground.person(*owner), &wish, 9).await.reply
    });
    let (recorded, killed) = tokio::join!(recording, kill(ground));
    let recorded = recorded.iter().filter(|reply| reply.status == Some(201)).count() * EVENTS_A_CALL;
    ensure!(recorded == calls * EVENTS_A_CALL, "only {recorded} events were taken");
    let left = settle(ground).await?;
    let struck = faults.into_iter().map(|fault| agent.hits(fault) as usize).sum();
    figures(ground, agent, recorded, killed?, left, struck).await
}

/// A session with the agent that is called.
async fn open(ground: &Ground, number: usize) -> Result<(usize, Value)> {
    let user = &ground.person(number).user;
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": Uuid::now_v7(),
        "p_agent_id": OTHER_AGENT, "p_channel": "web", "p_metadata": {},
    });
    let (status, answer) = ground.world.rpc("open_session", arguments).await?;
    ensure!(status.is_success(), "open_session answered {status}: {answer}");
    Ok((number, answer["session"].clone()))
}

fn events(rng: &mut fastrand::Rng) -> Value {
    let event = |rng: &mut fastrand::Rng| {
        let data = json!({ "invoice": "42", "amount": rng.u32(1..1000) });
        json!({ "id": Uuid::from_u128(rng.u128(..)), "type": "button_click", "payload": { "action": "check", "data": data } })
    };
    (0..EVENTS_A_CALL).map(|_| event(rng)).collect()
}

/// A fifth of the agent's calls goes wrong, in all ways there are.
fn disturb(agent: &Agent) -> Vec<crate::agents::FaultId> {
    let on = Fault::on_calls;
    let ways = [
        on().status(503).header("retry-after", "1"),
        on().status(500),
        on().drop_before(),
        on().drop_after(),
        on().cut(),
        on().nonsense(),
        on().delay(Duration::from_millis(700)),
        // Longer than the registry allows.
        on().late(Duration::from_secs(7)),
    ];
    let share = 0.2 / ways.len() as f64;
    ways.into_iter().map(|fault| agent.fault(fault.share(share))).collect()
}

/// Kills all routers, again and again, and says how many processes there were.
async fn kill(ground: &Ground) -> Result<usize> {
    let mut killed = 0;
    for _ in 0..KILLS {
        tokio::time::sleep(BETWEEN_KILLS).await;
        killed += ground.world.lambda().function("route-events")?.kill();
    }
    Ok(killed)
}

/// Lets the schedule go on until nothing is under way, or nothing goes on any more; says what is left.
async fn settle(ground: &Ground) -> Result<i64> {
    let query = "select count(*) from deliveries where status in ('pending', 'running')";
    let (mut least, mut since) = (i64::MAX, tokio::time::Instant::now());
    loop {
        let left: i64 = sqlx::query_scalar(query).fetch_one(ground.world.database()).await?;
        if left < least {
            (least, since) = (left, tokio::time::Instant::now());
        }
        if left == 0 || since.elapsed() > PATIENCE {
            return Ok(left);
        }
        ground.world.tick("route-events").await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn figures(
    ground: &Ground,
    agent: &Agent,
    recorded: usize,
    killed: usize,
    left: i64,
    struck: usize,
) -> Result<Vec<Figure>> {
    let database = ground.world.database();
    let of = async |status: &str| -> Result<usize> {
        let count: i64 = sqlx::query_scalar("select count(*) from deliveries where status = $1")
            .bind(status)
            .fetch_one(database)
            .await?;
        Ok(usize::try_from(count)?)
    };
    let (done, dead) = (of("done").await?, of("dead").await?);
    // What finished before an earlier one of its session did.
    let query = "select d.id::text from deliveries as d where exists (
                   select from deliveries as e
                   where e.session_id = d.session_id and e.seq < d.seq and e.finished_at > d.finished_at)";
    let disordered: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    let query = "select event_id::text, status from deliveries";
    let states: HashMap<String, String> =
        sqlx::query_as(query).fetch_all(database).await?.into_iter().collect();
    let mut deeds: HashMap<String, usize> = HashMap::new();
    agent.deeds().into_iter().for_each(|deed| *deeds.entry(deed.key).or_default() += 1);
    let undone = states.iter().filter(|(key, status)| *status == "done" && !deeds.contains_key(*key)).count();
    // A dead letter is asked about.
    let query = "select d.id::text from deliveries as d where d.status = 'dead' and not exists (
                   select from chat_escalations as x where x.delivery_id = d.id)";
    let unasked: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    Ok(vec![
        Figure::some("calls of the agent that went wrong", struck),
        Figure::some("routers killed", killed),
        Figure::exactly("events delivered or given up", done + dead, recorded),
        Figure::told("of these, given up and asked about", dead),
        Figure::none("stuck", usize::try_from(left)?),
        Figure::violations("delivered before an earlier one of its session", &disordered),
        Figure::none("second effects under one key", deeds.values().filter(|count| **count > 1).count()),
        Figure::none("delivered, as was told, and without effect", undone),
        Figure::violations("given up without anybody being asked", &unasked),
    ])
}
