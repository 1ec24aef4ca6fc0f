//! Kills processes at every step of every write operation: before and after each upstream request,
//! and at random moments.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::StressEnv;
use super::invariants;
use super::measurement::Measurement;
use super::operations::{OPERATIONS, Operation, PreparedOperation};
use local_stack::lambda::Function;

/// An operation whose process was killed.
struct Attempt {
    prepared: PreparedOperation,
    operation: Operation,
    /// The step of the kill; `None` for a random moment.
    step: Option<u32>,
    was_killed: bool,
    /// The acknowledged response.
    acknowledged: Option<Value>,
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let plan = plan(env).await?;
    let mut attempts = Vec::new();
    for number in 0..count {
        let (operation, step) = plan[number % plan.len()];
        attempts.push(attempt(env, number, operation, step).await?);
    }
    env.wait_for_leases().await?;
    env.run_job().await?;

    let killed = attempts.iter().filter(|attempt| attempt.was_killed);
    let occurrences: HashSet<_> =
        killed.filter_map(|attempt| Some((attempt.operation, attempt.step?))).collect();
    let planned: HashSet<_> =
        plan.iter().filter_map(|(operation, step)| Some((*operation, (*step)?))).collect();
    let missed: Vec<String> = planned
        .difference(&occurrences)
        .map(|(operation, step)| format!("{operation:?} at step {step}"))
        .collect();
    let mut measurements = vec![
        Measurement::non_zero(
            "processes killed",
            attempts.iter().filter(|attempt| attempt.was_killed).count(),
        ),
        Measurement::violations(
            "steps of write operations without a kill",
            if count < plan.len() { &[] } else { &missed },
        ),
        Measurement::non_zero(
            "requests that succeeded in spite of a kill",
            attempts.iter().filter(|t| t.acknowledged.is_some()).count(),
        ),
    ];
    // Checked after one maintenance run, before the clients retry.
    measurements.extend(invariants::check_settled(env).await?);

    let mut wrong = Vec::new();
    for attempt in &attempts {
        let outcome = attempt.prepared.finish(env, attempt.acknowledged.as_ref()).await?;
        wrong.extend(
            outcome.map(|what| format!("{:?} at step {:?}: {what}", attempt.operation, attempt.step)),
        );
    }
    measurements
        .push(Measurement::violations("events or changes lost or duplicated after the retries", &wrong));
    env.run_job().await?;
    let violated: Vec<String> = invariants::check(env)
        .await?
        .into_iter()
        .filter(|measurement| !measurement.passed)
        .map(|measurement| format!("{}: {}", measurement.name, measurement.found))
        .collect();
    measurements.push(Measurement::violations("invariants above that are violated then", &violated));
    Ok(measurements)
}

/// Finds the steps of every operation by executing it once. One more entry is for a random moment.
async fn plan(env: &StressEnv) -> Result<Vec<(Operation, Option<u32>)>> {
    let mut plan = Vec::new();
    for (index, operation) in OPERATIONS.into_iter().enumerate() {
        let prepared = PreparedOperation::new(env, operation, usize::MAX - index).await?;
        function_of(env, operation)?.kill();
        env.breakpoint.reset();
        prepared.attempt(env).await?;
        plan.extend((0..env.breakpoint.steps()).map(|step| (operation, Some(step))));
        plan.push((operation, None));
    }
    Ok(plan)
}

fn function_of(env: &StressEnv, operation: Operation) -> Result<Arc<Function>> {
    Ok(env.stack.lambda().function(operation.function())?.clone())
}

async fn attempt(env: &StressEnv, number: usize, operation: Operation, step: Option<u32>) -> Result<Attempt> {
    let prepared = PreparedOperation::new(env, operation, number).await?;
    let function = function_of(env, operation)?;
    // A new process takes the same steps each time.
    function.kill();
    let to_kill = function.clone();
    let (acknowledged, was_killed) = match step {
        Some(step) => {
            env.breakpoint.arm(step, move || _ = to_kill.kill());
            let acknowledged = prepared.attempt(env).await?;
            (acknowledged, env.breakpoint.steps() > step)
        }
        None => {
            env.breakpoint.reset();
            let moment = Duration::from_millis(env.rng(number).u64(..80));
            let killing = tokio::spawn(async move {
                tokio::time::sleep(moment).await;
                to_kill.kill() > 0
            });
            let acknowledged = prepared.attempt(env).await?;
            (acknowledged, killing.await?)
        }
    };
    env.breakpoint.reset();
    Ok(Attempt { prepared, operation, step, was_killed, acknowledged })
}

/// A batch of events with every kind of effect.
pub fn batch(rng: &mut fastrand::Rng) -> Value {
    let mut id = || Uuid::from_u128(rng.u128(..));
    json!([
        { "id": id(), "type": "button_click", "payload": { "action": "approve" } },
        { "id": id(), "type": "hitl_escalation", "payload": { "reason": "Above the limit", "decisions": ["approve"] } },
        { "id": id(), "type": "custom_done", "payload": {} },
    ])
}
