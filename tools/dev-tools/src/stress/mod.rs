//! `cargo soak`: the proving ground. Many requests, faults of all kinds and killed processes; afterwards what callers were told,
//! what stands in the database and what the stand-in for OpenAI saw are compared.
//!
//! A seed fixes what is asked and which faults are drawn. How processes and requests interleave is the machine's own, so a run
//! that failed is repeated with its seed until it fails again, and its history is there to read.

mod approvals;
mod calls;
mod cancels;
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
mod storm;
mod supabase_down;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use env::Ground;
pub use measurement::Figure;

use crate::terminal::TextStyle;
use local_stack::project;

type Outcome<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Figures, and a history for a person to read.
type Told = (Vec<Figure>, String);

/// How something is tried.
#[derive(Clone, Copy)]
enum Run {
    /// In a stack.
    LocalStack(for<'a> fn(&'a Ground, usize) -> Outcome<'a, Vec<Figure>>),
    /// In databases alone, by a seed. Its history comes with the figures, as a text.
    Databases(fn(u64, usize, Size) -> Outcome<'static, Told>),
}

/// One of the things that are tried.
#[derive(Clone, Copy)]
pub struct Trial {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// How much of it a full run tries, and a small one.
    full: usize,
    small: usize,
    run: Run,
}

/// All of them.
pub const TRIALS: &[Trial] = &[
    Trial {
        name: "creations",
        about: "creations, a fifth of all calls upstream going wrong",
        full: 10_000,
        small: 400,
        run: Run::LocalStack(|ground, count| Box::pin(creations::run(ground, count))),
    },
    Trial {
        name: "duplicates",
        about: "idempotency keys, each 30 times at once",
        full: 300,
        small: 8,
        run: Run::LocalStack(|ground, count| Box::pin(duplicates::run(ground, count))),
    },
    Trial {
        name: "decisions",
        about: "escalations, each decided on 8 devices at once",
        full: 2_000,
        small: 40,
        run: Run::LocalStack(|ground, count| Box::pin(decisions::run(ground, count))),
    },
    Trial {
        name: "cancels",
        about: "cancels racing refreshes",
        full: 2_000,
        small: 60,
        run: Run::LocalStack(|ground, count| Box::pin(cancels::run(ground, count))),
    },
    Trial {
        name: "kills",
        about: "SIGKILLs, at every step of all that writes",
        // Some of those at any moment come too late.
        full: 540,
        small: 72,
        run: Run::LocalStack(|ground, count| Box::pin(kills::run(ground, count))),
    },
    Trial {
        name: "expiry",
        about: "idle sessions, expiry racing events",
        full: 5_000,
        small: 150,
        run: Run::LocalStack(|ground, count| Box::pin(expiry::run(ground, count))),
    },
    Trial {
        name: "large",
        about: "sessions on record, of which a twentieth is idle",
        full: 1_000_000,
        small: 20_000,
        run: Run::LocalStack(|ground, count| Box::pin(large::run(ground, count))),
    },
    Trial {
        name: "hostile",
        about: "rows of one hostile member that are due, and others' work",
        full: 33_000,
        small: 2_000,
        run: Run::LocalStack(|ground, count| Box::pin(hostile::run(ground, count))),
    },
    Trial {
        name: "metrics",
        about: "sessions of a year, ten events each, counted",
        full: 1_000_000,
        small: 20_000,
        run: Run::LocalStack(|ground, count| Box::pin(metrics::run(ground, count))),
    },
    Trial {
        name: "events",
        about: "events, a fifth of all calls upstream going wrong",
        full: 20_000,
        small: 400,
        run: Run::LocalStack(|ground, count| Box::pin(events::run(ground, count))),
    },
    Trial {
        name: "deliveries",
        about: "events for agents, a fifth of these and Supabase's answers going wrong, routers killed",
        full: 20_000,
        small: 200,
        run: Run::LocalStack(|ground, count| Box::pin(deliveries::run(ground, count))),
    },
    Trial {
        name: "openai-down",
        about: "requests of all kinds with OpenAI fully down",
        full: 1_000,
        small: 150,
        run: Run::LocalStack(|ground, count| Box::pin(openai_down::run(ground, count))),
    },
    Trial {
        name: "supabase-down",
        about: "requests of all kinds with PostgREST fully down",
        full: 200,
        small: 40,
        run: Run::LocalStack(|ground, count| Box::pin(supabase_down::run(ground, count))),
    },
    Trial {
        name: "approvals",
        about: "histories of approvals, compared with a model of the rules",
        full: 10_000,
        small: 300,
        run: Run::Databases(|seed, count, size| Box::pin(approvals::run(seed, count, size))),
    },
    Trial {
        name: "approvals-mutants",
        about: "rules of approval, each taken out and found by histories",
        full: approvals::RULES,
        small: approvals::FEW_RULES,
        run: Run::Databases(|seed, count, size| Box::pin(approvals::mutants::run(seed, count, size))),
    },
    Trial {
        name: "storm",
        about: "random single calls of all functions over 16 connections",
        full: 200_000,
        small: 4_000,
        run: Run::Databases(|seed, count, size| Box::pin(storm::run(seed, count, size))),
    },
];

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What the figures are promised for.
    Full,
    /// What can be tried at every change.
    Small,
}

