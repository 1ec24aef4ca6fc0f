//! Work that is timed twice, and the ratio of the times.

use std::time::Duration;

use anyhow::Result;

use super::page::Page;
use crate::bench::statistics::{median, milliseconds};
use crate::stress::measurement::Measurement;

/// A page that works, and the names of what is measured there.
pub struct Worker<'a> {
    pub page: Page<'a>,
    /// The first word of its questions: whether the model calls a tool.
    pub question: &'static str,
    pub turn: &'static str,
    /// `None` if its events are not measured.
    pub delivery: Option<&'static str>,
}

/// The times of one kind of work.
pub struct Times {
    pub name: &'static str,
    pub all: Vec<Duration>,
}

/// Lets every worker do its work, one after the other, and times it.
pub async fn time(workers: &[Worker<'_>], rounds: usize) -> Result<Vec<Times>> {
    let mut times = Vec::new();
    for worker in workers {
        let mut turns = Times { name: worker.turn, all: Vec::new() };
        for round in 0..rounds {
            turns.all.push(worker.page.ask(&format!("{} {round}", worker.question)).await?.0);
        }
        times.push(turns);
        if let Some(name) = worker.delivery {
            let mut deliveries = Times { name, all: Vec::new() };
            for _ in 0..rounds {
                deliveries.all.push(worker.page.deliver().await?);
            }
            times.push(deliveries);
        }
    }
    Ok(times)
}

/// Compares the medians of the same work.
pub fn ratios(without: Vec<Times>, with: Vec<Times>) -> Vec<Measurement> {
    let ratio = |(without, with): (Times, Times)| {
        let (before, during) = (median(without.all), median(with.all));
        let ratio = during.as_secs_f64() / before.as_secs_f64();
        Measurement {
            name: with.name,
            found: format!("{ratio:.2} ({} ms, {} ms)", milliseconds(during), milliseconds(before)),
            expected: String::new(),
            passed: true,
        }
    };
    without.into_iter().zip(with).map(ratio).collect()
}
