//! Expired escalations, and escalations of ended sessions, cannot be decided.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::jobs::maintenance::run_maintenance;
use crate::support::escalations::{EscalationFixture, decide};

#[tokio::test]
async fn expired_escalation_is_closed_before_and_after_maintenance() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({ "ask_expires_in_seconds": 60 })).await?;
    let held = fixture.hold_payment(12_000).await?;
    let expire = "
        update chat_escalations
        set created_at = now() - interval '2 minutes', expires_at = now() - interval '1 minute'";
    sqlx::query(expire).execute(stack.database()).await?;
    decide(&fixture.approver, &held, "approve").await?.problem(409, "escalation_closed")?;
    run_maintenance(&stack).await?;
    decide(&fixture.approver, &held, "approve").await?.problem(409, "escalation_closed")?;
    let list = fixture.approver.get("/chatkit/escalations").await?.expect(200)?;
    ensure!(list["escalations"] == json!([]), "expected an empty list: {list:#}");
    ensure!(fixture.claim_calls().await?.is_empty(), "a payment was called without an approval");
    Ok(())
}

#[tokio::test]
async fn ended_session_closes_its_escalations() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let (held, page_escalation) =
        (fixture.hold_payment(12_000).await?, fixture.escalate_from_page(json!({})).await?);
    fixture.member.cancel(&fixture.session).await?.expect(200)?;
    for escalation in [&held, &page_escalation] {
        decide(&fixture.approver, escalation, "approve").await?.problem(409, "escalation_closed")?;
    }
    let decision = json!({
        "escalationId": page_escalation["id"], "decision": "approve",
        "subjectHash": page_escalation["subjectHash"],
    });
    fixture
        .member
        .record_event(&fixture.session, "hitl_resolved", decision)
        .await?
        .problem(409, "session_ended")?;
    let list = fixture.approver.get("/chatkit/escalations").await?.expect(200)?;
    ensure!(list["escalations"] == json!([]), "expected an empty list: {list:#}");
    ensure!(fixture.claim_calls().await?.is_empty(), "a payment of an ended session was called");
    Ok(())
}

#[tokio::test]
async fn decision_before_session_end_is_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let page_escalation = fixture.escalate_from_page(json!({})).await?;
    let decided: Value = decide(&fixture.approver, &page_escalation, "reject").await?.expect(200)?;
    fixture.member.cancel(&fixture.session).await?.expect(200)?;
    let again: Value = decide(&fixture.approver, &page_escalation, "reject").await?.expect(200)?;
    ensure!(again == decided, "expected {decided:#}, found {again:#}");
    let late =
        decide(&fixture.member, &page_escalation, "approve").await?.problem(409, "escalation_resolved")?;
    ensure!(late["decision"]["decision"] == "reject", "expected the recorded decision: {late:#}");
    Ok(())
}
