//! `cargo fuzz-http`: fuzzes the HTTP layer with mutated Lambda events.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use http_fuzz::{Plan, fuzz};

fn main() -> Result<()> {
    let mut plan = Plan { seed: fastrand::u64(..), events: 1_000_000, first: 0 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        let value = value.with_context(|| format!("{argument} takes a number"))?;
        match argument.as_str() {
            "--events" => plan.events = value,
            "--seed" => plan.seed = value,
            "--first" => plan.first = value,
            _ => bail!(
                "unknown argument {argument}; usage: cargo fuzz-http [--events NUMBER] [--seed NUMBER] [--first NUMBER]"
            ),
        }
    }
    println!("Seed {}", plan.seed);
    let started = Instant::now();
    let report = fuzz(&plan)?;
    println!("{report}\n{:.0} s", started.elapsed().as_secs_f64());
    ensure!(report.faults.is_empty(), "{} faults", report.faults.len());
    Ok(())
}
