//! A flood of requests without the secret at the webhook's public URL, while events are delivered.
//!
//! The flood and the deliveries share this machine, which they do not on AWS. So the deliveries
//! during the flood are compared with those during the same flood at the receiver of another
//! deployment, which takes as much of the machine. The schedule starts the runs, once in a tenth of
//! a second instead of once a minute. Its runs need the concurrency that a flood must not take.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{OTHER_AGENT, StressEnv};
use super::measurement::Measurement;
use super::requests::Request;
use local_stack::LocalStack;
use local_stack::http;

/// Concurrent requests of the flood.
const SENDERS: usize = 32;

/// Sessions whose events are delivered in turn.
const SESSIONS: usize = 8;

/// Time between two events.
const EVENT_INTERVAL: Duration = Duration::from_millis(40);

/// Time between two runs of the schedule.
const SCHEDULE: Duration = Duration::from_millis(100);

/// At least so many deliveries are measured, even if the flood is short.
const MIN_DELIVERIES: usize = 20;

/// Limit of the ratio of the delays. The machine is busy, so that equal delays differ by chance.
const MAX_RATIO: f64 = 1.5;

/// With fewer deliveries, a ratio of delays is only informative.
const ENOUGH_DELIVERIES: usize = 300;

/// Longest time until an event is delivered.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The flood of one phase.
#[derive(Debug, Default)]
struct Flood {
    rejected: AtomicUsize,
    throttled: AtomicUsize,
    others: AtomicUsize,
    is_over: AtomicBool,
}

impl Flood {
    fn sent(&self) -> usize {
        [&self.rejected, &self.throttled, &self.others]
            .map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum()
    }
}

/// What was measured in one phase.
struct Phase {
    flood: Flood,
    took: Duration,
    /// Delays from the recording of an event to its call, in microseconds, in order.
    delays: Vec<usize>,
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let org_id = env.person(0).user.org_id;
    let tool = json!({ "idempotent": true, "policy": "auto" });
    env.stack.register_agent_tool(org_id, OTHER_AGENT, tool).await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(open(env).await?);
    }
    let webhook = env.stack.webhook().context("the stack has no webhook")?;
    webhook.set_disconnected(true);

    let other = LocalStack::start().await?;
    let quiet = phase(env, &sessions, "", 0, Duration::ZERO).await?;
    let url = env.stack.function_url("receive-webhook");
    let flooded = phase(env, &sessions, &url, count, Duration::ZERO).await?;
    let control = phase(env, &sessions, &other.function_url("receive-webhook"), count, flooded.took).await?;
    other.stop().await?;
    let started = env.stack.lambda().invoke_api().accepted();

    // An event that comes after the flood is delivered at once, without the schedule.
    webhook.set_disconnected(false);
    let woken = deliver(env, &sessions[0]).await?;

    let per_second = |phase: &Phase| (phase.flood.sent() as f64 / phase.took.as_secs_f64()) as usize;
    let percentile = |phase: &Phase, percent: usize| phase.delays[(phase.delays.len() - 1) * percent / 100];
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let ms = |micros: usize| micros / 1000;
    let is_enough = flooded.delays.len() >= ENOUGH_DELIVERIES;
    let ratio = |name, percent| {
        let max = if is_enough { MAX_RATIO } else { f64::INFINITY };
        Measurement::max_ratio(name, percentile(&flooded, percent), percentile(&control, percent), max)
    };
    Ok(vec![
        Measurement::info("requests a second at the webhook", per_second(&flooded)),
        Measurement::info("requests a second at another deployment", per_second(&control)),
        Measurement::non_zero("rejected by the function (401)", load(&flooded.flood.rejected)),
        Measurement::info("rejected by Lambda (429)", load(&flooded.flood.throttled)),
        Measurement::zero("other responses", load(&flooded.flood.others)),
        Measurement::zero("runs started by the flood", started),
        Measurement::info("deliveries measured during the flood", flooded.delays.len()),
        Measurement::info("p50 of their delay in ms", ms(percentile(&flooded, 50))),
        Measurement::info("p99 of their delay in ms", ms(percentile(&flooded, 99))),
        Measurement::info("p50 without a flood", ms(percentile(&quiet, 50))),
        Measurement::info("p99 without a flood", ms(percentile(&quiet, 99))),
        Measurement::info("p50 during a flood at another deployment", ms(percentile(&control, 50))),
        Measurement::info("p99 during a flood at another deployment", ms(percentile(&control, 99))),
        ratio("ratio of p50 to a flood at another deployment", 50),
        ratio("ratio of p99 to a flood at another deployment", 99),
        Measurement::info("delay of the first event after the flood in ms", ms(woken)),
    ])
}

