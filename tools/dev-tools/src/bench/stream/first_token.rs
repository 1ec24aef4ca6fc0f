//! The time to the first token in a running process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use local_stack::model::{Delta, Gate, Script};

use super::chat::{Exchange, Organisation};
use super::table::{Amount, Limit, Row};
use crate::bench::statistics::median;
use crate::bench::upstream::{Snapshot, covered_time};

/// Turns in the thread before the measurement: two items each.
const EARLIER_TURNS: usize = 10;

const TURNS: usize = 101;

/// Limit of the time beside one database call.
const MAX_OWN: Duration = Duration::from_millis(3);

/// The times from a request to its first token.
struct Sample {
    whole: Duration,
    /// The time in which the model was answering.
    model: Duration,
    /// The longest database call.
    database_call: Duration,
    /// The time in which neither the model nor the database was answering.
    own: Duration,
}

/// Measures questions in one thread.
pub async fn measure(organisation: Organisation<'_>) -> Result<Vec<Row>> {
    let user = organisation.open_session().await?;
    let mut process = organisation.spawn().await?;
    let created = Exchange::run(&mut process, user.create_thread()?, || ()).await?;
    let thread_id = created.thread_id()?;
    for _ in 1..EARLIER_TURNS {
        Exchange::run(&mut process, user.add_message(&thread_id)?, || ()).await?;
    }

    let stack = organisation.stack;
    let mut samples = Vec::new();
    for _ in 0..TURNS {
        let gate = Gate::new();
        // While the model waits, its time ends with the first token.
        let deltas = [Delta::from("Yes, "), Delta::Wait(gate.clone()), Delta::from("it is paid.")];
        stack.model().script(Script::new().deltas(deltas));
        let event = user.add_message(&thread_id)?;
        let (snapshot, started) = (Snapshot::take(stack), Instant::now());
        let mut sample = None;
        Exchange::run(&mut process, event, || {
            sample = Some(Sample::take(started.elapsed(), &snapshot, stack));
            gate.open();
        })
        .await?;
        samples.push(sample.context("the answer has no text")?);
    }
    process.kill().await;

    let over = |part: fn(&Sample) -> Duration| median(samples.iter().map(part).collect());
    let database_call = over(|sample| sample.database_call);
    // The differences are paired: load on the machine lengthens both times of a sample.
    let excess = over(|sample| sample.whole.saturating_sub(sample.model + sample.database_call));
    Ok(vec![
        Row {
            name: "first token without the model's time, p50",
            amount: Amount::Time(database_call + excess),
            baseline_name: "one database call, p50",
            baseline: Amount::Time(database_call),
            limit: Some(Limit { max: Amount::Time(database_call + MAX_OWN), rule: "≤ the call + 3 ms" }),
        },
        Row {
            name: "first token without model and database, p50",
            amount: Amount::Time(over(|sample| sample.own)),
            baseline_name: "first token, p50",
            baseline: Amount::Time(over(|sample| sample.whole)),
            limit: None,
        },
    ])
}

impl Sample {
    fn take(whole: Duration, snapshot: &Snapshot, stack: &local_stack::LocalStack) -> Self {
        let calls = snapshot.database_calls(stack);
        Self {
            whole,
            model: covered_time(snapshot.model_calls(stack)),
            database_call: calls.iter().map(|(_, took)| *took).max().unwrap_or_default(),
            own: whole.saturating_sub(snapshot.upstream_time(stack)),
        }
    }
}
