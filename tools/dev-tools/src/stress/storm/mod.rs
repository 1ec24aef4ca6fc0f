//! Random calls of all RPCs over many concurrent connections.

mod daily_total;
mod invariants;
mod pool;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use sqlx::{Executor, PgConnection};
use tokio::sync::RwLock;

use super::measurement::Measurement;
use super::rpc::Catalogue;
use super::{Report, Size};
use local_stack::postgres::{Database, Grants};
use pool::Pool;

const CONNECTIONS: usize = 16;

/// Interval at which the known rows are read again: long enough for some of them to be stale.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// Number of runs of the daily total test.
const TOTAL_RUNS: usize = 40;
const FEW_TOTAL_RUNS: usize = 3;

/// Number of outcomes of each function: `done`, or an SQL state and a code.
type Outcomes = BTreeMap<(String, String), usize>;

pub async fn run(seed: u64, count: usize, size: Size) -> Result<Report> {
    let database = Database::create(Grants::default()).await?;
    let mut operator = database.connect("supabase_admin").await?;
    let catalogue = Arc::new(Catalogue::read(&mut operator).await?);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = database.connect("authenticator").await?;
        connection.execute("set role service_role").await.context("setting the role service_role")?;
        connections.push(connection);
    }
    let runs = if size == Size::Full { TOTAL_RUNS } else { FEW_TOTAL_RUNS };
    let directed = daily_total::run(&catalogue, &mut connections, &mut operator, runs).await?;

    let pool = Pool::create(&mut operator, &mut connections[0], &catalogue).await?;
    let pool = Arc::new(RwLock::new(pool));
    let finished = Arc::new(AtomicBool::new(false));
    let refreshing = tokio::spawn(refresh_pool(seed, operator, Arc::clone(&pool), Arc::clone(&finished)));
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            tokio::spawn(call(
                seed,
                count,
                connection,
                Arc::clone(&catalogue),
                Arc::clone(&pool),
                Arc::clone(&next),
            ))
        })
        .collect();
    let mut outcomes = Outcomes::new();
    for task in tasks {
        for (outcome, times) in task.await?? {
            *outcomes.entry(outcome).or_default() += times;
        }
    }
    finished.store(true, Ordering::Relaxed);
    let mut operator = refreshing.await??;
    let mut measurements = measurements(&catalogue, &outcomes);
    measurements.extend(directed);
    measurements.extend(invariants::check(&mut operator).await?);
    drop(operator);
    database.remove().await?;
    let mut report = String::new();
    for ((function, outcome), times) in &outcomes {
        let _ = writeln!(report, "{function}: {times} × {outcome}");
    }
    Ok((measurements, report))
}

fn measurements(catalogue: &Catalogue, outcomes: &Outcomes) -> Vec<Measurement> {
    let sum = |of: &dyn Fn(&str) -> bool| -> usize {
        outcomes.iter().filter(|((_, outcome), _)| of(outcome)).map(|(_, times)| times).sum()
    };
    let unexpected: Vec<String> = outcomes
        .iter()
        .filter(|((_, outcome), _)| outcome != "done" && !outcome.starts_with("PT"))
        .map(|((function, outcome), times)| format!("{times} × {function}: {outcome}"))
        .collect();
    let never: Vec<String> = catalogue
        .names()
        .filter(|name| !outcomes.contains_key(&((*name).to_owned(), "done".to_owned())))
        .map(str::to_owned)
        .collect();
    vec![
        Measurement::non_zero("calls that succeeded", sum(&|outcome| outcome == "done")),
        Measurement::non_zero(
            "calls that were rejected with an error code",
            sum(&|outcome| outcome.starts_with("PT")),
        ),
        Measurement::info("functions", catalogue.names().count()),
        Measurement {
            expected: String::new(),
            passed: true,
            ..Measurement::violations("functions that only rejected calls", &never)
        },
        Measurement::zero("deadlocks", sum(&|outcome| outcome.starts_with("40P01"))),
        Measurement::zero("serialization failures", sum(&|outcome| outcome.starts_with("40001"))),
        Measurement::violations("unexpected SQL states", &unexpected),
    ]
}

/// Calls random functions until the count is reached.
async fn call(
    seed: u64,
    count: usize,
    mut connection: PgConnection,
    catalogue: Arc<Catalogue>,
    pool: Arc<RwLock<Pool>>,
    next: Arc<AtomicUsize>,
) -> Result<Outcomes> {
    let names: Vec<&str> = catalogue.names().collect();
    let weights: Vec<u32> = names.iter().map(|name| values::weight(name)).collect();
    let mut outcomes = Outcomes::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(outcomes);
        }
        let mut rng = Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut rest = rng.u32(..weights.iter().sum::<u32>());
        let mut index = 0;
        while rest >= weights[index] {
            rest -= weights[index];
            index += 1;
        }
        let name = names[index];
        let signature = catalogue.signature(name).context("the function has no signature")?;
        let params = values::arguments(&mut rng, &*pool.read().await, name, signature);
        let outcome = match catalogue.call(&mut connection, name, &params).await? {
            Ok(_) => "done".to_owned(),
            Err(error) if error.status().is_some() => format!("{} {}", error.state, error.message),
            // Digits are replaced, so that equal errors count together.
            Err(error) => {
                let message = error.message.replace(|of: char| of.is_ascii_digit(), "#");
                format!("{} {message}", error.state)
            }
        };
        *outcomes.entry((name.to_owned(), outcome)).or_default() += 1;
    }
}

/// Reads the rows again and again, and sometimes bans a user or lifts the ban.
async fn refresh_pool(
    seed: u64,
    mut operator: PgConnection,
    pool: Arc<RwLock<Pool>>,
    finished: Arc<AtomicBool>,
) -> Result<PgConnection> {
    let mut rng = Rng::with_seed(seed);
    while !finished.load(Ordering::Relaxed) {
        let mut seen = pool.read().await.clone();
        seen.refresh(&mut operator).await?;
        let (_, user_id) = seen.user(&mut rng);
        let statement = "update auth.users set banned_until = case when banned_until is null and $2 then timestamptz '2100-01-01' end
            where id = $1";
        sqlx::query(statement).bind(user_id).bind(rng.u32(..8) == 0).execute(&mut operator).await?;
        *pool.write().await = seen;
        tokio::time::sleep(REFRESH_INTERVAL).await;
    }
    Ok(operator)
}
