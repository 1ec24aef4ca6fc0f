//! Answers are stopped, and sessions cancelled, while the model writes: how long content follows.

use std::time::{Duration, Instant};

use anyhow::Result;
use http_client::{Method, StatusCode};
use local_stack::chat_client::{ChatClient, ChatStream, ThreadView};
use local_stack::model::{Delta, Script};
use serde_json::{Value, json};

use super::chats::{Ledger, Page, register_chat_agent};
use super::env::{Person, StressEnv, run_concurrently};
use super::measurement::Measurement;
use super::requests::Request;

/// Each stop has a process that answers, and one that stops.
const CONCURRENCY: usize = 8;

/// The answer is silent so long after the response to the stop.
const PROMISE: Duration = Duration::from_secs(2);

/// More than this is a fault, even on a busy machine.
const MAX_TIME: Duration = Duration::from_secs(6);

/// With fewer stops, the times are for information only.
const MIN_FOR_TIMES: usize = 100;

/// The outcome of one stop.
#[derive(Default)]
struct Stopped {
    /// From the response to the last event.
    silent_after: Duration,
    is_cancel: bool,
    violations: Vec<String>,
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    register_chat_agent(env).await?;
    // A word each 50 ms, for twenty seconds.
    env.stack.model().set_default_answer(|_| {
        let word = |_| [Delta::from("word "), Delta::Pause(Duration::from_millis(50))];
        Script::new().deltas((0..400).flat_map(word))
    });
    let stopped = run_concurrently(count, CONCURRENCY, async |number| stop(env, number).await).await;
    let stopped: Vec<Stopped> = stopped.into_iter().collect::<Result<_>>()?;

    let query = "select id::text || ' ' || status from chat_runs where status <> 'stopped'";
    let others: Vec<String> = sqlx::query_scalar(query).fetch_all(env.stack.database()).await?;
    let violations: Vec<String> = stopped.iter().flat_map(|one| one.violations.clone()).collect();
    let cancels = stopped.iter().filter(|one| one.is_cancel).count();
    let late = stopped.iter().filter(|one| one.silent_after > PROMISE).count();
    let worst = stopped.iter().map(|one| one.silent_after).max().unwrap_or_default();
    let longest = Measurement {
        name: "longest time from the response to the last event",
        found: format!("{} ms", worst.as_millis()),
        expected: if count < MIN_FOR_TIMES { String::new() } else { format!("≤ {}", MAX_TIME.as_millis()) },
        passed: count < MIN_FOR_TIMES || worst <= MAX_TIME,
    };
    Ok(vec![
        Measurement::exactly("answers stopped", count - cancels, count.div_ceil(2)),
        Measurement::exactly("sessions cancelled", cancels, count / 2),
        longest,
        Measurement::info("later than two seconds", late),
        Measurement::violations("answers that did not end as stopped", &others),
        Measurement::zero("answers that the model still writes", env.stack.model().running()),
        Measurement::violations("other outcomes", &violations),
    ])
}

/// Begins an answer, and stops it or cancels its session at a random moment.
async fn stop(env: &StressEnv, number: usize) -> Result<Stopped> {
    let mut rng = env.rng(number);
    let ledger = Ledger::default();
    let page = Page::open(env, &ledger, number).await?;
    let mut stream = page.chat.create_thread(&format!("Question {number}")).await?;
    stream.until("thread.item.updated").await?;
    let moment = Duration::from_millis(rng.u64(..2500));
    let is_cancel = number % 2 == 1;
    let stopping = async {
        tokio::time::sleep(moment).await;
        let request = if is_cancel { Request::cancel(page.session()) } else { stop_request(page.session()) };
        let response = env.send_with_retries(env.person(number), &request, 9).await.response;
        let at = Instant::now();
        let mut violations = Vec::new();
        if response.status != Some(200) {
            violations.push(format!("{number}: {response:?}"));
        }
        violations.extend(check_secret(&page.chat, is_cancel).await?.map(|what| format!("{number}: {what}")));
        Ok::<_, anyhow::Error>((at, violations))
    };
    let (stopped, read) = tokio::join!(stopping, read_to_end(stream));
    let ((at, mut violations), (last_at, events)) = (stopped?, read?);
    violations.extend(check_view(&events).map(|what| format!("{number}: {what}")));
    Ok(Stopped { silent_after: last_at.saturating_duration_since(at), is_cancel, violations })
}

fn stop_request(session: &Value) -> Request {
    Request { method: Method::POST, path: format!("{}/stop", Person::path(session)), key: None, body: None }
}

/// Reads a stream to its end. Returns the time of its last event.
async fn read_to_end(mut stream: ChatStream) -> Result<(Instant, Vec<Value>)> {
    let mut last_at = Instant::now();
    while stream.next().await?.is_some() {
        last_at = Instant::now();
    }
    Ok((last_at, stream.events().to_vec()))
}

/// The secret of a cancelled session is refused at once, another one is not.
async fn check_secret(chat: &ChatClient, is_cancelled: bool) -> Result<Option<String>> {
    let (status, body) = chat.call("threads.list", json!({})).await?;
    let is_refused = status == StatusCode::UNAUTHORIZED && body["code"] == "client_secret_rejected";
    let is_expected = if is_cancelled { is_refused } else { status == StatusCode::OK };
    Ok((!is_expected).then(|| format!("the secret afterwards: {status} {body}")))
}

/// The text so far is kept, and the answer is marked as stopped.
fn check_view(events: &[Value]) -> Option<String> {
    let view = match ThreadView::from_events(events) {
        Ok(view) => view,
        Err(error) => return Some(format!("{error:#}")),
    };
    let mark = view.items().last().map(|item| &item["task"]["title"]);
    let is_whole = view.errors.is_empty()
        && view.unfinished().is_empty()
        && view.answer().starts_with("word ")
        && mark.is_some_and(|title| *title == "Stopped.");
    (!is_whole).then(|| format!("the page shows {view:?}"))
}
