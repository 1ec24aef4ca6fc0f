//! The gauges: what a run says of how the service is.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::json;

use crate::jobs::erasure::fixture;
use crate::jobs::maintenance::idle_sessions::run_maintenance;
use crate::support::client::path;

// NAME: state: a run says what waits and what was given up
#[tokio::test]
async fn gauges() -> Result<()> {
    let stack = LocalStack::start().await?;
    let report = run_maintenance(&stack).await?;
    for gauge in ["openEscalations", "oldestUndeliveredSeconds", "deadDeliveries"] {
        ensure!(report[gauge] == 0, "{gauge} of nothing: {report}");
    }
    let person = fixture::member(&stack).await?;
    let (_, call) = fixture::calling(&stack, &person).await?;
    ensure!(run_maintenance(&stack).await?["oldestUndeliveredSeconds"] == 0, "a call under way is no delay");
    stack.finish(&call, json!({ "kind": "failed", "error": "no_funds" })).await?;
    let session = person.open().await?;
    fixture::click(&person, &path(&session)).await?;
    sqlx::query(
        "update deliveries set next_attempt_at = now() - interval '10 minutes' where status = 'pending'",
    )
    .execute(stack.database())
    .await?;
    let report = run_maintenance(&stack).await?;
    // Somebody is asked about the call that failed.
    ensure!(report["openEscalations"] == 1 && report["deadDeliveries"] == 1, "{report}");
    let oldest = report["oldestUndeliveredSeconds"].as_u64().unwrap_or_default();
    ensure!((600..700).contains(&oldest), "{report}");
    let ask = json!({ "reason": "Which account?", "decisions": ["respond"] });
    person.record(&path(&session), "hitl_escalation", ask).await?.expect(201)?;
    ensure!(run_maintenance(&stack).await?["openEscalations"] == 2);
    Ok(())
}
