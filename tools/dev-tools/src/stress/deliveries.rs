//! Events on their way to agents, by routers that are killed; a fifth of the agents' answers and of Supabase's goes wrong.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::calls;
use super::calls::Called;
use super::env::{AT_ONCE, Ground, OTHER_AGENT, each};
use super::measurement::Figure;
use super::requests::Wish;
use local_stack::agents::{Agent, Fault, FaultId};
use local_stack::supabase::FailureSet;

/// Its tool must not be called again under one key. It forgets the keys that it has seen, and does it again.
const UNREPEATABLE: &str = "cfo_strategy";

/// Events share sessions, in which they have an order.
const EVENTS_A_SESSION: usize = 20;

/// How many of them a call records.
const EVENTS_A_CALL: usize = 5;

/// How often all routers are killed. Each time their calls keep their places until their leases have run out.
const KILLS: usize = 2;

/// So many runs of the router at once.
const ROUNDS: usize = 4;

/// Nobody has to ask more often.
const MOST_TRIES: u32 = 40;

/// Longer than any lease and any pause: where nothing goes on for so long, something is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let org_id = ground.person(0).user.org_id;
    ground.stack.register_agent(org_id, UNREPEATABLE, "CFO").await?;
    let mut called = Vec::new();
    for (id, idempotent) in [(OTHER_AGENT, true), (UNREPEATABLE, false)] {
        let agent = ground.stack.agents().agent(id).context("there is no such agent")?;
        agent.forget_keys(!idempotent);
        let tool = json!({ "idempotent": idempotent, "policy": "auto" });
        ground.stack.register_agent_tool(org_id, id, tool).await?;
        called.push(Called { agent, idempotent });
    }
    let opened =
        each(count.div_ceil(EVENTS_A_SESSION), AT_ONCE, async |number| open(ground, number).await).await;
    let sessions: Vec<(usize, Value)> = opened.into_iter().collect::<Result<_>>()?;

    let faults: Vec<Vec<FaultId>> = called.iter().map(|one| disturb(one.agent)).collect();
    let chance = ground.trouble_at_supabase(0.2, FailureSet::All).await;
    let calls = count / EVENTS_A_CALL;
    let recording = async {
        let replies = each(calls, AT_ONCE, async |number| {
            let (owner, session) = &sessions[number % sessions.len()];
            let wish = Wish::record(session, events(&mut ground.rng(number)));
            ground.insist(ground.person(*owner), &wish, MOST_TRIES).await.reply
        });
        let recorded = replies.await.iter().filter(|reply| reply.status == Some(201)).count();
        ensure!(recorded == calls, "only {recorded} calls with events were taken");
        settle(ground).await
    };
    let mut kills = Vec::new();
    let left = tokio::select! {
        left = recording => left?,
        Err(error) = kill(ground, &called, count / (KILLS + 2), &mut kills) => return Err(error),
    };
    let recorded = calls * EVENTS_A_CALL;
    ground.calm().await;
    let hits =
        called.iter().zip(faults).flat_map(|(one, faults)| faults.into_iter().map(|id| one.agent.hits(id)));
    let mut figures = vec![
        Figure::some("calls of the agents that went wrong", hits.map(|hits| hits as usize).sum()),
        Figure::some("calls of Supabase that went wrong", chance.occurrences()),
        Figure::some("routers killed", kills.iter().map(|(_, killed)| killed).sum()),
    ];
    figures.extend(queues(ground, &called, recorded, left).await?);
    let kills: Vec<SystemTime> = kills.into_iter().map(|(at, _)| at).collect();
    let gave_up = ground.stack.logs().iter().filter(|line| line.contains("deliver: ")).count();
    figures.extend(calls::figures(ground.stack.database(), &called, &kills, gave_up).await?);
    Ok(figures)
}

/// A session with one of the agents in turn.
async fn open(ground: &Ground, number: usize) -> Result<(usize, Value)> {
    let user = &ground.person(number).user;
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": Uuid::now_v7(),
        "p_agent_id": if number.is_multiple_of(2) { OTHER_AGENT } else { UNREPEATABLE }, "p_channel": "web", "p_metadata": {},
    });
    let (status, answer) = ground.stack.rpc("open_session", arguments).await?;
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

/// A fifth of an agent's calls goes wrong, in all ways there are.
fn disturb(agent: &Agent) -> Vec<FaultId> {
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

/// Kills all routers whenever the agents have got so many more requests, and notes when, and how many processes there were.
async fn kill(
    ground: &Ground,
    called: &[Called<'_>],
    requests: usize,
    kills: &mut Vec<(SystemTime, usize)>,
) -> Result<Infallible> {
    while kills.len() < KILLS {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let so_far: usize = called.iter().map(|one| one.agent.count()).sum();
        if so_far >= requests * (kills.len() + 1) {
            let now = SystemTime::now();
            kills.push((now, ground.stack.lambda().function("route-events")?.kill()));
        }
    }
    std::future::pending().await
}

/// Lets the schedule go on until nothing is under way, or nothing goes on any more; says what is left. A run that could not claim
/// waits for the calls that it has in hand, so others begin meanwhile.
async fn settle(ground: &Ground) -> Result<i64> {
    let lefts = each(ROUNDS, ROUNDS, async |_| settle_by_rounds(ground).await).await;
    lefts.into_iter().try_fold(0, |most, left| Ok(most.max(left?)))
}

async fn settle_by_rounds(ground: &Ground) -> Result<i64> {
    let query = "select count(*) from deliveries where status in ('pending', 'running')";
    let (mut least, mut since) = (i64::MAX, tokio::time::Instant::now());
    loop {
        let left: i64 = sqlx::query_scalar(query).fetch_one(ground.stack.database()).await?;
        if left < least {
            (least, since) = (left, tokio::time::Instant::now());
        }
        if left == 0 || since.elapsed() > PATIENCE {
            return Ok(left);
        }
        // A run that fails is followed by others.
        ground.stack.run_job("route-events").await.ok();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What became of the queues.
async fn queues(ground: &Ground, called: &[Called<'_>], recorded: usize, left: i64) -> Result<Vec<Figure>> {
    let database = ground.stack.database();
    // What finished before an earlier one of its session did.
    let query = "select d.id::text from deliveries as d where exists (
                   select from deliveries as e
                   where e.session_id = d.session_id and e.seq < d.seq and e.finished_at > d.finished_at)";
    let disordered: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    let query = "select event_id::text, status from deliveries";
    let states: HashMap<String, String> =
        sqlx::query_as(query).fetch_all(database).await?.into_iter().collect();
    let of = |wanted: &str| states.values().filter(|status| *status == wanted).count();
    let (done, dead, unknown) = (of("done"), of("dead"), of("unknown"));
    let deeds: HashSet<String> =
        called.iter().flat_map(|one| one.agent.deeds()).map(|deed| deed.key).collect();
    let undone = states.iter().filter(|(key, status)| *status == "done" && !deeds.contains(*key)).count();
    let query =
        "select d.id::text from deliveries as d where d.status in ('dead', 'unknown') and not exists (
                   select from chat_escalations as x where x.delivery_id = d.id)";
    let unasked: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    Ok(vec![
        Figure::exactly("events delivered, given up or unknown", done + dead + unknown, recorded),
        Figure::told("of these, given up", dead),
        Figure::told("of these, unknown", unknown),
        Figure::none("stuck", usize::try_from(left)?),
        Figure::violations("delivered before an earlier one of its session", &disordered),
        Figure::none("delivered, as was told, and without effect", undone),
        Figure::violations("given up or unknown without anybody being asked", &unasked),
    ])
}
