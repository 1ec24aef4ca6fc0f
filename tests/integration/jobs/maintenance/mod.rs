//! Tests of `expire-sessions`, the scheduled function that runs the maintenance jobs.

mod abandoned_requests;
mod due_jobs;
mod escalations;
mod failures;
mod gauges;
mod idle_sessions;
mod interrupted_answers;
mod retention;
mod stale_chatkit_sessions;
mod thread_limits;
mod transcripts;

use anyhow::{Context, Result};
use local_stack::LocalStack;
use serde_json::Value;
use uuid::Uuid;

/// Runs all maintenance jobs once and returns the report.
pub async fn run_maintenance(stack: &LocalStack) -> Result<Value> {
    stack.run_job("expire-sessions").await
}

/// Sets the last activity of a session to two days ago.
pub async fn backdate_activity(stack: &LocalStack, session: &Value) -> Result<()> {
    let id: Uuid = session["id"].as_str().context("no id")?.parse()?;
    sqlx::query("update chat_sessions set last_activity_at = now() - interval '2 days' where id = $1")
        .bind(id)
        .execute(stack.database())
        .await?;
    Ok(())
}
