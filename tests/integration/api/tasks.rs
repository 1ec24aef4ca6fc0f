//! The fields of a task.

use anyhow::{Result, bail, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::escalations::EscalationFixture;

async fn record(fixture: &EscalationFixture<'_>, task: &Value) -> Result<Value> {
    let session = fixture.session.rsplit('/').next().unwrap_or_default();
    let arguments = json!({
        "p_org_id": fixture.member.user.org_id, "p_session_id": session, "p_tasks": [task],
    });
    let (status, answer) = fixture.stack.rpc("record_tasks", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    let read = fixture.member.get(&fixture.session).await?.expect(200)?;
    Ok(read["tasks"][0].clone())
}

#[tokio::test]
async fn task_has_its_latest_description_due_date_and_escalation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let escalation = fixture.escalate_from_page(json!({})).await?;
    let mut task = json!({ "id": "pay-42", "title": "Pay invoice 42", "status": "blocked" });
    let read = record(&fixture, &task).await?;
    for field in ["description", "dueAt", "escalationId"] {
        ensure!(read.get(field).is_some_and(Value::is_null), "expected {field} to be null: {read:#}");
    }
    task["description"] = json!("Waits for an approval.");
    task["due_at"] = json!("2026-11-30T12:00:00+01:00");
    task["escalation_id"] = escalation["id"].clone();
    let full = record(&fixture, &task).await?;
    ensure!(
        full["description"] == task["description"]
            && full["dueAt"] == "2026-11-30T11:00:00.000000Z"
            && full["escalationId"] == escalation["id"],
        "{full:#}"
    );
    // A repeat changes nothing, and the latest state is complete: what it omits is gone.
    let repeated = record(&fixture, &task).await?;
    ensure!(repeated == full, "expected {full:#}, found {repeated:#}");
    let done = json!({ "id": "pay-42", "title": "Pay invoice 42", "status": "completed" });
    let last = record(&fixture, &done).await?;
    ensure!(last["description"].is_null() && last["escalationId"].is_null(), "{last:#}");
    Ok(())
}

#[tokio::test]
async fn escalation_of_another_session_is_not_stored() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let other = EscalationFixture::new(&stack, json!({})).await?;
    let foreign = other.escalate_from_page(json!({})).await?;
    for id in [foreign["id"].clone(), json!(Uuid::new_v4())] {
        let task = json!({ "id": "a", "title": "t", "status": "running", "escalation_id": id });
        let read = record(&fixture, &task).await?;
        ensure!(read["escalationId"].is_null(), "{id}: found {read:#}");
    }
    Ok(())
}

/// The agent cannot know the id of the escalation that its own result opens.
#[tokio::test]
async fn task_of_a_question_names_its_escalation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let tool = json!({ "policy": "auto", "risk": "low", "approver": "self" });
    fixture.register_pay_tool(tool).await?;
    let pay = json!({ "action": "pay" });
    fixture.member.record_event(&fixture.session, "button_click", pay).await?.expect(201)?;
    let calls = fixture.claim_calls().await?;
    let [call] = &calls[..] else { bail!("expected one call, found {calls:?}") };
    let task = |id: &str, requires_hitl: bool| json!({ "id": id, "title": "Pay", "status": "blocked", "requires_hitl": requires_hitl });
    let ask = json!({ "reason": "Which account?", "decisions": ["respond", "reject"] });
    let outcome = json!({ "kind": "ask", "ask": ask, "tasks": [task("a", true), task("b", false)] });
    stack.finish_delivery(call, outcome).await?;
    let escalation = fixture.newest_escalation("agent_asked").await?;
    let read = fixture.member.get(&fixture.session).await?.expect(200)?;
    let named: Vec<_> = [0, 1].map(|n| read["tasks"][n]["escalationId"].clone()).into();
    ensure!(named == [escalation["id"].clone(), Value::Null], "found {named:?}: {escalation:#}");
    Ok(())
}
