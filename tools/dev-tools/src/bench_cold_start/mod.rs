//! `cargo cold`: what a cold start costs, function by function, next to the least that a function can be.
//!
//! Every run starts each program afresh, so that what else the machine does hits all of them alike. From the time
//! of a function is taken what its upstreams needed, since they are played here and are somewhere else in earnest.

mod measure;
mod sample;
mod size;
mod table;
mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::terminal::TextStyle;
use local_stack::LocalStack;
use local_stack::lambda;
use local_stack::lambda::Profile;
use measure::Start;
use sample::Samples;
use size::Size;
use table::Row;

/// The name of the yardstick in the table.
const HELLO: &str = "hello world";

/// What an operator invokes once in a while, and waits for much longer than for a start.
const OPERATED: [&str; 2] = ["doctor", "erase-user"];

/// Runs that count, where the command line asks for no other number. One more goes before, for the disk's sake.
const ROUNDS: usize = 21;
const FEWEST_ROUNDS: usize = 15;

/// Measures, prints the table, and fails if a function is over a limit.
pub async fn run() -> Result<()> {
    let runs = match std::env::args().nth(1) {
        Some(given) => given.parse().context("the number of runs")?,
        None => ROUNDS,
    };
    if runs < FEWEST_ROUNDS {
        bail!("{runs} runs say little: at least {FEWEST_ROUNDS}");
    }
    let ink = TextStyle::detect();
    println!("{}", ink.dim("Building as for deployment; the first time takes minutes …"));
    let hello = lambda::example("baseline-functions", "hello", "", Profile::Release).await?;
    let mut programs = lambda::functions(Profile::Release).await?;
    programs.retain(|name, _| !OPERATED.contains(&name.as_str()));
    programs.insert(HELLO.to_owned(), hello);
    let stack =
        LocalStack::builder().binaries(programs.clone()).env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let rows = measured(&stack, &programs, runs).await?;
    stack.stop().await?;

    println!("\n{}", table::text(ink, &rows, runs));
    let over: Vec<String> = rows.iter().flat_map(|row| row.over_limits(&rows)).collect();
    if over.is_empty() { Ok(()) } else { bail!("over the limits: {}", over.join("; ")) }
}

async fn measure(stack: &LocalStack, programs: &BTreeMap<String, PathBuf>, runs: usize) -> Result<Vec<Row>> {
    let samples = Samples::prepare(stack).await?;
    let mut starts: BTreeMap<&String, Vec<Start>> = BTreeMap::new();
    for run in 0..=runs {
        for program in programs.keys() {
            let start = measure::start(stack, &samples, program)
                .await
                .with_context(|| format!("measuring {program}"))?;
            if run > 0 {
                starts.entry(program).or_default().push(start);
            }
        }
    }
    let mut rows = Vec::new();
    for (program, starts) in starts {
        rows.push(Row::of(program, &starts, Size::of(&programs[program])?));
    }
    rows.sort_by_key(|row| row.name != HELLO);
    Ok(rows)
}
