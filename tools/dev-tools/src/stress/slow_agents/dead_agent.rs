//! The agent of one session never answers. Turns of the chat wait for it, and so does the session's
//! queue of deliveries.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use local_stack::agents::{Agent, Fault};

use super::page::Page;
use super::work::{Worker, ratios, time};
use super::{CHAT_AGENT, DEAD_AGENT, People};
use crate::stress::deliveries;
use crate::stress::env::{AGENT, StressEnv};
use crate::stress::measurement::Measurement;

/// Answers that wait for the agent.
const TURNS: usize = 3;

/// Events of the same session for the agent. The first one is called, the others are queued.
const EVENTS: usize = 20;

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Time in which the agent must have received all calls.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);

pub async fn measure(env: &StressEnv, people: &People, rounds: usize) -> Result<Vec<Measurement>> {
    let victim = Page::open(env, env.person(0), DEAD_AGENT).await?;
    let workers = [
        Worker {
            page: Page::open(env, env.person(0), CHAT_AGENT).await?,
            question: "Call",
            turn: "dead agent: turn with a call, same user, ratio",
            delivery: Some("dead agent: delivery, same user, ratio"),
        },
        Worker {
            page: Page::open(env, env.person(1), CHAT_AGENT).await?,
            question: "Call",
            turn: "dead agent: turn with a call, same organisation, ratio",
            delivery: Some("dead agent: delivery, same organisation, ratio"),
        },
        Worker {
            page: Page::open(env, &people.foreigner, CHAT_AGENT).await?,
            question: "Call",
            turn: "dead agent: turn with a call, other organisation, ratio",
            delivery: Some("dead agent: delivery, other organisation, ratio"),
        },
        Worker {
            page: Page::open(env, env.person(2), DEAD_AGENT).await?,
            question: "Say",
            turn: "dead agent: turn without a call, same agent, ratio",
            delivery: None,
        },
    ];
    // The first request of a process takes longer.
    time(&workers, 1).await?;
    let without = time(&workers, rounds).await?;

    let agent = env.stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.add_fault(Fault::on_calls().delay(NEVER));
    let waiting = async {
        victim.click(EVENTS).await?;
        let questions: Vec<String> =
            (0..TURNS).map(|number| format!("Call {number} of the dead agent")).collect();
        try_join_all(questions.iter().map(|question| victim.ask(question))).await
    };
    let working = async {
        until_called(agent, TURNS + 1).await?;
        let with = time(&workers, rounds).await?;
        let states = states(env, &victim).await?;
        anyhow::Ok((with, states))
    };
    let (with, (running, pending)) = tokio::select! {
        ended = waiting => bail!("the dead agent has answered: {:?}", ended.map(|turns| turns.len())),
        worked = working => worked?,
    };
    recover(env, agent).await?;

    let count = |what: &str| count(env, &victim, what.to_owned());
    let unknown = count("status = 'unknown' and error = 'lease_over'").await?;
    let done = count("status = 'done'").await?;
    let mut measurements = vec![
        Measurement::exactly("dead agent: calls that wait during the work", running, TURNS + 1),
        Measurement::exactly("dead agent: deliveries that wait behind them", pending, EVENTS - 1),
    ];
    measurements.extend(ratios(without, with));
    measurements.push(Measurement::exactly("dead agent: calls with an unknown outcome", unknown, TURNS + 1));
    measurements.push(Measurement::exactly(
        "dead agent: later deliveries that it executes",
        done,
        EVENTS - 1,
    ));
    Ok(measurements)
}

/// Waits until an agent has received calls.
async fn until_called(agent: &Agent, calls: usize) -> Result<()> {
    let started = Instant::now();
    while agent.calls().len() < calls {
        ensure!(started.elapsed() < BEGIN_TIMEOUT, "the dead agent has {} calls", agent.calls().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The numbers of running and of pending deliveries.
async fn states(env: &StressEnv, page: &Page<'_>) -> Result<(usize, usize)> {
    let running = count(env, page, "status = 'running'".to_owned()).await?;
    Ok((running, count(env, page, "status = 'pending'".to_owned()).await?))
}

async fn count(env: &StressEnv, page: &Page<'_>, condition: String) -> Result<usize> {
    let query = format!("select count(*) from deliveries where session_id = $1 and {condition}");
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(page.session_id()?);
    let count: i64 = count.fetch_one(env.stack.database()).await?;
    Ok(usize::try_from(count)?)
}

/// Kills the processes that wait for the agent, lets their leases expire, and lets the agent answer
/// again.
async fn recover(env: &StressEnv, agent: &Agent) -> Result<()> {
    for function in ["serve-chatkit", "route-events"] {
        env.stack.lambda().function(function)?.kill();
    }
    agent.clear_faults();
    for statement in [
        "update chat_runs set lease_until = clock_timestamp() where status = 'running'",
        "update deliveries set lease_until = clock_timestamp() where status = 'running'",
    ] {
        sqlx::query(statement).execute(env.stack.database()).await?;
    }
    env.run_job().await?;
    let left = deliveries::drain(env).await?;
    ensure!(left == 0, "{left} deliveries are stuck");
    Ok(())
}
