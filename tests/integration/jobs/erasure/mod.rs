//! Tests of `erase-user`: it deletes all data of a user and nothing else, also during outages,
//! crashes and concurrent requests.

mod complete_erasure;
mod crashes;
pub mod fixture;
mod late_results;
mod outages;
mod races;
pub mod table_rows;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::TestClient;

/// Input of `erase-user` for this client's user.
fn erase_request(client: &TestClient) -> Value {
    json!({
        "orgId": client.user.org_id, "userId": client.user.id, "requestedBy": "ops-1", "reason": "ticket 4711",
    })
}

/// Erases a user and returns the report.
async fn erase(stack: &LocalStack, client: &TestClient) -> Result<Value> {
    let report = stack.invoke_admin("erase-user", &erase_request(client)).await?;
    ensure!(report["finishedAt"].is_string(), "the report has no finishedAt: {report}");
    Ok(report)
}

/// Returns the error of an erasure that is expected to fail.
async fn erase_error(stack: &LocalStack, request: &Value) -> Result<String> {
    match stack.invoke_admin("erase-user", request).await {
        Err(error) => Ok(format!("{error:#}")),
        Ok(report) => anyhow::bail!("expected an error, found {report}"),
    }
}

pub async fn count(stack: &LocalStack, query: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar(query).fetch_one(stack.database()).await?)
}
