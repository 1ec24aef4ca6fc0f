//! `cargo stress`: stress tests. They send many requests, inject faults and kill processes. Then
//! they compare the responses, the database, and the requests that the OpenAI fake received.
//!
//! A seed determines the requests and the faults. The interleaving of processes depends on the
//! machine. Repeat a failed run with its seed until it fails again; its request log is in
//! `target/stress`.

mod approvals;
mod calls;
mod cancels;
mod chats;
mod creations;
mod decisions;
mod deliveries;
mod duplicates;
mod env;
mod events;
mod expiry;
mod hostile;
mod invariants;
mod kills;
mod large;
mod log;
mod measurement;
mod metrics;
mod openai_down;
mod operations;
mod requests;
mod rpc;
mod slow_agents;
mod stops;
mod storm;
mod supabase_down;
mod webhook_flood;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use env::StressEnv;
pub use measurement::Measurement;

use crate::terminal::TextStyle;
use local_stack::project;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Measurements, and a report as text.
type Report = (Vec<Measurement>, String);

/// Options of a stress test.
#[derive(Clone, Copy)]
enum Runner {
    LocalStack(for<'a> fn(&'a StressEnv, usize) -> BoxFuture<'a, Vec<Measurement>>),
    /// On databases only, with a seed. It returns a report as text.
    Databases(fn(u64, usize, Size) -> BoxFuture<'static, Report>),
}

#[derive(Clone, Copy)]
pub struct StressTest {
    /// Its name on the command line.
    pub name: &'static str,
    /// Description of the test, shown after its count.
    pub description: &'static str,
    /// Count of a full run and of a small one.
    full: usize,
    small: usize,
    run: Runner,
}

pub const STRESS_TESTS: &[StressTest] = &[
    StressTest {
        name: "creations",
        description: "session creations, a fifth of the upstream requests fail",
        full: 10_000,
        small: 400,
        run: Runner::LocalStack(|env, count| Box::pin(creations::run(env, count))),
    },
    StressTest {
        name: "duplicates",
        description: "idempotency keys, each sent 30 times concurrently",
        full: 300,
        small: 8,
        run: Runner::LocalStack(|env, count| Box::pin(duplicates::run(env, count))),
    },
    StressTest {
        name: "decisions",
        description: "escalations, each decided on 8 devices concurrently",
        full: 2_000,
        small: 40,
        run: Runner::LocalStack(|env, count| Box::pin(decisions::run(env, count))),
    },
    StressTest {
        name: "cancels",
        description: "cancellations concurrent with refreshes",
        full: 2_000,
        small: 60,
        run: Runner::LocalStack(|env, count| Box::pin(cancels::run(env, count))),
    },
    StressTest {
        name: "kills",
        description: "processes killed, at every step of every write",
        // Some kills at a random moment come too late.
        full: 540,
        small: 72,
        run: Runner::LocalStack(|env, count| Box::pin(kills::run(env, count))),
    },
    StressTest {
        name: "expiry",
        description: "idle sessions, expiry concurrent with events",
        full: 5_000,
        small: 150,
        run: Runner::LocalStack(|env, count| Box::pin(expiry::run(env, count))),
    },
    StressTest {
        name: "large",
        description: "sessions, of which a twentieth is idle",
        full: 1_000_000,
        small: 20_000,
        run: Runner::LocalStack(|env, count| Box::pin(large::run(env, count))),
    },
    StressTest {
        name: "hostile",
        description: "due rows of one hostile user, and other users' work",
        full: 33_000,
        small: 2_000,
        run: Runner::LocalStack(|env, count| Box::pin(hostile::run(env, count))),
    },
    StressTest {
        name: "metrics",
        description: "sessions of a year with ten events each, counted",
        full: 1_000_000,
        small: 20_000,
        run: Runner::LocalStack(|env, count| Box::pin(metrics::run(env, count))),
    },
    StressTest {
        name: "events",
        description: "events, a fifth of the upstream requests fail",
        full: 20_000,
        small: 400,
        run: Runner::LocalStack(|env, count| Box::pin(events::run(env, count))),
    },
    StressTest {
        name: "deliveries",
        description: "events for agents, a fifth of the requests fail, dispatchers get killed",
        full: 20_000,
        small: 200,
        run: Runner::LocalStack(|env, count| Box::pin(deliveries::run(env, count))),
    },
    StressTest {
        name: "webhook-flood",
        description: "requests without the secret at the webhook, while events are delivered",
        full: 600_000,
        small: 3_000,
        run: Runner::LocalStack(|env, count| Box::pin(webhook_flood::run(env, count))),
    },
    StressTest {
        name: "openai-down",
        description: "requests of all kinds while OpenAI is down",
        full: 1_000,
        small: 150,
        run: Runner::LocalStack(|env, count| Box::pin(openai_down::run(env, count))),
    },
    StressTest {
        name: "supabase-down",
        description: "requests of all kinds while PostgREST is down",
        full: 200,
        small: 40,
        run: Runner::LocalStack(|env, count| Box::pin(supabase_down::run(env, count))),
    },
    StressTest {
        name: "chats",
        description: "questions, tools, a fifth of all requests fail, answers get killed",
        full: 2_000,
        small: 40,
        run: Runner::LocalStack(|env, count| Box::pin(chats::run(env, count))),
    },
    StressTest {
        name: "stops",
        description: "answers stopped, half of them with their session",
        full: 500,
        small: 10,
        run: Runner::LocalStack(|env, count| Box::pin(stops::run(env, count))),
    },
    StressTest {
        name: "slow-agents",
        description: "held calls, and an agent that never answers, beside other work",
        full: 500,
        small: 12,
        run: Runner::LocalStack(|env, count| Box::pin(slow_agents::run(env, count))),
    },
    StressTest {
        name: "approvals",
        description: "approval histories, compared with a model of the rules",
        full: 10_000,
        small: 300,
        run: Runner::Databases(|seed, count, size| Box::pin(approvals::run(seed, count, size))),
    },
    StressTest {
        name: "approvals-mutants",
        description: "approval rules, each removed and detected by histories",
        full: approvals::RULES,
        small: approvals::FEW_RULES,
        run: Runner::Databases(|seed, count, size| Box::pin(approvals::mutants::run(seed, count, size))),
    },
    StressTest {
        name: "storm",
        description: "random calls of all RPCs over 16 connections",
        full: 200_000,
        small: 4_000,
        run: Runner::Databases(|seed, count, size| Box::pin(storm::run(seed, count, size))),
    },
];

/// The size of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The counts of a full run.
    Full,
    /// Small counts, for every change.
    Small,
}

