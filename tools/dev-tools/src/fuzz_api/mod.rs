//! `cargo fuzz-api`: Schemathesis generates valid and invalid requests from `docs/openapi.yaml`,
//! and every response must conform to the document. `tools/dev-tools/schemathesis/` has its
//! configuration.
//!
//! First it tests each function systematically at its own URL, where the function itself handles
//! every method. Then it tests the HTTP API at random, and along the links between operations,
//! until the number of requests is reached.

mod env;
mod plan;
mod run;
mod summary;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use plan::Plan;
pub use summary::ResponseCounts;

use crate::terminal::TextStyle;
use env::FuzzEnv;
use local_stack::LocalStack;
use local_stack::toolchain::{Installed, SCHEMATHESIS};
use local_stack::{project, yaml};
use run::Run;

/// The OpenAPI document of the API.
const OPENAPI_DOCUMENT: &str = "docs/openapi.yaml";

/// Runs the plan of the command line and prints the progress.
pub async fn run() -> Result<()> {
    let plan = Plan::read(std::env::args().skip(1))?;
    let (style, started) = (TextStyle::detect(), Instant::now());
    println!("{}", style.bold(format!("Seed {}", plan.seed)));
    println!("{}", style.dim("Building the functions and starting the stack …"));
    let counts = fuzz(&plan, |line| println!("{line}")).await?;
    println!("\n{counts}\n");
    let seconds = started.elapsed().as_secs();
    println!("{}", style.good(format!("{} requests in {seconds} s, no faults found", counts.requests)));
    Ok(())
}

/// Runs the plan in a new stack and returns the counts. A fault is an error with the command that
/// reproduces it.
pub async fn fuzz(plan: &Plan, report_progress: impl Fn(&str)) -> Result<ResponseCounts> {
    let schemathesis = SCHEMATHESIS.install_async().await?;
    let stack = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let explored = explore_on_stack(&stack, &schemathesis, plan, report_progress).await;
    stack.stop().await?;
    explored.with_context(|| format!("seed {}; to reproduce: {}", plan.seed, plan.command()))
}

async fn explore_on_stack(
    stack: &LocalStack,
    schemathesis: &Installed,
    plan: &Plan,
    report_progress: impl Fn(&str),
) -> Result<ResponseCounts> {
    let description = yaml::read(&project::root().join(OPENAPI_DOCUMENT))?;
    let operations = operations(&description);
    ensure!(!operations.is_empty(), "{OPENAPI_DOCUMENT} has no operations");
    let mut counts = ResponseCounts::default();
    for operation in &operations {
        let run = Run::at_function(stack, &operation.id, plan.seed);
        run_once(stack, schemathesis, run, &mut counts, &report_progress).await?;
    }
    for run in 0.. {
        if run > 0 && counts.requests >= plan.requests {
            break;
        }
        let run = Run::at_api(stack, run, plan.seed);
        run_once(stack, schemathesis, run, &mut counts, &report_progress).await?;
    }
    // An operation without both classes of responses was not covered.
    for Operation { label, .. } in &operations {
        for class in [2, 4] {
            ensure!(counts.has(label, class), "{label} never returned {class}xx:\n{counts}");
        }
    }
    Ok(counts)
}

/// Runs Schemathesis once, with users and sessions of its own.
async fn run_once(
    stack: &LocalStack,
    schemathesis: &Installed,
    run: Run,
    counts: &mut ResponseCounts,
    report_progress: &impl Fn(&str),
) -> Result<()> {
    let started = Instant::now();
    let env = FuzzEnv::create(stack).await.with_context(|| format!("preparing {run}"))?;
    let before = stack.lambda().requests();
    run.start(schemathesis, env.folder(), &env.variables(), counts).await?;
    let requests = stack.lambda().requests() - before;
    ensure!(requests > 0, "{run} sent no requests");
    let failures = stack.lambda().failures();
    ensure!(failures.is_empty(), "functions failed during {run}: {failures:?}");
    counts.requests += requests;
    report_progress(&format!("{run}: {requests} requests in {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// An operation of the OpenAPI document.
struct Operation {
    /// The function's name.
    id: String,
    /// Method and path, the label in Schemathesis' report.
    label: String,
}

/// The tested operations. The chat is not part of the HTTP API, streams, and expects a client
/// secret instead of a user's token, so `schemathesis.toml` disables it.
fn operations(description: &Value) -> Vec<Operation> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().filter_map(move |(method, operation)| {
            let label = format!("{} {path}", method.to_uppercase());
            Some(Operation { id: operation["operationId"].as_str()?.to_owned(), label })
        })
    });
    operations.filter(|operation| operation.id != "serve-chatkit").collect()
}