/// Floods a URL with at least `count` requests, for at least `time`, and measures deliveries
/// meanwhile.
async fn phase(
    env: &StressEnv,
    sessions: &[Value],
    url: &str,
    count: usize,
    time: Duration,
) -> Result<Phase> {
    let (flood, is_measured) = (Flood::default(), AtomicBool::new(false));
    let began = Instant::now();
    let flooding = async {
        flood_from_another_thread(url.to_owned(), count, time, &flood).await?;
        flood.is_over.store(true, Ordering::Relaxed);
        anyhow::Ok(began.elapsed())
    };
    let measuring = async {
        let mut delays = Vec::new();
        while !flood.is_over.load(Ordering::Relaxed) || delays.len() < MIN_DELIVERIES {
            delays.push(deliver(env, &sessions[delays.len() % sessions.len()]).await?);
            tokio::time::sleep(EVENT_INTERVAL).await;
        }
        is_measured.store(true, Ordering::Relaxed);
        anyhow::Ok(delays)
    };
    let (took, mut delays, ()) =
        tokio::try_join!(flooding, measuring, start_runs_until(&env.stack, &is_measured))?;
    delays.sort_unstable();
    Ok(Phase { flood, took, delays })
}

/// Starts a run again and again. The last one ends by itself: a killed run would keep its session's
/// lease, and the next phase would wait for it.
async fn start_runs_until(stack: &LocalStack, is_over: &AtomicBool) -> Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        stack.run_job("route-events").await?;
        tokio::time::sleep(SCHEDULE).await;
    }
    Ok(())
}

/// Sends requests without the secret. They have a thread and connections of their own, so that they
/// do not delay the stack's servers in this process.
async fn flood_from_another_thread(url: String, count: usize, time: Duration, flood: &Flood) -> Result<()> {
    let began = Instant::now();
    let (sender, mut statuses) = tokio::sync::mpsc::unbounded_channel();
    let thread = std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = http::separate_client();
            let sent = AtomicUsize::new(0);
            let send = async |_: usize| {
                while sent.fetch_add(1, Ordering::Relaxed) < count || began.elapsed() < time {
                    let request = client.post(&url).header("x-webhook-secret", "a-guess");
                    let status = request.send().await.map(|response| response.status().as_u16());
                    let _ = sender.send(status.unwrap_or_default());
                }
            };
            futures_util::future::join_all((0..SENDERS).map(send)).await;
        });
        Ok(())
    });
    while let Some(status) = statuses.recv().await {
        let counter = match status {
            401 => &flood.rejected,
            429 => &flood.throttled,
            _ => &flood.others,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    thread.join().map_err(|_| anyhow!("the thread of the flood panicked"))?
}

async fn open(env: &StressEnv) -> Result<Value> {
    let user = &env.person(0).user;
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": Uuid::now_v7(),
        "p_agent_id": OTHER_AGENT, "p_channel": "web", "p_metadata": {},
    });
    let (status, answer) = env.stack.rpc("open_session", arguments).await?;
    ensure!(status.is_success(), "open_session answered {status}: {answer}");
    Ok(answer["session"].clone())
}

/// Records an event, and returns the time until its agent is called, in microseconds.
async fn deliver(env: &StressEnv, session: &Value) -> Result<usize> {
    let id = Uuid::new_v4().to_string();
    let data = json!({ "invoice": "42", "amount": 900 });
    let event = json!({ "id": id, "type": "button_click", "payload": { "action": "check", "data": data } });
    let request = Request::record(session, event);
    let agent = env.stack.agents().agent(OTHER_AGENT).context("the agent does not exist")?;
    let before = agent.count();
    let recorded = env.send(env.person(0), &request).await;
    ensure!(recorded.status == Some(201), "the event was not recorded: {recorded:?}");
    let recorded_at = SystemTime::now();
    let began = Instant::now();
    loop {
        let requests = agent.requests_after(before);
        let call = requests.iter().find(|request| request.arguments()["event"]["id"] == id);
        if let Some(call) = call {
            // A run in progress may be faster than the response to the recording.
            return Ok(call.at.duration_since(recorded_at).unwrap_or_default().as_micros() as usize);
        }
        ensure!(began.elapsed() < DELIVERY_TIMEOUT, "the event {id} was not delivered");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
