//! `cargo bench-cold-start`: measures the cold start of each function, next to a minimal function.
//!
//! Every run starts each program again, so that other load on the machine affects all programs
//! equally. The time of the upstreams is subtracted, because they are fakes here.

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

/// The name of the minimal function in the table.
const HELLO: &str = "hello world";

/// Functions that an operator invokes rarely and whose runs take much longer than their start.
const EXCLUDED: [&str; 2] = ["doctor", "erase-user"];

/// Number of runs by default, and the minimum. One more run precedes them to fill the disk cache.
const DEFAULT_RUNS: usize = 21;
const MIN_RUNS: usize = 15;

/// Measures, prints the table, and fails if a function exceeds a limit.
pub async fn run() -> Result<()> {
    let runs = match std::env::args().nth(1) {
        Some(given) => given.parse().context("the number of runs")?,
        None => DEFAULT_RUNS,
    };
    if runs < MIN_RUNS {
        bail!("{runs} runs are too few: at least {MIN_RUNS}");
    }
    let style = TextStyle::detect();
    println!("{}", style.dim("Building with the release profile; the first build takes some minutes …"));
    let hello = lambda::example("baseline-functions", "hello", "", Profile::Release).await?;
    let mut programs = lambda::functions(Profile::Release).await?;
    programs.retain(|name, _| !EXCLUDED.contains(&name.as_str()));
    programs.insert(HELLO.to_owned(), hello);
    let stack =
        LocalStack::builder().binaries(programs.clone()).env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let rows = measure(&stack, &programs, runs).await?;
    stack.stop().await?;

    println!("\n{}", table::text(style, &rows, runs));
    let exceeded: Vec<String> = rows.iter().flat_map(|row| row.exceeded_limits(&rows)).collect();
    if exceeded.is_empty() { Ok(()) } else { bail!("limits exceeded: {}", exceeded.join("; ")) }
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
        rows.push(Row::new(program, &starts, Size::measure(&programs[program])?));
    }
    rows.sort_by_key(|row| row.name != HELLO);
    Ok(rows)
}
