//! The memory of a process while it streams, and after many streams.

use std::time::Duration;

use anyhow::{Context, Result};
use local_stack::lambda::resident_memory;
use local_stack::model::Script;

use super::chat::{Exchange, Organisation};
use super::table::{Amount, Limit, Row};

/// Streams before the first measurement of a process, and before the last.
const FIRST_STREAMS: usize = 10;
const STREAMS: usize = 100;

/// The words of the long answer, and the pause before each: eight seconds.
const WORDS: usize = 4000;
const PACE: Duration = Duration::from_millis(2);

/// Interval at which the memory is read.
const INTERVAL: Duration = Duration::from_millis(20);

/// Limit while a stream is under way.
const MAX_MEMORY: u64 = 12_000_000;

/// Limit after many streams, as a share of the memory after a few.
const MAX_GROWTH_PERCENT: u64 = 105;

/// Measures one process, which handles one stream at a time.
pub async fn measure(organisation: Organisation<'_>) -> Result<Vec<Row>> {
    let user = organisation.open_session().await?;
    let mut process = organisation.spawn().await?;
    let pid = process.pid();
    let read = || resident_memory(pid).context("the system does not report the memory of a process");
    Exchange::run(&mut process, user.create_thread()?, || ()).await?;
    let idle = read()?;

    let words = (0..WORDS).map(|number| format!("word{number} "));
    organisation.stack.model().script(Script::new().deltas(words).pace(PACE));
    let mut streaming = idle;
    {
        let exchange = Exchange::run(&mut process, user.create_thread()?, || ());
        tokio::pin!(exchange);
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                outcome = &mut exchange => break drop(outcome?),
                _ = ticks.tick() => streaming = streaming.max(read()?),
            }
        }
    }

    let mut after_first = idle;
    for number in 1..=STREAMS {
        Exchange::run(&mut process, user.create_thread()?, || ()).await?;
        if number == FIRST_STREAMS {
            after_first = read()?;
        }
    }
    let after_all = read()?;
    process.kill().await;
    Ok(vec![
        Row {
            name: "resident memory during an answer of 4,000 words",
            amount: Amount::Bytes(streaming),
            baseline_name: "idle, after one stream",
            baseline: Amount::Bytes(idle),
            limit: Some(Limit { max: Amount::Bytes(MAX_MEMORY), rule: "≤ 12 MB" }),
        },
        Row {
            name: "resident memory after 100 more streams",
            amount: Amount::Bytes(after_all),
            baseline_name: "after 10 of them",
            baseline: Amount::Bytes(after_first),
            limit: Some(Limit {
                max: Amount::Bytes(after_first * MAX_GROWTH_PERCENT / 100),
                rule: "≤ 1.05 × the baseline",
            }),
        },
    ])
}
