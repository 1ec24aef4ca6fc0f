//! The metrics of a large organisation's year: they equal plain SQL, and cost less than it.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use super::env::StressEnv;
use super::measurement::Measurement;
use super::requests::Request;
use local_stack::metric_definitions;
use local_stack::metric_definitions::MetricScope;
use local_stack::supabase::OrgRole;

/// The requests of a dashboard, by `groupBy`.
const DIVISIONS: [(&str, &str); 2] =
    [("none", "milliseconds, a year by day"), ("agent", "milliseconds, by day and agent")];

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    let owner = env.add_person(OrgRole::Owner).await?;
    let org_id = owner.user.org_id;
    let year = include_str!("metrics.sql")
        .replace("{org}", &org_id.to_string())
        .replace("{count}", &count.to_string());
    let mut connection = env.stack.database().acquire().await?;
    // One by one, because vacuum cannot run in a transaction.
    for statement in year.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .with_context(|| statement.to_owned())?;
    }

    let now = jiff::Timestamp::now();
    let from = now - jiff::SignedDuration::from_hours(24 * 366);
    let mut measurements = Vec::new();
    let mut answer = Value::Null;
    for (group_by, what) in DIVISIONS {
        let path = format!("/chatkit/metrics?from={from}&to={now}&bucket=day&groupBy={group_by}");
        // A first request, so that both measurements read from the cache.
        env.send(&owner, &Request::read(path.clone())).await;
        let started = Instant::now();
        let response = env.send(&owner, &Request::read(path)).await;
        ensure!(
            response.status == Some(200),
            "expected 200 for the metrics, found {:?}: {}",
            response.status,
            response.body
        );
        measurements.push(Measurement::info(what, usize::try_from(started.elapsed().as_millis())?));
        answer = response.body;
    }

    let field = |name: &str| answer[name].as_str().unwrap_or_default();
    let (from, to, as_of) = (field("from"), field("to"), field("asOf"));
    let scope = MetricScope { org_id, from, to, as_of, service_level_seconds: 3600 };
    let (mut different, mut sql_pages, mut milliseconds) = (Vec::new(), 0, 0);
    for definition in metric_definitions::definitions()? {
        let started = Instant::now();
        let rows = definition.count(env.stack.database(), &scope).await?;
        milliseconds += started.elapsed().as_millis();
        sql_pages += pages(&mut connection, &definition.sql(&scope)).await?;
        let reported = definition.path.split('.').fold(&answer, |place, part| &place[part]);
        let matches = match reported {
            Value::Array(reported) => {
                reported.len() == rows.len()
                    && reported.iter().zip(&rows).all(|(reported, row)| matches(reported, row))
            }
            reported => rows.iter().all(|row| matches(reported, row)),
        };
        if !matches {
            different.push(format!("{}: {rows:?} instead of {reported}", definition.path));
        }
    }
    let api_pages = pages_of_get_metrics(&mut connection, &scope).await?;
    measurements.extend([
        Measurement::info(
            "milliseconds, the SQL of docs/reference/metrics.md, ungrouped",
            usize::try_from(milliseconds)?,
        ),
        Measurement::violations("definitions of docs/reference/metrics.md that count different", &different),
        Measurement::info("pages read by that SQL", sql_pages),
        Measurement::info("pages read for the metrics", api_pages),
        Measurement::max_ratio("ratio of the pages", api_pages, sql_pages, 0.5),
    ]);
    Ok(measurements)
}

/// Returns whether each value of a row equals the reported one.
fn matches(reported: &Value, row: &serde_json::Map<String, Value>) -> bool {
    row.iter().all(|(name, value)| match (reported[name].as_f64(), value.as_f64()) {
        (Some(reported), Some(counted)) => (reported - counted).abs() < 0.000_001,
        _ => reported[name] == *value,
    })
}

/// Returns the pages that the database reads for a statement.
async fn pages(connection: &mut PgConnection, statement: &str) -> Result<usize> {
    let explain = format!("explain (analyze, buffers, timing off, format json) {statement}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(connection).await?;
    let pages = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(usize::try_from(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))?)
}

/// The same for `get_metrics`, by day and agent.
async fn pages_of_get_metrics(connection: &mut PgConnection, scope: &MetricScope<'_>) -> Result<usize> {
    let claims = json!({ "app_metadata": { "org_id": scope.org_id, "org_role": "owner" } });
    let sign_in = "select set_config('request.jwt.claims', $1, false)";
    sqlx::query(sign_in).bind(claims.to_string()).execute(&mut *connection).await?;
    let MetricScope { from, to, service_level_seconds, .. } = scope;
    pages(
        connection,
        &format!("select public.get_metrics('{from}', '{to}', 'day', 'agent', {service_level_seconds})"),
    )
    .await
}
