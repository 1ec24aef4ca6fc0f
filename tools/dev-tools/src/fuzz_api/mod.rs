//! `cargo explore`: Schemathesis makes up requests from `docs/openapi.yaml`, well-formed and not, and every answer has to be one
//! that stands there. What it asks and what it is not to mind is in `tools/dev-tools/schemathesis/`.
//!
//! First each function is asked at its own URL, systematically: that is the door where it answers every method itself. Then the
//! HTTP API is asked at random, and along the links from one answer to the next request, until there were enough requests.

mod env;
mod plan;
mod run;
mod summary;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use plan::Plan;
pub use summary::Tally;

use crate::terminal::TextStyle;
use env::Stage;
use local_stack::LocalStack;
use local_stack::toolchain::{Installed, SCHEMATHESIS};
use local_stack::{project, yaml};
use run::Run;

/// The API's description.
const DESCRIPTION: &str = "docs/openapi.yaml";

/// As the command line says, telling what it does.
pub async fn run() -> Result<()> {
    let plan = Plan::read(std::env::args().skip(1))?;
    let (ink, started) = (TextStyle::detect(), Instant::now());
    println!("{}", ink.bold(format!("Seed {}", plan.seed)));
    println!("{}", ink.dim("Building the functions and starting the stack …"));
    let tally = explore(&plan, |line| println!("{line}")).await?;
    println!("\n{tally}\n");
    let seconds = started.elapsed().as_secs();
    println!("{}", ink.good(format!("{} requests in {seconds} s, nothing found", tally.requests)));
    Ok(())
}

/// Asks in a stack of its own, and answers with what was asked. Anything found is an error that says how to see it again.
pub async fn explore(plan: &Plan, tell: impl Fn(&str)) -> Result<Tally> {
    let schemathesis = SCHEMATHESIS.ready().await?;
    let stack = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let explored = explore_in(&stack, &schemathesis, plan, tell).await;
    stack.stop().await?;
    explored.with_context(|| format!("with seed {}; to see it again: {}", plan.seed, plan.command()))
}

async fn explore_in(
    stack: &LocalStack,
    schemathesis: &Installed,
    plan: &Plan,
    tell: impl Fn(&str),
) -> Result<Tally> {
    let description = yaml::read(&project::root().join(DESCRIPTION))?;
    let operations = operations(&description);
    ensure!(!operations.is_empty(), "{DESCRIPTION} has no operations");
    let mut tally = Tally::default();
    for operation in &operations {
        let run = Run::at_function(stack, &operation.id, plan.seed);
        ask(stack, schemathesis, run, &mut tally, &tell).await?;
    }
    for run in 0.. {
        if run > 0 && tally.requests >= plan.requests {
            break;
        }
        let run = Run::at_api(stack, run, plan.seed);
        ask(stack, schemathesis, run, &mut tally, &tell).await?;
    }
    // What was only ever refused, or never, was not explored.
    for Operation { label, .. } in &operations {
        for class in [2, 4] {
            ensure!(tally.has(label, class), "{label} was never answered with {class}xx:\n{tally}");
        }
    }
    Ok(tally)
}

/// One run of Schemathesis, with people and sessions of its own.
async fn ask(
    stack: &LocalStack,
    schemathesis: &Installed,
    run: Run,
    tally: &mut Tally,
    tell: &impl Fn(&str),
) -> Result<()> {
    let started = Instant::now();
    let stage = Stage::set(stack).await.with_context(|| format!("preparing {run}"))?;
    let before = stack.lambda().requests();
    run.start(schemathesis, stage.folder(), &stage.variables(), tally).await?;
    let requests = stack.lambda().requests() - before;
    ensure!(requests > 0, "{run} asked nothing");
    let failures = stack.lambda().failures();
    ensure!(failures.is_empty(), "{run} had functions fail: {failures:?}");
    tally.requests += requests;
    tell(&format!("{run}: {requests} requests in {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// An operation of the description.
struct Operation {
    /// The function's name.
    id: String,
    /// Method and path, as Schemathesis calls it.
    label: String,
}

fn operations(description: &Value) -> Vec<Operation> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().filter_map(move |(method, operation)| {
            let label = format!("{} {path}", method.to_uppercase());
            Some(Operation { id: operation["operationId"].as_str()?.to_owned(), label })
        })
    });
    operations.collect()
}
