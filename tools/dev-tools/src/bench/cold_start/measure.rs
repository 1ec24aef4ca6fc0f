//! Measures one start of one program.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use uuid::Uuid;

use crate::bench::event::TRACE_ID;
use crate::bench::response::require_success;
use crate::bench::upstream::{Snapshot, covered_time};
use local_stack::LocalStack;
use local_stack::http::LatencyRecorder;
use local_stack::lambda::Process;

/// Number of events that a process receives: the first one, and three while it is warm.
pub const EVENTS: usize = 4;

/// The function that starts another one.
const RECEIVING: &str = "receive-webhook";

/// Longer than the runs take that it starts, since nothing is due.
const STARTED_RUNS: Duration = Duration::from_millis(500);

/// The measurements of one start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Time from the spawn to the first response.
    pub first: Duration,
    /// The part of it that the upstreams took.
    pub upstream: Duration,
    /// Times of the warm calls, without the upstreams' time.
    pub warm: Vec<Duration>,
    /// Peak resident memory in bytes.
    pub peak_memory: u64,
}

impl Start {
    /// Time to the first response without the upstreams' time.
    pub fn own(&self) -> Duration {
        self.first.saturating_sub(self.upstream)
    }
}

/// The stack that the measured programs call.
pub struct Target<'a> {
    pub stack: &'a LocalStack,
    pub webhook_secret: &'a str,
    /// The requests for secrets, if the programs fetch them.
    pub secrets: Option<&'a LatencyRecorder>,
}

/// Starts a new process of a program and sends it these events.
pub async fn start(target: &Target<'_>, program: &str, events: Vec<Bytes>) -> Result<Start> {
    let Target { stack, webhook_secret: _, secrets } = target;
    let mut events = events.into_iter();
    let event = events.next().context("a start needs an event")?;
    let (snapshot, fetched) = (Snapshot::take(stack), secrets.map_or(0, LatencyRecorder::count));
    let mut process = stack.lambda().function(program)?.spawn().await?;
    let first = answer(&mut process, event).await?.duration_since(process.spawned());
    let mut calls = snapshot.calls(stack);
    calls.extend(secrets.map(|secrets| secrets.spans_after(fetched)).unwrap_or_default());
    let upstream = covered_time(calls);

    let mut warm = Vec::new();
    for event in events {
        let (snapshot, started) = (Snapshot::take(stack), Instant::now());
        let took = answer(&mut process, event).await?.duration_since(started);
        warm.push(took.saturating_sub(snapshot.upstream_time(stack)));
    }
    let peak_memory =
        process.peak_memory().context("the system does not report the peak memory of a process")?;
    process.kill().await;
    // The runs that it has started would slow down the next program.
    if program == RECEIVING {
        tokio::time::sleep(STARTED_RUNS).await;
    }
    Ok(Start { first, upstream, warm, peak_memory })
}

/// Sends an event, requires a successful response, and returns its time.
async fn answer(process: &mut Process, event: Bytes) -> Result<Instant> {
    let answer = match process.invoke(&Uuid::new_v4().to_string(), TRACE_ID, event).await {
        Ok(answer) => answer,
        Err(failure) => bail!("{failure:?}"),
    };
    let at = Instant::now();
    require_success(&answer)?;
    Ok(at)
}
