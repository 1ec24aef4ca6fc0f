//! A year of a large organisation: its metrics are told in time, and are what plain SQL counts, with far more work.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use super::env::Ground;
use super::measurement::Figure;
use super::requests::Wish;
use local_stack::metric_definitions;
use local_stack::metric_definitions::Scope;
use local_stack::supabase::OrgRole;

/// One call, as a dashboard makes it, with the parts it is divided into.
const DIVISIONS: [(&str, &str); 2] =
    [("none", "milliseconds, a year by day"), ("agent", "milliseconds, by day and agent")];

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let owner = ground.joining(OrgRole::Owner).await?;
    let org_id = owner.user.org_id;
    let year = include_str!("metrics.sql")
        .replace("{org}", &org_id.to_string())
        .replace("{count}", &count.to_string());
    let mut connection = ground.stack.database().acquire().await?;
    // One statement after the other: vacuuming is no part of a transaction.
    for statement in year.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .with_context(|| statement.to_owned())?;
    }

    let now = jiff::Timestamp::now();
    let from = now - jiff::SignedDuration::from_hours(24 * 366);
    let mut figures = Vec::new();
    let mut answer = Value::Null;
    for (group_by, what) in DIVISIONS {
        let path = format!("/chatkit/metrics?from={from}&to={now}&bucket=day&groupBy={group_by}");
        // Once so that what is read is at hand, as for what it is compared with.
        ground.ask(&owner, &Wish::read(path.clone())).await;
        let started = Instant::now();
        let reply = ground.ask(&owner, &Wish::read(path)).await;
        ensure!(reply.status == Some(200), "the metrics: {:?} {}", reply.status, reply.body);
        figures.push(Figure::told(what, usize::try_from(started.elapsed().as_millis())?));
        answer = reply.body;
    }

    let said = |name: &str| answer[name].as_str().unwrap_or_default();
    let (from, to, as_of) = (said("from"), said("to"), said("asOf"));
    let scope = Scope { org_id, from, to, as_of, service_level_seconds: 3600 };
    let (mut otherwise, mut plainly, mut milliseconds) = (Vec::new(), 0, 0);
    for definition in metric_definitions::definitions()? {
        let started = Instant::now();
        let rows = definition.count(ground.stack.database(), &scope).await?;
        milliseconds += started.elapsed().as_millis();
        plainly += pages(&mut connection, &definition.sql(&scope)).await?;
        let told = definition.path.split('.').fold(&answer, |place, part| &place[part]);
        let alike = match told {
            Value::Array(told) => {
                told.len() == rows.len() && told.iter().zip(&rows).all(|(told, row)| alike(told, row))
            }
            told => rows.iter().all(|row| alike(told, row)),
        };
        if !alike {
            otherwise.push(format!("{}: {rows:?} instead of {told}", definition.path));
        }
    }
    let counting = pages_of_the_metrics(&mut connection, &scope).await?;
    figures.extend([
        Figure::told(
            "milliseconds, the SQL of docs/reference/metrics.md, undivided",
            usize::try_from(milliseconds)?,
        ),
        Figure::violations("definitions of docs/reference/metrics.md that count otherwise", &otherwise),
        Figure::told("pages touched by that SQL", plainly),
        Figure::told("pages touched for the metrics", counting),
        Figure::at_most("the one by the other", counting, plainly, 0.5),
    ]);
    Ok(figures)
}

/// Whether each figure of a row is the one that was told.
fn alike(told: &Value, row: &serde_json::Map<String, Value>) -> bool {
    row.iter().all(|(name, value)| match (told[name].as_f64(), value.as_f64()) {
        (Some(told), Some(counted)) => (told - counted).abs() < 0.000_001,
        _ => told[name] == *value,
    })
}

/// The pages that the database touches for a statement.
async fn pages(connection: &mut PgConnection, statement: &str) -> Result<usize> {
    let explain = format!("explain (analyze, buffers, timing off, format json) {statement}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(connection).await?;
    let pages = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(usize::try_from(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))?)
}

/// The same, by day and agent, for what the API asks.
async fn pages_of_the_metrics(connection: &mut PgConnection, scope: &Scope<'_>) -> Result<usize> {
    let claims = json!({ "app_metadata": { "org_id": scope.org_id, "org_role": "owner" } });
    let sign_in = "select set_config('request.jwt.claims', $1, false)";
    sqlx::query(sign_in).bind(claims.to_string()).execute(&mut *connection).await?;
    let Scope { from, to, service_level_seconds, .. } = scope;
    pages(
        connection,
        &format!("select public.get_metrics('{from}', '{to}', 'day', 'agent', {service_level_seconds})"),
    )
    .await
}
