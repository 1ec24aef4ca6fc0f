//! Deliveries to agents while dispatchers get killed, and a fifth of the agents' and Supabase's
//! responses fail.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::calls;
use super::calls::CalledAgent;
use super::env::{CONCURRENCY, OTHER_AGENT, StressEnv, run_concurrently};
use super::measurement::Measurement;
use super::requests::Request;
use local_stack::agents::{Agent, Fault, FaultId};
use local_stack::supabase::FailureSet;

/// Its tool is not idempotent: it ignores idempotency keys and executes a repeated call again.
const NON_IDEMPOTENT_AGENT: &str = "cfo_strategy";

/// Number of events per session, which are delivered in order.
const EVENTS_PER_SESSION: usize = 20;

const EVENTS_PER_REQUEST: usize = 5;

/// Number of times that all dispatchers are killed. Each time the running calls block until their
/// leases expire.
const KILLS: usize = 2;

/// Number of concurrent dispatcher runs.
const CONCURRENT_RUNS: usize = 4;

/// More attempts are never necessary.
const MAX_TRIES: u32 = 40;

/// Longer than any lease and any pause: without progress for so long, a delivery is stuck.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let org_id = env.person(0).user.org_id;
    env.stack.register_agent(org_id, NON_IDEMPOTENT_AGENT, "CFO").await?;
    let mut agents = Vec::new();
    for (id, idempotent) in [(OTHER_AGENT, true), (NON_IDEMPOTENT_AGENT, false)] {
        let agent = env.stack.agents().agent(id).context("the agent does not exist")?;
        agent.ignore_idempotency_keys(!idempotent);
        let tool = json!({ "idempotent": idempotent, "policy": "auto" });
        env.stack.register_agent_tool(org_id, id, tool).await?;
        agents.push(CalledAgent { agent, idempotent });
    }
    let opened = run_concurrently(count.div_ceil(EVENTS_PER_SESSION), CONCURRENCY, async |number| {
        open(env, number).await
    })
    .await;
    let sessions: Vec<(usize, Value)> = opened.into_iter().collect::<Result<_>>()?;

    let faults: Vec<Vec<FaultId>> = agents.iter().map(|one| inject_agent_faults(one.agent)).collect();
    let chance = env.inject_supabase_faults(0.2, FailureSet::All).await;
    let calls = count / EVENTS_PER_REQUEST;
    let recording = async {
        let responses = run_concurrently(calls, CONCURRENCY, async |number| {
            let (owner, session) = &sessions[number % sessions.len()];
            let request = Request::record(session, events(&mut env.rng(number)));
            env.send_with_retries(env.person(*owner), &request, MAX_TRIES).await.response
        });
        let recorded = responses.await.iter().filter(|response| response.status == Some(201)).count();
        ensure!(recorded == calls, "only {recorded} requests with events were accepted");
        drain(env).await
    };
    let mut kills = Vec::new();
    let left = tokio::select! {
        left = recording => left?,
        Err(error) = kill(env, &agents, count / (KILLS + 2), &mut kills) => return Err(error),
    };
    let recorded = calls * EVENTS_PER_REQUEST;
    env.clear_faults().await;
    let hits =
        agents.iter().zip(faults).flat_map(|(one, faults)| faults.into_iter().map(|id| one.agent.hits(id)));
    let mut measurements = vec![
        Measurement::non_zero("failed calls of agents", hits.map(|hits| hits as usize).sum()),
        Measurement::non_zero("failed requests to Supabase", chance.occurrences()),
        Measurement::non_zero("dispatchers killed", kills.iter().map(|(_, killed)| killed).sum()),
    ];
    measurements.extend(queues(env, &agents, recorded, left).await?);
    let kills: Vec<SystemTime> = kills.into_iter().map(|(at, _)| at).collect();
    let lost_results = env.stack.logs().iter().filter(|line| line.contains("deliver: ")).count();
    measurements.extend(calls::measure(env.stack.database(), &agents, &kills, lost_results).await?);
    Ok(measurements)
}

/// Opens a session with one of the agents in turn.
async fn open(env: &StressEnv, number: usize) -> Result<(usize, Value)> {
    let user = &env.person(number).user;
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": Uuid::now_v7(),
        "p_agent_id": if number.is_multiple_of(2) { OTHER_AGENT } else { NON_IDEMPOTENT_AGENT }, "p_channel": "web", "p_metadata": {},
    });
    let (status, answer) = env.stack.rpc("open_session", arguments).await?;
    ensure!(status.is_success(), "open_session answered {status}: {answer}");
    Ok((number, answer["session"].clone()))
}

