//! The SQL in `docs/reference/metrics.md` returns the values of the API.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use local_stack::LocalStack;
use local_stack::metric_definitions::{self, MetricScope};
use local_stack::supabase::OrgRole;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::MetricsQuery;
use super::generator::HistoryGenerator;
use super::recount::compare;
use crate::support::client::TestClient;

#[tokio::test]
async fn documented_sql_returns_the_metrics_of_the_api() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = TestClient::in_organisation(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    let seed = fastrand::u64(..);
    let mut history = HistoryGenerator::new(seed);
    history.add_sessions(&stack, &[owner.user.org_id, Uuid::new_v4()], 200).await?;
    let definitions = metric_definitions::definitions()?;
    let now = Timestamp::now();
    for (from, to) in [(96, 0), (72, 24), (40, 39), (1, -24)] {
        let query = MetricsQuery {
            from: now - SignedDuration::from_hours(from),
            to: now - SignedDuration::from_hours(to),
            bucket: "day",
            group_by: "none",
            service_level_seconds: 3600,
        };
        let metrics = query.fetch(&owner).await?;
        let text = |name: &str| metrics[name].as_str().unwrap_or_default();
        let scope = MetricScope {
            org_id: owner.user.org_id,
            from: text("from"),
            to: text("to"),
            as_of: text("asOf"),
            service_level_seconds: query.service_level_seconds,
        };
        let mut uncounted = metrics.clone();
        for definition in &definitions {
            let counted = definition.count(stack.database(), &scope).await?;
            compare_and_remove(&definition.path, counted, &mut uncounted).with_context(|| {
                format!("{}, from {from} to {to} hours ago, seed {seed}", definition.path)
            })?;
        }
        ensure!(is_exhausted(&uncounted["total"]), "values without a definition: {:#}", uncounted["total"]);
    }
    Ok(())
}

/// Compares the rows with the value at `path`, and removes that value from `uncounted`.
fn compare_and_remove(path: &str, rows: Vec<Map<String, Value>>, uncounted: &mut Value) -> Result<()> {
    let mut target = uncounted;
    for part in path.split('.') {
        target = target.get_mut(part).with_context(|| format!("the response has no {part}"))?;
    }
    if target.is_array() {
        compare(path, &Value::from_iter(rows), target)?;
        *target = Value::Null;
        return Ok(());
    }
    ensure!(rows.len() == 1, "expected one row, found {}", rows.len());
    let values = target.as_object_mut().context("expected an object of values")?;
    for (name, value) in &rows[0] {
        let returned = values.remove(name).with_context(|| format!("the response has no {name}"))?;
        compare(name, value, &returned)?;
    }
    Ok(())
}

/// Whether every value was compared and removed.
fn is_exhausted(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(|fields| fields.values().all(is_exhausted))
}
