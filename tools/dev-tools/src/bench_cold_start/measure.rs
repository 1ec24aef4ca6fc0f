//! Measures one start of one program.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::sample::Samples;
use super::upstream;
use local_stack::LocalStack;
use local_stack::lambda::Process;

/// Number of warm calls per process.
const WARM_CALLS: usize = 3;

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

/// Starts a new process of a program and sends it a few events.
pub async fn start(stack: &LocalStack, samples: &Samples, program: &str) -> Result<Start> {
    let event = samples.event(program).await?;
    let snapshot = upstream::snapshot(stack);
    let mut process = stack.lambda().function(program)?.spawn().await?;
    let first = answer(&mut process, event).await?.duration_since(process.spawned());
    let upstream = upstream::time_since(stack, &snapshot);

    let mut warm = Vec::new();
    for _ in 0..WARM_CALLS {
        let event = samples.event(program).await?;
        let (snapshot, started) = (upstream::snapshot(stack), Instant::now());
        let took = answer(&mut process, event).await?.duration_since(started);
        warm.push(took.saturating_sub(upstream::time_since(stack, &snapshot)));
    }
    let peak_memory =
        process.peak_memory().context("the system does not report the peak memory of a process")?;
    process.kill().await;
    Ok(Start { first, upstream, warm, peak_memory })
}

/// Sends an event, requires a successful response, and returns its time.
async fn answer(process: &mut Process, event: Bytes) -> Result<Instant> {
    let answer = match process.invoke(&Uuid::new_v4().to_string(), "Root=1-0-0", event).await {
        Ok(answer) => answer,
        Err(failure) => bail!("{failure:?}"),
    };
    let at = Instant::now();
    let answer: Value = serde_json::from_slice(&answer).context("the response is not JSON")?;
    // A scheduled run returns a report without a status; a failed run is an error above.
    let status = answer.get("statusCode").map_or(Some(200), Value::as_u64);
    let is_success = status.is_some_and(|status| (200..300).contains(&status));
    ensure!(is_success, "expected 2xx, found {status:?}: {}", answer["body"]);
    Ok(at)
}
