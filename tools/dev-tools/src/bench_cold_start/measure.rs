//! One start of one program.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::sample::Samples;
use super::upstream;
use local_stack::LocalStack;
use local_stack::lambda::Process;

/// Answers of a process that is warm, after the first.
const WARM: usize = 3;

/// What one start cost.
#[derive(Clone, Debug)]
pub struct Start {
    /// From the spawn to the first answer.
    pub first: Duration,
    /// Of that, the upstreams' own time.
    pub upstream: Duration,
    /// The answers after the first, less the upstreams' time.
    pub warm: Vec<Duration>,
    /// The most memory that was resident, in bytes.
    pub peak_memory: u64,
}

impl Start {
    /// The function's own time to its first answer.
    pub fn own(&self) -> Duration {
        self.first.saturating_sub(self.upstream)
    }
}

/// Starts a program afresh and has it answer a few times.
pub async fn start(stack: &LocalStack, samples: &Samples, program: &str) -> Result<Start> {
    let event = samples.event(program).await?;
    let mark = upstream::mark(stack);
    let mut process = stack.lambda().function(program)?.spawn().await?;
    let first = answer(&mut process, event).await?.duration_since(process.spawned());
    let upstream = upstream::time_since(stack, &mark);

    let mut warm = Vec::new();
    for _ in 0..WARM {
        let event = samples.event(program).await?;
        let (mark, started) = (upstream::mark(stack), Instant::now());
        let took = answer(&mut process, event).await?.duration_since(started);
        warm.push(took.saturating_sub(upstream::time_since(stack, &mark)));
    }
    let peak_memory =
        process.peak_memory().context("this system does not say how much memory a process had")?;
    process.kill().await;
    Ok(Start { first, upstream, warm, peak_memory })
}

/// Has an event answered, well, and says when the answer came.
async fn answer(process: &mut Process, event: Bytes) -> Result<Instant> {
    let answer = match process.invoke(&Uuid::new_v4().to_string(), "Root=1-0-0", event).await {
        Ok(answer) => answer,
        Err(failure) => bail!("{failure:?}"),
    };
    let at = Instant::now();
    let answer: Value = serde_json::from_slice(&answer).context("an answer that is no JSON")?;
    // The report of a scheduled run has no status: a run that fails is a failure above.
    let status = answer.get("statusCode").map_or(Some(200), Value::as_u64);
    let well = status.is_some_and(|status| (200..300).contains(&status));
    ensure!(well, "it answered {status:?}: {}", answer["body"]);
    Ok(at)
}
