//! Processes killed at every step of every way to write: before each request upstream and after each, and at any moment.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::Ground;
use super::invariants;
use super::measurement::Figure;
use super::operations::{DEEDS, Deed, Prepared};
use local_stack::lambda::Function;

/// A deed whose process was killed.
struct Tried {
    prepared: Prepared,
    deed: Deed,
    /// Before or after which request; at any moment where none.
    step: Option<u32>,
    was_killed: bool,
    /// What its caller was told was done.
    acknowledged: Option<Value>,
}

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let plan = plan(ground).await?;
    let mut tried = Vec::new();
    for number in 0..count {
        let (deed, step) = plan[number % plan.len()];
        tried.push(attempt(ground, number, deed, step).await?);
    }
    ground.leases_ran_out().await?;
    ground.run_job().await?;

    let killed = tried.iter().filter(|tried| tried.was_killed);
    let occurrences: HashSet<_> = killed.filter_map(|tried| Some((tried.deed, tried.step?))).collect();
    let planned: HashSet<_> = plan.iter().filter_map(|(deed, step)| Some((*deed, (*step)?))).collect();
    let missed: Vec<String> =
        planned.difference(&occurrences).map(|(deed, step)| format!("{deed:?} at step {step}")).collect();
    let mut figures = vec![
        Figure::some("processes killed", tried.iter().filter(|tried| tried.was_killed).count()),
        Figure::violations(
            "of the steps of all that writes, those at which nothing was killed",
            if count < plan.len() { &[] } else { &missed },
        ),
        Figure::some(
            "requests that were done all the same",
            tried.iter().filter(|t| t.acknowledged.is_some()).count(),
        ),
    ];
    // All of it after one run of the scheduler, before anybody asks again.
    figures.extend(invariants::settled(ground).await?);

    let mut wrong = Vec::new();
    for tried in &tried {
        let outcome = tried.prepared.finish(ground, tried.acknowledged.as_ref()).await?;
        wrong.extend(outcome.map(|what| format!("{:?} at step {:?}: {what}", tried.deed, tried.step)));
    }
    figures.push(Figure::violations("events or changes lost or doubled, once all was sent again", &wrong));
    ground.run_job().await?;
    let broken: Vec<String> = invariants::figures(ground)
        .await?
        .into_iter()
        .filter(|figure| !figure.holds)
        .map(|figure| format!("{}: {}", figure.what, figure.found))
        .collect();
    figures.push(Figure::violations("of the rules above, those broken then", &broken));
    Ok(figures)
}

/// Every step of every deed, found by doing each once, and each once at any moment.
async fn plan(ground: &Ground) -> Result<Vec<(Deed, Option<u32>)>> {
    let mut plan = Vec::new();
    for (place, deed) in DEEDS.into_iter().enumerate() {
        let prepared = Prepared::new(ground, deed, usize::MAX - place).await?;
        victim(ground, deed)?.kill();
        ground.breakpoint.count();
        prepared.attempt(ground).await?;
        plan.extend((0..ground.breakpoint.steps()).map(|step| (deed, Some(step))));
        plan.push((deed, None));
    }
    Ok(plan)
}

fn victim(ground: &Ground, deed: Deed) -> Result<Arc<Function>> {
    Ok(ground.stack.lambda().function(deed.function())?.clone())
}

async fn attempt(ground: &Ground, number: usize, deed: Deed, step: Option<u32>) -> Result<Tried> {
    let prepared = Prepared::new(ground, deed, number).await?;
    let victim = victim(ground, deed)?;
    // A fresh process takes the same steps each time.
    victim.kill();
    let doomed = victim.clone();
    let (acknowledged, was_killed) = match step {
        Some(step) => {
            ground.breakpoint.arm(step, move || _ = doomed.kill());
            let acknowledged = prepared.attempt(ground).await?;
            (acknowledged, ground.breakpoint.steps() > step)
        }
        None => {
            ground.breakpoint.count();
            let moment = Duration::from_millis(ground.rng(number).u64(..80));
            let killing = tokio::spawn(async move {
                tokio::time::sleep(moment).await;
                doomed.kill() > 0
            });
            let acknowledged = prepared.attempt(ground).await?;
            (acknowledged, killing.await?)
        }
    };
    ground.breakpoint.count();
    Ok(Tried { prepared, deed, step, was_killed, acknowledged })
}

/// Events of a call: one of each that leaves something behind.
pub fn batch(rng: &mut fastrand::Rng) -> Value {
    let mut id = || Uuid::from_u128(rng.u128(..));
    json!([
        { "id": id(), "type": "button_click", "payload": { "action": "approve" } },
        { "id": id(), "type": "hitl_escalation", "payload": { "reason": "Above the limit", "decisions": ["approve"] } },
        { "id": id(), "type": "custom_done", "payload": {} },
    ])
}
