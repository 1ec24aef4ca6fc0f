//! A turn with one call of a tool, compared with a turn without a call.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use local_stack::agents::{Agent, TOOL};
use local_stack::lambda::Process;
use local_stack::model::Script;
use serde_json::json;

use super::chat::{ChatUser, Exchange, Organisation};
use super::table::{Amount, Limit, Row};
use crate::bench::statistics::median;
use crate::bench::upstream::{Snapshot, covered_time};

/// The agent that has the tool. It does not ask, hand over, or request other calls.
const AGENT: &str = "tax_compliance";

/// Number of measured turns of each kind.
const TURNS: usize = 101;

/// A call is stored and leased, its result is recorded, and what was sent before it is saved.
const CALLS_OF_A_TOOL: usize = 3;

/// Limit of the function's own time, as a multiple of a turn without a call.
const MAX_OWN: u32 = 5;

/// One turn.
struct Sample {
    /// The time in which neither the model nor the database nor the agent was working.
    own: Duration,
    database_calls: usize,
}

/// Measures both kinds of turns in turns, each in a new thread.
pub async fn measure(organisation: Organisation<'_>) -> Result<Vec<Row>> {
    let stack = organisation.stack;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    organisation.register_tool(agent).await?;
    let user = organisation.open_session().await?;
    let mut process = organisation.spawn().await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..=TURNS {
        let plain = turn(stack, agent, &mut process, &user).await?;
        let inputs = json!({ "invoice": number.to_string(), "amount": 119 });
        stack.model().script(Script::new().function_call(TOOL, &inputs));
        let calling = turn(stack, agent, &mut process, &user).await?;
        // The first turns load the keys, and open the connections.
        if number > 0 {
            without.push(plain);
            with.push(calling);
        }
    }
    process.kill().await;
    anyhow::ensure!(agent.calls().len() == TURNS + 1, "the agent has {} calls", agent.calls().len());

    let own = |samples: &[Sample]| median(samples.iter().map(|sample| sample.own).collect());
    let (own_without, own_with) = (own(&without), own(&with));
    let (calls_without, calls_with) = (database_calls(&without), database_calls(&with));
    Ok(vec![
        Row {
            name: "turn with one call, without the others' time, p50",
            amount: Amount::Time(own_with),
            baseline_name: "turn without a call, p50",
            baseline: Amount::Time(own_without),
            limit: Some(Limit { max: Amount::Time(own_without * MAX_OWN), rule: "≤ 5 × the baseline" }),
        },
        Row {
            name: "database calls of a turn with one call, p50",
            amount: Amount::Count(calls_with),
            baseline_name: "turn without a call, p50",
            baseline: Amount::Count(calls_without),
            limit: Some(Limit {
                max: Amount::Count(calls_without + CALLS_OF_A_TOOL),
                rule: "≤ the baseline + 3",
            }),
        },
    ])
}

async fn turn(stack: &LocalStack, agent: &Agent, process: &mut Process, user: &ChatUser) -> Result<Sample> {
    stack.model().script(Script::new().text("Yes, it is paid."));
    let event = user.create_thread()?;
    let earlier = agent.latency().count();
    let (snapshot, started) = (Snapshot::take(stack), Instant::now());
    Exchange::run(process, event, || ()).await?;
    let whole = started.elapsed();
    let database_calls = snapshot.database_calls(stack);
    let count = database_calls.len();
    let agent_calls = agent.latency().spans_after(earlier);
    let spans = [database_calls, snapshot.model_calls(stack), agent_calls].concat();
    Ok(Sample { own: whole.saturating_sub(covered_time(spans)), database_calls: count })
}

fn database_calls(samples: &[Sample]) -> usize {
    let mut counts: Vec<usize> = samples.iter().map(|sample| sample.database_calls).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or_default()
}
