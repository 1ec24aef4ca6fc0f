//! `cargo bench-cold-start`: measures the cold start of each function, next to a minimal function.
//!
//! Functions with their secrets in the configuration and functions that fetch them at start are
//! measured one after the other, each beside a minimal function of its own. Every run starts each
//! program again, so that other load on the machine affects all programs equally. The time of the
//! upstreams is subtracted, because they are fakes here.

mod measure;
mod runtime_secrets;
mod sample;
mod size;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::BUILDING;
use crate::terminal::TextStyle;
use local_stack::LocalStack;
use local_stack::lambda;
use local_stack::lambda::{Binaries, Profile};
use measure::{Start, Target};
use runtime_secrets::FetchingStack;
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

/// Functions that prepare the requests of others, and the one that `receive-webhook` starts.
const PREPARING: [&str; 4] = ["create-session", "get-session", "record-events", "route-events"];

/// The arguments: the number of runs, and the names of functions. Without names, all functions are
/// measured.
struct Options {
    runs: usize,
    functions: BTreeSet<String>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>, known: &[String]) -> Result<Self> {
        let mut options = Self { runs: DEFAULT_RUNS, functions: BTreeSet::new() };
        for argument in arguments {
            if let Ok(runs) = argument.parse() {
                options.runs = runs;
            } else if known.contains(&argument) {
                options.functions.insert(argument);
            } else {
                bail!("{argument} is neither a number of runs nor a measured function");
            }
        }
        ensure!(options.runs >= MIN_RUNS, "{} runs are too few: at least {MIN_RUNS}", options.runs);
        if options.functions.is_empty() {
            options.functions.extend(known.iter().cloned());
        }
        Ok(options)
    }
}

/// Measures, prints the table, and fails if a function exceeds a limit.
pub async fn run() -> Result<()> {
    let mut known = lambda::workspace().await?.functions.clone();
    known.retain(|name| !EXCLUDED.contains(&name.as_str()));
    let Options { runs, functions } = Options::parse(std::env::args().skip(1), &known)?;
    let style = TextStyle::detect();
    println!("{}", style.dim(BUILDING));
    let hello = lambda::example("baseline-functions", "hello", "", Profile::Release).await?;
    let built: BTreeSet<&str> = functions.iter().map(String::as_str).chain(PREPARING).collect();
    let mut programs = lambda::selected_functions(built.clone(), Profile::Release).await?;
    programs.insert(HELLO.to_owned(), hello);
    let mut fetching_programs = lambda::functions_for_runtime_secrets(built).await?;
    fetching_programs.insert(HELLO.to_owned(), programs[HELLO].clone());

    let configured = measure_configured(programs, &functions, runs).await?;
    println!("\n{}", table::text("Secrets in the configuration", &configured, runs));
    let fetching = measure_fetching(fetching_programs, &functions, runs).await?;
    println!("\n{}", table::text("Secrets at run time (no limits)", &fetching, runs));
    println!("\n{}", table::legend(style));
    let exceeded: Vec<String> = configured.iter().flat_map(|row| row.exceeded_limits(&configured)).collect();
    if exceeded.is_empty() { Ok(()) } else { bail!("limits exceeded: {}", exceeded.join("; ")) }
}

/// Measures functions with their secrets in the environment.
async fn measure_configured(
    programs: Binaries,
    functions: &BTreeSet<String>,
    runs: usize,
) -> Result<Vec<Row>> {
    let stack =
        LocalStack::builder().binaries(programs.clone()).env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let webhook_secret = &stack.environment().all_variables()["DATABASE_WEBHOOK_SECRET"];
    let target = Target { stack: &stack, webhook_secret, secrets: None };
    let rows = measure(&target, programs, functions, runs).await?;
    stack.stop().await?;
    Ok(rows)
}

/// Measures functions that fetch their secrets at start.
async fn measure_fetching(programs: Binaries, functions: &BTreeSet<String>, runs: usize) -> Result<Vec<Row>> {
    let FetchingStack { stack, webhook_secret, secrets } = FetchingStack::start(programs.clone()).await?;
    let target = Target { stack: &stack, webhook_secret: &webhook_secret, secrets: Some(secrets.latency()) };
    let rows = measure(&target, programs, functions, runs).await?;
    stack.stop().await?;
    Ok(rows)
}

/// Measures the minimal function and these functions on a stack.
async fn measure(
    target: &Target<'_>,
    mut programs: Binaries,
    functions: &BTreeSet<String>,
    runs: usize,
) -> Result<Vec<Row>> {
    // Runs that the database starts would count as the time of an upstream.
    target.stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
    programs.retain(|name, _| name == HELLO || functions.contains(name));
    let samples = Samples::prepare(target.stack, target.webhook_secret).await?;
    let mut starts: BTreeMap<&str, Vec<Start>> = BTreeMap::new();
    for run in 0..=runs {
        // The requests that prepare an event would disturb the start that follows them.
        let mut events = BTreeMap::new();
        for program in programs.keys() {
            events.insert(program.as_str(), samples.events(program, measure::EVENTS).await?);
        }
        for (program, events) in events {
            let start = measure::start(target, program, events).await;
            let start = start.with_context(|| format!("measuring {program}"))?;
            if run > 0 {
                starts.entry(program).or_default().push(start);
            }
        }
    }
    let mut rows = Vec::new();
    for (program, path) in &programs {
        let starts = starts.get(program.as_str()).context("a program was not started")?;
        rows.push(Row::new(program, starts, Size::measure(path)?));
    }
    rows.sort_by(|a, b| (a.name != HELLO, &a.name).cmp(&(b.name != HELLO, &b.name)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_runs_and_names_of_functions() {
        let known = ["create-session".to_owned(), "serve-chatkit".to_owned()];
        let parse = |arguments: &[&str]| {
            let options = Options::parse(arguments.iter().map(|text| (*text).to_owned()), &known)?;
            Ok::<_, anyhow::Error>((options.runs, options.functions.into_iter().collect::<Vec<_>>()))
        };
        assert_eq!(parse(&[]).unwrap(), (DEFAULT_RUNS, known.to_vec()));
        let chat = vec!["serve-chatkit".to_owned()];
        assert_eq!(parse(&["31", "serve-chatkit"]).unwrap(), (31, chat));
        assert!(parse(&["14"]).is_err());
        assert!(parse(&["doctor"]).is_err());
    }
}