/// What one trial found.
pub struct Found {
    /// How many of what it is about.
    pub count: usize,
    /// What was measured, and whether it is as promised.
    pub figures: Vec<Figure>,
    /// How long it took.
    pub took: Duration,
    /// Where its history is: every call and its outcome, a line each.
    pub history: PathBuf,
}

impl Trial {
    /// Tries it in a stack of its own.
    pub async fn run(&self, size: Size, seed: u64) -> Result<Found> {
        self.run_with(if size == Size::Full { self.full } else { self.small }, seed).await
    }

    async fn run_with(&self, count: usize, seed: u64) -> Result<Found> {
        let started = Instant::now();
        let folder = project::root().join("target").join("soak");
        let run = match self.run {
            Run::LocalStack(run) => run,
            Run::Databases(run) => {
                let size = if count >= self.full { Size::Full } else { Size::Small };
                let (figures, told) = run(seed, count, size).await?;
                let history = folder.join(format!("{}-{seed}.txt", self.name));
                std::fs::create_dir_all(&folder)?;
                std::fs::write(&history, told).context("writing the history")?;
                return Ok(Found { count, figures, took: started.elapsed(), history });
            }
        };
        let ground = Ground::start(seed).await?;
        let figures = run(&ground, count).await;
        let history = ground.history.write(&folder, self.name, seed).context("writing the history")?;
        ground.stack.stop().await?;
        let figures = figures.with_context(|| format!("its history is in {}", history.display()))?;
        Ok(Found { count, figures, took: started.elapsed(), history })
    }
}

/// What the command line asks for.
struct Asked {
    size: Size,
    seed: u64,
    only: Option<String>,
    count: Option<usize>,
}

const USAGE: &str = "cargo soak [--small] [--seed NUMBER] [--only TRIAL] [--count NUMBER]";

fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Asked> {
    let mut asked = Asked { size: Size::Full, seed: fastrand::u64(..), only: None, count: None };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--small" => asked.size = Size::Small,
            "--seed" => asked.seed = arguments.next().and_then(|seed| seed.parse().ok()).context(USAGE)?,
            "--count" => asked.count = Some(arguments.next().and_then(|n| n.parse().ok()).context(USAGE)?),
            "--only" => asked.only = Some(arguments.next().context(USAGE)?),
            other => bail!("{other}: not known. {USAGE}"),
        }
    }
    if let Some(only) = &asked.only {
        let names: Vec<_> = TRIALS.iter().map(|trial| trial.name).collect();
        ensure!(names.contains(&only.as_str()), "{only}: no such trial; there are {}", names.join(", "));
    }
    Ok(asked)
}

/// Tries what the command line asks for, prints the table, and fails if a figure is not as promised.
pub async fn run() -> Result<()> {
    let Asked { size, seed, only, count } = asked(std::env::args().skip(1))?;
    let ink = TextStyle::detect();
    println!("{}", ink.dim(format!("Seed {seed}. Building the functions and starting the stack …")));
    println!("\n{}", measurement::heading());
    let mut broken = Vec::new();
    for trial in TRIALS.iter().filter(|trial| only.as_ref().is_none_or(|only| only == trial.name)) {
        let tried = match count {
            Some(count) => trial.run_with(count, seed).await,
            None => trial.run(size, seed).await,
        };
        let found = tried.with_context(|| format!("trying {}", trial.name))?;
        println!("{}", measurement::rows(ink, trial, &found));
        if found.figures.iter().any(|figure| !figure.holds) {
            broken.push(format!(
                "{name} (history in {history}; again with: cargo soak {small}--seed {seed} --only {name})",
                name = trial.name,
                history = found.history.display(),
                small = if size == Size::Small { "--small " } else { "" },
            ));
        }
    }
    ensure!(broken.is_empty(), "not as promised: {}", broken.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use local_stack::*;

    fn of(line: &str) -> Result<Asked> {
        asked(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_says_what_is_tried() {
        let asked = of("--small --seed 7 --only kills").unwrap();
        assert_eq!((asked.size, asked.seed, asked.only.as_deref()), (Size::Small, 7, Some("kills")));
        assert_eq!(of("").unwrap().size, Size::Full);
        assert!(of("--seed").is_err() && of("--only nothing").is_err() && of("--tiny").is_err());
    }
}
