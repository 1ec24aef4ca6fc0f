//! The gauges: what a run says of how the service is.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use local_stack::World;
use serde_json::json;

use super::person;
use crate::{caller::path, expiry::tick, harness::trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("state: a run says what waits and what was given up", gauges)]
}

async fn gauges(world: World) -> Result<()> {
    let report = tick(&world).await?;
    for gauge in ["openEscalations", "oldestUndeliveredSeconds", "deadDeliveries"] {
        ensure!(report[gauge] == 0, "{gauge} of nothing: {report}");
    }
    let person = person::member(&world).await?;
    let (_, call) = person::calling(&world, &person).await?;
    ensure!(tick(&world).await?["oldestUndeliveredSeconds"] == 0, "a call under way is no delay");
    world.finish(&call, json!({ "kind": "failed", "error": "no_funds" })).await?;
    let session = person.open().await?;
    person::click(&person, &path(&session)).await?;
    sqlx::query(
        "update deliveries set next_attempt_at = now() - interval '10 minutes' where status = 'pending'",
    )
    .execute(world.database())
    .await?;
    let report = tick(&world).await?;
    // Somebody is asked about the call that failed.
    ensure!(report["openEscalations"] == 1 && report["deadDeliveries"] == 1, "{report}");
    let oldest = report["oldestUndeliveredSeconds"].as_u64().unwrap_or_default();
    ensure!((600..700).contains(&oldest), "{report}");
    let ask = json!({ "reason": "Which account?", "decisions": ["respond"] });
    person.record(&path(&session), "hitl_escalation", ask).await?.expect(201)?;
    ensure!(tick(&world).await?["openEscalations"] == 2);
    Ok(())
}
