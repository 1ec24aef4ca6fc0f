//! The time from the start of a process to its first token, here and at the reference server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use local_stack::model::Script;

use super::chat::{Exchange, Organisation};
use super::reference::ReferenceServer;
use super::table::{Amount, Limit, Row};
use crate::bench::statistics::median;

/// Number of starts of the reference server. One more start precedes them to fill the disk cache.
const REFERENCE_STARTS: usize = 7;

/// Starts of the function for each start of the reference server.
const STARTS: usize = 5;

/// The reference server may take this many times as long.
const MIN_RATIO: u32 = 50;

/// Measures both servers in turns, with the same question and the same answer of the model.
pub async fn measure(organisation: Organisation<'_>) -> Result<Vec<Row>> {
    let user = organisation.open_session().await?;
    let model = organisation.stack.model();
    model.set_default_answer(|_| Script::new().text("Yes, the invoice is paid."));
    let (mut own, mut reference) = (Vec::new(), Vec::new());
    for run in 0..=REFERENCE_STARTS {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let event = user.create_thread()?;
            let mut process = organisation.spawn().await?;
            let exchange = Exchange::run(&mut process, event, || ()).await?;
            let first_token = exchange.first_token.context("the answer has no text")?;
            times.push(first_token.duration_since(process.spawned()));
            process.kill().await;
        }
        let started = Instant::now();
        let server = ReferenceServer::start(model).await?;
        let time = server.first_token().await?.duration_since(started);
        if run > 0 {
            own.extend(times);
            reference.push(time);
        }
    }
    let reference = median(reference);
    Ok(vec![Row {
        name: "cold start to the first token, median",
        amount: Amount::Time(median(own)),
        baseline_name: "openai-chatkit with uvicorn, median",
        baseline: Amount::Time(reference),
        limit: Some(Limit { max: limit(reference), rule: "≤ 1/50 of the baseline" }),
    }])
}

fn limit(reference: Duration) -> Amount {
    Amount::Time(reference / MIN_RATIO)
}
