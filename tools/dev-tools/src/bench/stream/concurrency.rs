//! 200 streams at once, each in a process and of a user of its own, on one pool of database
//! connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use local_stack::lambda::Process;
use local_stack::model::Script;
use serde_json::json;

use super::chat::{ChatUser, Exchange, Organisation};
use super::table::{Amount, Limit, Row};
use crate::bench::statistics::{median, p99};

const STREAMS: usize = 200;

/// Number of users and processes that are prepared at a time.
const PREPARED_AT_ONCE: usize = 8;

/// The tokens of each answer, and the pause before each: 60 seconds.
const TOKENS: usize = 300;
const PACE: Duration = Duration::from_millis(200);

/// Time in which every stream must have begun.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(40);

/// The measured time, while all streams are under way.
const WINDOW: Duration = Duration::from_secs(15);

/// Turns in the thread whose pages are measured: two items each.
const PAGE_TURNS: usize = 15;

/// Number of pages without streams, and the pause before each page.
const PAGES: usize = 300;
const PAGE_PAUSE: Duration = Duration::from_millis(20);

/// Limit of the database calls of a stream in a second. Each save takes a second or more.
const MAX_CALLS: f64 = 1.05;

/// Measures the database calls of the streams, and pages before and meanwhile.
pub async fn measure(organisation: Organisation<'_>) -> Result<Vec<Row>> {
    let mut pages = Pages::prepare(organisation).await?;
    let mut streams: Vec<(ChatUser, Process)> = stream::iter(0..STREAMS)
        .map(|_| prepare(organisation))
        .buffer_unordered(PREPARED_AT_ONCE)
        .try_collect()
        .await?;
    let mut alone = Vec::new();
    for _ in 0..PAGES {
        alone.push(pages.load().await?);
    }

    let model = organisation.stack.model();
    let answer = Script::new().deltas((0..TOKENS).map(|number| format!("word{number} "))).pace(PACE);
    model.set_default_answer(move |_| answer.clone());
    let begun = AtomicUsize::new(0);
    let all = streams.iter_mut().map(|(user, process)| async {
        let event = user.create_thread()?;
        let exchange = Exchange::run(process, event, || {
            begun.fetch_add(1, Ordering::Relaxed);
        });
        let exchange = exchange.await.context("a stream failed")?;
        ensure!(exchange.body()?.contains(&format!("word{} ", TOKENS - 1)), "an answer is incomplete");
        anyhow::Ok(Instant::now())
    });
    let meanwhile = async {
        let started = Instant::now();
        loop {
            let count = begun.load(Ordering::Relaxed);
            if count == STREAMS {
                break;
            }
            ensure!(started.elapsed() < BEGIN_TIMEOUT, "{count} of {STREAMS} streams began in time");
            tokio::time::sleep(PAGE_PAUSE).await;
        }
        let (from, started) = (SystemTime::now(), Instant::now());
        let mut times = Vec::new();
        while started.elapsed() < WINDOW {
            times.push(pages.load().await?);
        }
        let (to, ended) = (SystemTime::now(), Instant::now());
        let requests = organisation.stack.supabase().requests();
        let during: Vec<_> = requests.iter().filter(|call| (from..to).contains(&call.at)).collect();
        let failed = during.iter().find(|call| !call.status.is_success());
        ensure!(failed.is_none(), "a database call failed: {failed:?}");
        // Each page is one call.
        let calls = during.len().saturating_sub(times.len());
        Ok((times, calls as f64 / ended.duration_since(started).as_secs_f64(), ended))
    };
    let (ends, (during, calls_per_second, window_end)) = tokio::try_join!(try_join_all(all), meanwhile)?;
    ensure!(ends.iter().all(|end| *end > window_end), "a stream ended before the measurement");
    for (_, process) in &mut streams {
        process.kill().await;
    }
    pages.process.kill().await;

    let streams = STREAMS as f64;
    let page = |name, amount, baseline_name, baseline| Row {
        name,
        amount: Amount::Time(amount),
        baseline_name,
        baseline: Amount::Time(baseline),
        limit: None,
    };
    Ok(vec![
        Row {
            name: "database calls of 200 streams",
            amount: Amount::PerSecond(calls_per_second),
            baseline_name: "one a second for each stream",
            baseline: Amount::PerSecond(streams),
            limit: Some(Limit {
                max: Amount::PerSecond(streams * MAX_CALLS), rule: "≤ 1.05 × the baseline"
            }),
        },
        page(
            "page during 200 streams, p50",
            median(during.clone()),
            "without streams, p50",
            median(alone.clone()),
        ),
        page("page during 200 streams, p99", p99(during), "without streams, p99", p99(alone)),
    ])
}

/// Opens a session and starts a process, which has answered one request.
async fn prepare(organisation: Organisation<'_>) -> Result<(ChatUser, Process)> {
    let user = organisation.open_session().await?;
    let mut process = organisation.spawn().await?;
    Exchange::run(&mut process, user.event("threads.list", json!({}))?, || ()).await?;
    Ok((user, process))
}

/// A process that loads pages of one thread.
struct Pages {
    user: ChatUser,
    process: Process,
    thread_id: String,
    loaded: usize,
}

impl Pages {
    async fn prepare(organisation: Organisation<'_>) -> Result<Self> {
        let (user, mut process) = prepare(organisation).await?;
        let thread_id = Exchange::run(&mut process, user.create_thread()?, || ()).await?.thread_id()?;
        for _ in 1..PAGE_TURNS {
            Exchange::run(&mut process, user.add_message(&thread_id)?, || ()).await?;
        }
        Ok(Self { user, process, thread_id, loaded: 0 })
    }

    /// Loads the thread, or its items, in turns. Returns the time of the request.
    async fn load(&mut self) -> Result<Duration> {
        tokio::time::sleep(PAGE_PAUSE).await;
        self.loaded += 1;
        let kind = if self.loaded.is_multiple_of(2) { "items.list" } else { "threads.get_by_id" };
        let event = self.user.event(kind, json!({ "thread_id": self.thread_id }))?;
        let started = Instant::now();
        Exchange::run(&mut self.process, event, || ()).await.context(kind)?;
        Ok(started.elapsed())
    }
}
