//! Erasure: what is kept of a person goes, all of it and nothing else, whatever happens meanwhile; and what is overdue goes by itself.

mod complete_erasure;
mod crashes;
pub mod fixture;
pub mod fixture_rows;
mod late_results;
mod outages;
mod races;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::TestClient;

/// An order about this caller.
pub fn order(about: &TestClient) -> Value {
    json!({
        "orgId": about.user.org_id, "userId": about.user.id, "requestedBy": "ops-1", "reason": "ticket 4711",
    })
}

/// Has a caller erased, and answers with what the operator is told.
pub async fn erase(stack: &LocalStack, about: &TestClient) -> Result<Value> {
    let report = stack.invoke_admin("erase-user", &order(about)).await?;
    ensure!(report["finishedAt"].is_string(), "an answer though it is not finished: {report}");
    Ok(report)
}

/// What an operator is told of an order that fails.
pub async fn refusal(stack: &LocalStack, order: &Value) -> Result<String> {
    match stack.invoke_admin("erase-user", order).await {
        Err(failure) => Ok(format!("{failure:#}")),
        Ok(report) => anyhow::bail!("it did not fail: {report}"),
    }
}

/// One number from the database.
pub async fn count(stack: &LocalStack, query: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar(query).fetch_one(stack.database()).await?)
}
