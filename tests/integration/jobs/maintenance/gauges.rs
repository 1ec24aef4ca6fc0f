//! Gauges in the report of a run.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::json;

use crate::jobs::erasure::fixture;
use crate::jobs::maintenance::run_maintenance;
use crate::support::client::session_path;

#[tokio::test]
async fn report_contains_gauges_of_escalations_and_deliveries() -> Result<()> {
    let stack = LocalStack::start().await?;
    let report = run_maintenance(&stack).await?;
    for gauge in ["openEscalations", "oldestUndeliveredSeconds", "deadDeliveries"] {
        ensure!(report[gauge] == 0, "{gauge} without any data: {report}");
    }
    let member = fixture::member(&stack).await?;
    let (_, call) = fixture::open_with_running_call(&stack, &member).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["oldestUndeliveredSeconds"] == 0, "a running call counts as undelivered: {report}");
    stack.finish_delivery(&call, json!({ "kind": "failed", "error": "no_funds" })).await?;
    let session = member.open_session().await?;
    fixture::record_click(&member, &session_path(&session)).await?;
    sqlx::query(
        "update deliveries set next_attempt_at = now() - interval '10 minutes' where status = 'pending'",
    )
    .execute(stack.database())
    .await?;
    let report = run_maintenance(&stack).await?;
    // The failed call has opened an escalation.
    ensure!(report["openEscalations"] == 1 && report["deadDeliveries"] == 1, "{report}");
    let oldest = report["oldestUndeliveredSeconds"].as_u64().unwrap_or_default();
    ensure!((600..700).contains(&oldest), "{report}");
    let escalation = json!({ "reason": "Which account?", "decisions": ["respond"] });
    member.record_event(&session_path(&session), "hitl_escalation", escalation).await?.expect(201)?;
    ensure!(run_maintenance(&stack).await?["openEscalations"] == 2);
    Ok(())
}
