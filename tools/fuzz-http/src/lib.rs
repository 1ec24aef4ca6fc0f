//! Fuzzes the HTTP layer with mutated Lambda events: real events of every entry point, changed at
//! random. A function with a real route, a webhook handler and a function that streams process them
//! in this process, without network access.
//!
//! Each event must produce a valid Lambda response, with problem details if it is rejected, and
//! exactly one log line with the same status. A stream is read to its end. Nothing may panic, even
//! where the runtime would catch it.

mod chat_events;
mod events;
mod functions;
mod log_lines;
mod mutation;
mod report;

use std::{cell::Cell, panic::AssertUnwindSafe, thread};

use anyhow::{Result, anyhow};
use fastrand::Rng;
use futures_util::StreamExt;
use lambda_http::{
    Context, LambdaEvent,
    lambda_runtime::{Config, StreamResponse},
};
use serde_json::Value;
use shared::{
    platform::{config::Environment, http_client::HttpClient},
    runtime::{Endpoint, HttpService, Payload, StreamingEndpoint, StreamingService, WebhookService},
};
use tracing_subscriber::layer::SubscriberExt;

pub use report::{Fault, FuzzReport};

use functions::{ChatEndpoint, EmptyWebhook, PanickingEndpoint, PanickingStream, ReadAllEndpoint};
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
    run_on_all_cores::<ReadAllEndpoint, ChatEndpoint>(plan)
}

/// Fuzzes an endpoint that panics, to verify that faults are detected.
pub fn fuzz_panicking_endpoint(plan: &Plan) -> Result<FuzzReport> {
    run_on_all_cores::<PanickingEndpoint, ChatEndpoint>(plan)
}

/// Fuzzes an endpoint whose stream panics, to verify that faults are detected.
pub fn fuzz_panicking_stream(plan: &Plan) -> Result<FuzzReport> {
    run_on_all_cores::<ReadAllEndpoint, PanickingStream>(plan)
}

fn run_on_all_cores<F: Endpoint, S: StreamingEndpoint>(plan: &Plan) -> Result<FuzzReport> {
    // Repeat a single event to find the origin of a panic.
    std::panic::set_hook(Box::new(|panic| {
        PANICS.set(PANICS.get() + 1);
        eprintln!("{panic}");
    }));
    let cores = thread::available_parallelism()?.get() as u64;
    let reports = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..cores).map(|core| scope.spawn(move || run_share::<F, S>(plan, core, cores))).collect();
        let reports =
            workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?);
        reports.collect::<Result<Vec<_>>>()
    })?;
    Ok(reports.into_iter().fold(FuzzReport::default(), FuzzReport::merge))
}

/// Runs every `step`th event.
fn run_share<F: Endpoint, S: StreamingEndpoint>(plan: &Plan, from: u64, step: u64) -> Result<FuzzReport> {
    let log_lines = LogLines::default();
    let subscriber = tracing_subscriber::registry().with(log_lines.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tracing::subscriber::with_default(subscriber, || {
        let target = FuzzTarget::<F, S>::new()?;
        let mut report = FuzzReport::default();
        for number in (plan.first + from..plan.first + plan.events).step_by(step as usize) {
            let mut rng = Rng::with_seed(plan.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let is_of_chat = rng.u8(..4) == 0;
            let events = if is_of_chat { &target.chat_events } else { &target.events };
            let payload = mutation::payload(&mut rng, events);
            let context = context(&mut rng);
            let before = PANICS.get();
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    if is_of_chat {
                        target.send_to_chat(&payload, context, &log_lines).await
                    } else {
                        target.send(&payload, context, &log_lines).await
                    }
                })
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

/// An endpoint with its HTTP service, a webhook handler, and an endpoint that streams.
struct FuzzTarget<F, S> {
    service: HttpService<F>,
    webhook: WebhookService<EmptyWebhook>,
    chat: StreamingService<S>,
    events: Vec<Value>,
    chat_events: Vec<Value>,
}

impl<F: Endpoint, S: StreamingEndpoint> FuzzTarget<F, S> {
    fn new() -> Result<Self> {
        let environment = || Environment::new(|name| events::variable(name).map(str::to_owned));
        let http = HttpClient::new().map_err(|error| anyhow!("{error}"))?;
        let service = HttpService::new(environment(), http.clone())?;
        let webhook = WebhookService::new(environment(), http.clone())?;
        let chat = StreamingService::new(environment(), http)?;
        Ok(Self { service, webhook, chat, events: events::all()?, chat_events: chat_events::all() })
    }

    /// Sends a payload to the chat, and reads the whole response. Returns it, or a violated rule.
    async fn send_to_chat(
        &self,
        payload: &[u8],
        context: Context,
        log_lines: &LogLines,
    ) -> Result<report::CheckedResponse, String> {
        log_lines.clear();
        let event = LambdaEvent::new(Payload::parse(payload), context);
        let StreamResponse { metadata_prelude, mut stream } = self.chat.serve_streamed(event).await;
        let mut body = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            body.extend_from_slice(&bytes);
        }
        let answer = report::CheckedResponse::check_streamed(&metadata_prelude, &body)?;
        // The line of a stream is written at its end.
        log_lines.check("request", Some(answer.status))?;
        Ok(answer)
    }

    /// Sends a payload to the endpoint and to the webhook. Returns the response, or a violated rule.
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
