//! Erasure: what is kept of a person goes, all of it and nothing else, whatever happens meanwhile; and what is overdue goes by itself.

mod complete_erasure;
mod crashes;
mod fixture;
mod fixture_rows;
mod late_results;
mod outages;
mod races;

use anyhow::{Result, ensure};
use local_stack::World;
use serde_json::{Value, json};

use crate::support::client::Caller;

/// An order about this caller.
fn order(about: &Caller) -> Value {
    json!({
        "orgId": about.user.org_id, "userId": about.user.id, "requestedBy": "ops-1", "reason": "ticket 4711",
    })
}

/// Has a caller erased, and answers with what the operator is told.
async fn erase(world: &World, about: &Caller) -> Result<Value> {
    let report = world.order("erase-user", &order(about)).await?;
    ensure!(report["finishedAt"].is_string(), "an answer though it is not finished: {report}");
    Ok(report)
}

/// What an operator is told of an order that fails.
async fn refusal(world: &World, order: &Value) -> Result<String> {
    match world.order("erase-user", order).await {
        Err(failure) => Ok(format!("{failure:#}")),
        Ok(report) => anyhow::bail!("it did not fail: {report}"),
    }
}

/// One number from the database.
async fn count(world: &World, query: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar(query).fetch_one(world.database()).await?)
}
