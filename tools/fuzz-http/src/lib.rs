//! Fuzzes the HTTP layer with mutated Lambda events: real events of every entry point, changed at
//! random. A function with a real route and a webhook handler process them in this process, without
//! network access.
//!
//! Each event must produce a valid Lambda response, with problem details if it is rejected, and
//! exactly one log line with the same status. Nothing may panic, even where the runtime would catch
//! it.

mod events;
mod functions;
mod log_lines;
mod mutation;
mod report;

use std::{cell::Cell, panic::AssertUnwindSafe, thread};

use anyhow::{Result, anyhow};
use fastrand::Rng;
use lambda_http::{Context, LambdaEvent, lambda_runtime::Config};
use serde_json::Value;
use shared::{
    platform::{config::Environment, http_client::HttpClient},
    runtime::{Endpoint, HttpService, Payload, WebhookService},
};
use tracing_subscriber::layer::SubscriberExt;

pub use report::{Fault, FuzzReport};

use functions::{EmptyWebhook, PanickingEndpoint, ReadAllEndpoint};
use log_lines::LogLines;

/// The plan of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub events: u64,
    /// Number of the first event, to repeat a fault.
    pub first: u64,
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

pub fn fuzz(plan: &Plan) -> Result<FuzzReport> {
    run_on_all_cores::<ReadAllEndpoint>(plan)
}

/// Fuzzes an endpoint that panics, to verify that faults are detected.
pub fn fuzz_panicking_endpoint(plan: &Plan) -> Result<FuzzReport> {
    run_on_all_cores::<PanickingEndpoint>(plan)
}

fn run_on_all_cores<F: Endpoint>(plan: &Plan) -> Result<FuzzReport> {
    // Repeat a single event to find the origin of a panic.
    std::panic::set_hook(Box::new(|panic| {
        PANICS.set(PANICS.get() + 1);
        eprintln!("{panic}");
    }));
    let cores = thread::available_parallelism()?.get() as u64;
    let reports = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..cores).map(|core| scope.spawn(move || run_share::<F>(plan, core, cores))).collect();
        let reports =
            workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?);
        reports.collect::<Result<Vec<_>>>()
    })?;
    Ok(reports.into_iter().fold(FuzzReport::default(), FuzzReport::merge))
}

/// Runs every `step`th event.
fn run_share<F: Endpoint>(plan: &Plan, from: u64, step: u64) -> Result<FuzzReport> {
    let log_lines = LogLines::default();
    let subscriber = tracing_subscriber::registry().with(log_lines.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tracing::subscriber::with_default(subscriber, || {
        let target = FuzzTarget::<F>::new()?;
        let mut report = FuzzReport::default();
        for number in (plan.first + from..plan.first + plan.events).step_by(step as usize) {
            let mut rng = Rng::with_seed(plan.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let payload = mutation::payload(&mut rng, &target.events);
            let context = context(&mut rng);
            let before = PANICS.get();
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(target.send(&payload, context, &log_lines))
            }));
            let outcome = match outcome {
                _ if PANICS.get() > before => Err("panicked".to_owned()),
                Ok(outcome) => outcome,
                Err(_) => Err("panicked".to_owned()),
            };
            report.record(number, outcome, &payload);
        }
        Ok(report)
    })
}

/// An endpoint with its HTTP service, and a webhook handler.
struct FuzzTarget<F> {
    service: HttpService<F>,
    webhook: WebhookService<EmptyWebhook>,
    events: Vec<Value>,
}

impl<F: Endpoint> FuzzTarget<F> {
    fn new() -> Result<Self> {
        let environment = || Environment::new(|name| events::variable(name).map(str::to_owned));
        let http = HttpClient::new().map_err(|error| anyhow!("{error}"))?;
        let service = HttpService::new(environment(), http.clone())?;
        let webhook = WebhookService::new(environment(), http)?;
        Ok(Self { service, webhook, events: events::all()? })
    }

    /// Sends a payload to both. Returns the response, or a violated rule.
    async fn send(
        &self,
        payload: &[u8],
        context: Context,
        log_lines: &LogLines,
    ) -> Result<report::CheckedResponse, String> {
        log_lines.clear();
        let event = LambdaEvent::new(Payload::parse(payload), context.clone());
        let response = self.service.serve_buffered(event).await;
        let response = serde_json::to_value(&response).map_err(|error| error.to_string())?;
        let answer = report::CheckedResponse::check(&response)?;
        log_lines.check("request", Some(answer.status))?;

        log_lines.clear();
        let event = LambdaEvent::new(Payload::parse(payload), context);
        let response = self.webhook.answer(event).await;
        let response = serde_json::to_value(&response).map_err(|error| error.to_string())?;
        let webhook_answer = report::CheckedResponse::check(&response)?;
        log_lines.check("request", Some(webhook_answer.status))?;
        Ok(answer)
    }
}

/// Generates an invocation context, mostly a valid one.
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
