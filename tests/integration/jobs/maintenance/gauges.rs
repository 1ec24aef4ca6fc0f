//! Gauges in the report of a run.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::json;
use uuid::Uuid;

use crate::jobs::erasure::fixture;
use crate::jobs::maintenance::run_maintenance;
use crate::support::client::session_path;
use crate::support::escalations::{EscalationFixture, decide};

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

#[tokio::test]
async fn unknown_outcome_counts_as_dead_delivery() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let (_, call) = fixture::open_with_running_call(&stack, &member).await?;
    stack.finish_delivery(&call, json!({ "kind": "unknown", "error": "timed_out" })).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["deadDeliveries"] == 1, "expected 1 dead delivery: {report}");
    Ok(())
}

#[tokio::test]
async fn oldest_of_several_due_queues_is_reported() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    for minutes in [10, 60, 20] {
        let session = member.open_session().await?;
        fixture::record_click(&member, &session_path(&session)).await?;
        let id: Uuid = session["id"].as_str().context("no id")?.parse()?;
        let update = "update deliveries set next_attempt_at = now() - make_interval(mins => $1)
            where session_id = $2";
        sqlx::query(update).bind(minutes).bind(id).execute(stack.database()).await?;
    }
    let report = run_maintenance(&stack).await?;
    let oldest = report["oldestUndeliveredSeconds"].as_u64().unwrap_or_default();
    ensure!((3600..3700).contains(&oldest), "expected an age of an hour, found {oldest} s: {report}");
    Ok(())
}

#[tokio::test]
async fn closed_escalations_do_not_count_as_open() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = EscalationFixture::new(&stack, json!({})).await?;
    let resolved = fixture.escalate_from_page(json!({})).await?;
    decide(&fixture.approver, &resolved, "approve").await?.expect(200)?;
    fixture.escalate_from_page(json!({})).await?;
    let expire = "update chat_escalations
        set created_at = now() - interval '2 minutes', expires_at = now() - interval '1 minute'
        where status = 'open'";
    sqlx::query(expire).execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredEscalations"] == 1, "expected 1 expired escalation: {report}");
    fixture.escalate_from_page(json!({})).await?;
    fixture.member.cancel(&fixture.session).await?.expect(200)?;
    let closed: Vec<String> = sqlx::query_scalar("select status from chat_escalations order by status")
        .fetch_all(stack.database())
        .await?;
    ensure!(closed == ["expired", "resolved", "withdrawn"], "{closed:?}");

    let report = run_maintenance(&stack).await?;
    ensure!(report["openEscalations"] == 0, "expected no open escalation: {report}");
    fixture.session = fixture.member.open_session_path().await?;
    fixture.escalate_from_page(json!({})).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["openEscalations"] == 1, "expected 1 open escalation: {report}");
    Ok(())
}
