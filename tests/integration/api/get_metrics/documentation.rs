//! docs/reference/metrics.md counts what the API counts.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use local_stack::metric_definitions::Scope;
use local_stack::supabase::OrgRole;
use local_stack::{LocalStack, metric_definitions};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Question;
use super::generator::History;
use super::recount::compare;
use crate::support::client::TestClient;

// NAME: metrics: the SQL of each definition in docs/reference/metrics.md counts what the API says
#[tokio::test]
async fn sql() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = TestClient::joining(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    let seed = fastrand::u64(..);
    let mut history = History::new(seed);
    history.go_on(&stack, &[owner.user.org_id, Uuid::new_v4()], 200).await?;
    let definitions = metric_definitions::definitions()?;
    let now = Timestamp::now();
    for (from, to) in [(96, 0), (72, 24), (40, 39), (1, -24)] {
        let question = Question {
            from: now - SignedDuration::from_hours(from),
            to: now - SignedDuration::from_hours(to),
            bucket: "day",
            group_by: "none",
            service_level_seconds: 3600,
        };
        let answer = question.ask(&owner).await?;
        let said = |name: &str| answer[name].as_str().unwrap_or_default();
        let scope = Scope {
            org_id: owner.user.org_id,
            from: said("from"),
            to: said("to"),
            as_of: said("asOf"),
            service_level_seconds: question.service_level_seconds,
        };
        let mut left = answer.clone();
        for definition in &definitions {
            let counted = definition.count(stack.database(), &scope).await?;
            told(&definition.path, counted, &mut left).with_context(|| {
                format!("{}, from {from} to {to} hours ago, seed {seed}", definition.path)
            })?;
        }
        ensure!(nothing_left(&left["total"]), "no SQL counts {:#}", left["total"]);
    }
    Ok(())
}

/// Whether it is what the answer tells under that path; what is counted is then no longer left.
fn told(path: &str, rows: Vec<Map<String, Value>>, left: &mut Value) -> Result<()> {
    let mut place = left;
    for part in path.split('.') {
        place = place.get_mut(part).with_context(|| format!("the answer has no {part}"))?;
    }
    if place.is_array() {
        compare(path, &Value::from_iter(rows), place)?;
        *place = Value::Null;
        return Ok(());
    }
    ensure!(rows.len() == 1, "{} rows", rows.len());
    let figures = place.as_object_mut().context("no figures")?;
    for (name, value) in &rows[0] {
        let answered = figures.remove(name).with_context(|| format!("{name} is not answered"))?;
        compare(name, value, &answered)?;
    }
    Ok(())
}

fn nothing_left(left: &Value) -> bool {
    left.is_null() || left.as_object().is_some_and(|all| all.values().all(nothing_left))
}