/// The result of a stress test.
pub struct StressResult {
    pub count: usize,
    /// The measurements, each with its expected value.
    pub measurements: Vec<Measurement>,
    pub took: Duration,
    /// Path of the log: every request and its response, one per line.
    pub log: PathBuf,
}

impl StressTest {
    /// Runs the test on a new stack.
    pub async fn run(&self, size: Size, seed: u64) -> Result<StressResult> {
        self.run_with(if size == Size::Full { self.full } else { self.small }, seed).await
    }

    async fn run_with(&self, count: usize, seed: u64) -> Result<StressResult> {
        let started = Instant::now();
        let folder = project::root().join("target").join("stress");
        let run = match self.run {
            Runner::LocalStack(run) => run,
            Runner::Databases(run) => {
                let size = if count >= self.full { Size::Full } else { Size::Small };
                let (measurements, report) = run(seed, count, size).await?;
                let history = folder.join(format!("{}-{seed}.txt", self.name));
                std::fs::create_dir_all(&folder)?;
                std::fs::write(&history, report).context("writing the log")?;
                return Ok(StressResult { count, measurements, took: started.elapsed(), log: history });
            }
        };
        let env = StressEnv::start(seed).await?;
        let measurements = run(&env, count).await;
        let history = env.history.write(&folder, self.name, seed).context("writing the log")?;
        env.stack.stop().await?;
        let measurements = measurements.with_context(|| format!("the log is in {}", history.display()))?;
        Ok(StressResult { count, measurements, took: started.elapsed(), log: history })
    }
}

/// The arguments of the command line.
struct Args {
    size: Size,
    seed: u64,
    only: Option<String>,
    count: Option<usize>,
}

const USAGE: &str = "cargo stress [--small] [--seed NUMBER] [--only TEST] [--count NUMBER]";

fn test_names() -> String {
    STRESS_TESTS.iter().map(|test| test.name).collect::<Vec<_>>().join(", ")
}

fn parse_args(mut arguments: impl Iterator<Item = String>) -> Result<Args> {
    let mut args = Args { size: Size::Full, seed: fastrand::u64(..), only: None, count: None };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--small" => args.size = Size::Small,
            "--seed" => args.seed = arguments.next().and_then(|seed| seed.parse().ok()).context(USAGE)?,
            "--count" => args.count = Some(arguments.next().and_then(|n| n.parse().ok()).context(USAGE)?),
            "--only" => args.only = Some(arguments.next().context(USAGE)?),
            other => bail!("unknown argument {other}; usage: {USAGE}"),
        }
    }
    if let Some(only) = &args.only {
        let is_known = STRESS_TESTS.iter().any(|test| test.name == only);
        ensure!(is_known, "unknown test {only}; the tests are {}", test_names());
    }
    Ok(args)
}

/// Runs the tests of the command line, prints the table, and fails if a value is not as expected.
pub async fn run() -> Result<()> {
    if std::env::args().skip(1).any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        println!("{USAGE}\n\nTests: {}", test_names());
        return Ok(());
    }
    let Args { size, seed, only, count } = parse_args(std::env::args().skip(1))?;
    let style = TextStyle::detect();
    println!("{}", style.dim(format!("Seed {seed}. Building the functions and starting the stack …")));
    println!("\n{}", measurement::heading());
    let mut failed = Vec::new();
    for test in STRESS_TESTS.iter().filter(|test| only.as_ref().is_none_or(|only| only == test.name)) {
        let result = match count {
            Some(count) => test.run_with(count, seed).await,
            None => test.run(size, seed).await,
        };
        let found = result.with_context(|| format!("running {}", test.name))?;
        println!("{}", measurement::rows(style, test, &found));
        if found.measurements.iter().any(|measurement| !measurement.passed) {
            failed.push(format!(
                "{name} (log: {history}; to repeat: cargo stress {small}--seed {seed} --only {name})",
                name = test.name,
                history = found.log.display(),
                small = if size == Size::Small { "--small " } else { "" },
            ));
        }
    }
    ensure!(failed.is_empty(), "not as expected: {}", failed.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Args> {
        parse_args(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn command_line_is_parsed() {
        let args = of("--small --seed 7 --only kills").unwrap();
        assert_eq!((args.size, args.seed, args.only.as_deref()), (Size::Small, 7, Some("kills")));
        assert_eq!(of("").unwrap().size, Size::Full);
        assert!(of("--seed").is_err() && of("--only nothing").is_err() && of("--tiny").is_err());
    }
}
