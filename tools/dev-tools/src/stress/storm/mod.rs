//! Random single calls of all functions over many connections at once.

mod invariants;
mod pool;
mod totals;
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

use super::measurement::Figure;
use super::rpc::Catalogue;
use super::{Size, Told};
use local_stack::postgres::{Database, Grants};
use pool::Pool;

const CONNECTIONS: usize = 16;

/// How long what is known of the rows is used: long enough for some of it to be stale.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Runs of the directed part.
const ROUNDS: usize = 40;
const FEW_ROUNDS: usize = 3;

/// How often each function answered what: `done`, or an SQL state and a code.
type Answers = BTreeMap<(String, String), usize>;

pub async fn run(seed: u64, count: usize, size: Size) -> Result<Told> {
    let database = Database::create(Grants::default()).await?;
    let mut operator = database.connect("supabase_admin").await?;
    let catalogue = Arc::new(Catalogue::read(&mut operator).await?);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = database.connect("authenticator").await?;
        connection.execute("set role service_role").await.context("becoming service_role")?;
        connections.push(connection);
    }
    let runs = if size == Size::Full { ROUNDS } else { FEW_ROUNDS };
    let directed = totals::run(&catalogue, &mut connections, &mut operator, runs).await?;

    let pool = Pool::begin(&mut operator, &mut connections[0], &catalogue).await?;
    let pool = Arc::new(RwLock::new(pool));
    let ended = Arc::new(AtomicBool::new(false));
    let looking = tokio::spawn(look(seed, operator, Arc::clone(&pool), Arc::clone(&ended)));
    let next = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = connections
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
    let mut answers = Answers::new();
    for caller in callers {
        for (answer, times) in caller.await?? {
            *answers.entry(answer).or_default() += times;
        }
    }
    ended.store(true, Ordering::Relaxed);
    let mut operator = looking.await??;
    let mut figures = figures(&catalogue, &answers);
    figures.extend(directed);
    figures.extend(invariants::figures(&mut operator).await?);
    drop(operator);
    database.remove().await?;
    let mut told = String::new();
    for ((function, answer), times) in &answers {
        let _ = writeln!(told, "{function}: {times} × {answer}");
    }
    Ok((figures, told))
}

fn figures(catalogue: &Catalogue, answers: &Answers) -> Vec<Figure> {
    let sum = |of: &dyn Fn(&str) -> bool| -> usize {
        answers.iter().filter(|((_, answer), _)| of(answer)).map(|(_, times)| times).sum()
    };
    let unexpected: Vec<String> = answers
        .iter()
        .filter(|((_, answer), _)| answer != "done" && !answer.starts_with("PT"))
        .map(|((function, answer), times)| format!("{times} × {function}: {answer}"))
        .collect();
    let never: Vec<String> = catalogue
        .names()
        .filter(|name| !answers.contains_key(&((*name).to_owned(), "done".to_owned())))
        .map(str::to_owned)
        .collect();
    vec![
        Figure::some("calls that were done", sum(&|answer| answer == "done")),
        Figure::some("calls that were refused with a code of ours", sum(&|answer| answer.starts_with("PT"))),
        Figure::told("functions", catalogue.names().count()),
        Figure {
            promised: String::new(),
            holds: true,
            ..Figure::violations("functions that did nothing, only refused", &never)
        },
        Figure::none("deadlocks", sum(&|answer| answer.starts_with("40P01"))),
        Figure::none("serialization failures", sum(&|answer| answer.starts_with("40001"))),
        Figure::violations("unexpected SQL states", &unexpected),
    ]
}

/// Calls until enough was called.
async fn call(
    seed: u64,
    count: usize,
    mut connection: PgConnection,
    catalogue: Arc<Catalogue>,
    pool: Arc<RwLock<Pool>>,
    next: Arc<AtomicUsize>,
) -> Result<Answers> {
    let names: Vec<&str> = catalogue.names().collect();
    let weights: Vec<u32> = names.iter().map(|name| values::weight(name)).collect();
    let mut answers = Answers::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(answers);
        }
        let mut rng = Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut draw = rng.u32(..weights.iter().sum::<u32>());
        let mut place = 0;
        while draw >= weights[place] {
            draw -= weights[place];
            place += 1;
        }
        let name = names[place];
        let signature = catalogue.signature(name).context("a function without a signature")?;
        let given = values::arguments(&mut rng, &*pool.read().await, name, signature);
        let answer = match catalogue.call(&mut connection, name, &given).await? {
            Ok(_) => "done".to_owned(),
            Err(failure) if failure.status().is_some() => format!("{} {}", failure.state, failure.message),
            // Rows and values differ; what went wrong is the same.
            Err(failure) => {
                let message = failure.message.replace(|of: char| of.is_ascii_digit(), "#");
                format!("{} {message}", failure.state)
            }
        };
        *answers.entry((name.to_owned(), answer)).or_default() += 1;
    }
}

/// Looks at the rows again and again; now and then somebody leaves, or comes back.
async fn look(
    seed: u64,
    mut operator: PgConnection,
    pool: Arc<RwLock<Pool>>,
    ended: Arc<AtomicBool>,
) -> Result<PgConnection> {
    let mut rng = Rng::with_seed(seed);
    while !ended.load(Ordering::Relaxed) {
        let mut seen = pool.read().await.clone();
        seen.refresh(&mut operator).await?;
        let (_, user_id) = seen.user(&mut rng);
        let statement = "update auth.users set banned_until = case when banned_until is null and $2 then timestamptz '2100-01-01' end
            where id = $1";
        sqlx::query(statement).bind(user_id).bind(rng.u32(..8) == 0).execute(&mut operator).await?;
        *pool.write().await = seen;
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(operator)
}