fn events(rng: &mut fastrand::Rng) -> Value {
    let event = |rng: &mut fastrand::Rng| {
        let data = json!({ "invoice": "42", "amount": rng.u32(1..1000) });
        json!({ "id": Uuid::from_u128(rng.u128(..)), "type": "button_click", "payload": { "action": "check", "data": data } })
    };
    (0..EVENTS_PER_REQUEST).map(|_| event(rng)).collect()
}

/// Makes a fifth of an agent's calls fail, in all ways.
pub fn inject_agent_faults(agent: &Agent) -> Vec<FaultId> {
    let on = Fault::on_calls;
    let ways = [
        on().status(503).header("retry-after", "1"),
        on().status(500),
        on().drop_before(),
        on().drop_after(),
        on().cut(),
        on().html_body(),
        on().delay(Duration::from_millis(700)),
        // Longer than the registered timeout.
        on().delay_response(Duration::from_secs(7)),
    ];
    let share = 0.2 / ways.len() as f64;
    ways.into_iter().map(|fault| agent.add_fault(fault.share(share))).collect()
}

/// Kills all dispatchers each time the agents have received `requests` more requests, and records
/// when and how many.
async fn kill(
    env: &StressEnv,
    agents: &[CalledAgent<'_>],
    requests: usize,
    kills: &mut Vec<(SystemTime, usize)>,
) -> Result<Infallible> {
    while kills.len() < KILLS {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let so_far: usize = agents.iter().map(|one| one.agent.count()).sum();
        if so_far >= requests * (kills.len() + 1) {
            let now = SystemTime::now();
            kills.push((now, env.stack.lambda().function("route-events")?.kill()));
        }
    }
    std::future::pending().await
}

/// Runs the dispatcher until nothing is pending, or there is no progress, and returns the number of
/// pending deliveries. A run that cannot claim waits for its calls, so several runs overlap.
pub async fn drain(env: &StressEnv) -> Result<i64> {
    let remaining =
        run_concurrently(CONCURRENT_RUNS, CONCURRENT_RUNS, async |_| drain_by_runs(env).await).await;
    remaining.into_iter().try_fold(0, |most, left| Ok(most.max(left?)))
}

async fn drain_by_runs(env: &StressEnv) -> Result<i64> {
    let query = "select count(*) from deliveries where status in ('pending', 'running')";
    let (mut fewest, mut since) = (i64::MAX, tokio::time::Instant::now());
    loop {
        let left: i64 = sqlx::query_scalar(query).fetch_one(env.stack.database()).await?;
        if left < fewest {
            (fewest, since) = (left, tokio::time::Instant::now());
        }
        if left == 0 || since.elapsed() > STALL_TIMEOUT {
            return Ok(left);
        }
        // A failed run is followed by others.
        env.stack.run_job("route-events").await.ok();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Measures the final state of the queues.
async fn queues(
    env: &StressEnv,
    agents: &[CalledAgent<'_>],
    recorded: usize,
    left: i64,
) -> Result<Vec<Measurement>> {
    let database = env.stack.database();
    // Deliveries that finished before an earlier one of their session.
    let query = "select d.id::text from deliveries as d where exists (
                   select from deliveries as e
                   where e.session_id = d.session_id and e.seq < d.seq and e.finished_at > d.finished_at)";
    let disordered: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    let query = "select event_id::text, status from deliveries";
    let states: HashMap<String, String> =
        sqlx::query_as(query).fetch_all(database).await?.into_iter().collect();
    let count = |wanted: &str| states.values().filter(|status| *status == wanted).count();
    let (done, dead, unknown) = (count("done"), count("dead"), count("unknown"));
    let actions: HashSet<String> =
        agents.iter().flat_map(|one| one.agent.actions()).map(|action| action.key).collect();
    let without_effect =
        states.iter().filter(|(key, status)| *status == "done" && !actions.contains(*key)).count();
    let query =
        "select d.id::text from deliveries as d where d.status in ('dead', 'unknown') and not exists (
                   select from chat_escalations as x where x.delivery_id = d.id)";
    let without_escalation: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    Ok(vec![
        Measurement::exactly("events delivered, dead or unknown", done + dead + unknown, recorded),
        Measurement::info("of these, dead", dead),
        Measurement::info("of these, unknown", unknown),
        Measurement::zero("stuck", usize::try_from(left)?),
        Measurement::violations("delivered before an earlier one of the session", &disordered),
        Measurement::zero("recorded as delivered, without effect", without_effect),
        Measurement::violations("dead or unknown without an escalation", &without_escalation),
    ])
}
