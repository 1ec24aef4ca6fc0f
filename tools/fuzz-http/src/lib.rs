//! Mutated Lambda events on the edge: real events of every door, changed at random, answered in this process by a function with a real
//! route, and by the one that a schedule and a webhook start. Nothing is connected to.
//!
//! Each event is answered, with a response that Lambda takes and problem details where it is refused; its line is written once, with
//! the status that was answered; and nothing panics, not even where the edge would catch it.

mod events;
mod functions;
mod lines;
mod mutation;
mod tally;

use std::{cell::Cell, panic::AssertUnwindSafe, thread};

use anyhow::{Result, anyhow};
use fastrand::Rng;
use lambda_http::{Context, LambdaEvent, lambda_runtime::Config};
use serde_json::Value;
use shared::{
    platform::{config::Environment, http_client::HttpClient, secret::Secret},
    runtime::{self, Endpoint, HttpService, Payload},
};
use tracing_subscriber::layer::SubscriberExt;

pub use tally::{Fault, Tally};

use functions::{Faulty, Reader, Runs};
use lines::Lines;

/// Which events are tried.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What they are made from.
    pub seed: u64,
    /// How many.
    pub events: u64,
    /// The number of the first, to see a fault again by itself.
    pub first: u64,
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Tries the edge.
pub fn fuzz(plan: &Plan) -> Result<Tally> {
    on_all_cores::<Reader>(plan)
}

/// Tries the edge with a function that panics, as a control.
pub fn fuzz_faulty(plan: &Plan) -> Result<Tally> {
    on_all_cores::<Faulty>(plan)
}

fn on_all_cores<F: Endpoint>(plan: &Plan) -> Result<Tally> {
    // Where a panic is from is seen by trying the event by itself.
    std::panic::set_hook(Box::new(|panic| {
        PANICS.set(PANICS.get() + 1);
        eprintln!("{panic}");
    }));
    let cores = thread::available_parallelism()?.get() as u64;
    let tallies = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..cores).map(|core| scope.spawn(move || every::<F>(plan, core, cores))).collect();
        let tallies =
            workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?);
        tallies.collect::<Result<Vec<_>>>()
    })?;
    Ok(tallies.into_iter().fold(Tally::default(), Tally::and))
}

/// Every so manieth event.
fn every<F: Endpoint>(plan: &Plan, from: u64, step: u64) -> Result<Tally> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tracing::subscriber::with_default(subscriber, || {
        let target = Target::<F>::new()?;
        let mut tally = Tally::default();
        for number in (plan.first + from..plan.first + plan.events).step_by(step as usize) {
            let mut rng = Rng::with_seed(plan.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let payload = mutation::payload(&mut rng, &target.events);
            let context = context(&mut rng);
            let before = PANICS.get();
            let answered = std::panic::catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(target.ask(&payload, context, &lines))
            }));
            let outcome = match answered {
                _ if PANICS.get() > before => Err("panicked".to_owned()),
                Ok(outcome) => outcome,
                Err(_) => Err("panicked".to_owned()),
            };
            tally.note(number, outcome, &payload);
        }
        Ok(tally)
    })
}

/// What is tried: a function behind its edge, and one that is woken.
struct Target<F> {
    edge: HttpService<F>,
    secret: Secret,
    events: Vec<Value>,
}

impl<F: Endpoint> Target<F> {
    fn new() -> Result<Self> {
        let environment = Environment::new(|name| events::variable(name).map(str::to_owned));
        let http = HttpClient::new().map_err(|error| anyhow!("{error}"))?;
        let edge = HttpService::new(environment, http)?;
        Ok(Self { edge, secret: Secret::new(events::DATABASE_WEBHOOK_SECRET), events: events::all()? })
    }

    /// Both answers to a payload, or what is wrong with one.
    async fn ask(&self, payload: &[u8], context: Context, lines: &Lines) -> Result<tally::Answer, String> {
        lines.forget();
        let event = LambdaEvent::new(Payload::parse(payload), context.clone());
        let response = self.edge.serve_buffered(event).await;
        let response = serde_json::to_value(&response).map_err(|error| error.to_string())?;
        let answer = tally::Answer::check(&response)?;
        lines.check("request", Some(answer.status))?;

        lines.forget();
        let event = LambdaEvent::new(Payload::parse(payload), context);
        let woken =
            runtime::handle_webhook(&Runs, &self.secret, event).await.map_err(|error| error.to_string())?;
        if woken.get("statusCode").is_some_and(|status| *status != 204) {
            let answer = tally::Answer::check(&woken)?;
            lines.check("request", Some(answer.status))?;
        } else {
            lines.check("run", None)?;
        }
        Ok(answer)
    }
}

/// What the runtime says of an invocation; mostly as it should be.
fn context(rng: &mut Rng) -> Context {
    let mut context = Context::default();
    let odd = [
        "",
        "\n",
        "\u{fc}",
        "a b",
        "Root=;Parent=;Sampled=",
        "Root=1-67891233-abcdef012345678912345678;Sampled=1",
    ];
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64;
    context.request_id = "8f2f3b1a-6f6e-4a59-9a53-0d6c1c6a7f10".to_owned();
    context.deadline = now + 15_000;
    if rng.u8(..) < 32 {
        context.request_id = rng.choice(odd).unwrap_or_default().to_owned();
        context.xray_trace_id = rng.choice(odd).map(str::to_owned);
        context.deadline =
            rng.choice([0, 1, now, now + 1_000_000, u64::MAX / 2, u64::MAX]).unwrap_or_default();
        context.env_config = Config::default().into();
    }
    context
}
