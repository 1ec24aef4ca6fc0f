//! Comments with decisions: where they are required, kept, and given to the agent.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::escalations::{EscalationFixture, decide, decision_body, decision_path};

fn with_comment(escalation: &Value, decision: &str, comment: Value) -> Value {
    let mut body = decision_body(escalation, decision);
    body["comment"] = comment;
    body
}

async fn newest_resolution(fixture: &EscalationFixture<'_>) -> Result<Value> {
    let query =
        "select payload from chat_events where type = 'hitl_resolved' order by created_at desc limit 1";
    Ok(sqlx::query_scalar(query).fetch_one(fixture.stack.database()).await?)
}

#[tokio::test]
async fn comment_is_kept_recorded_in_the_event_and_sent_to_the_agent() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let body = with_comment(&held, "approve", json!("Compared with order 7."));
    let decided = fixture.approver.post(&decision_path(&held), body.clone()).await?.expect(200)?;
    ensure!(decided["escalation"]["comment"] == "Compared with order 7.", "{decided:#}");
    ensure!(
        decided["escalation"]["subjectHash"] == held["subjectHash"],
        "the comment changed the subject: {decided:#}"
    );
    ensure!(newest_resolution(&fixture).await?["comment"] == "Compared with order 7.", "the event");
    // The repetition is the same; another comment is another decision.
    fixture.approver.post(&decision_path(&held), body).await?.expect(200)?;
    let other = with_comment(&held, "approve", json!("Another."));
    fixture.approver.post(&decision_path(&held), other).await?.problem(409, "escalation_resolved")?;
    let calls = fixture.claim_calls().await?;
    let call = calls.first().context("the approved call was not released")?;
    ensure!(call["decision"]["comment"] == "Compared with order 7.", "{call:#}");
    stack.finish_delivery(call, json!({ "kind": "completed" })).await?;

    // An answer is part of the call, and its comment too.
    let ask = json!({ "reason": "Which?", "decisions": ["respond"], "risk": "low", "approver": "self" });
    let question = fixture.ask_as_agent(ask).await?;
    let mut body = with_comment(&question, "respond", json!("As last year."));
    body["answer"] = json!("the second");
    fixture.approver.post(&decision_path(&question), body).await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    let decision = &calls.first().context("expected the call with the answer")?["decision"];
    ensure!(
        decision["answer"] == "the second" && decision["comment"] == "As last year.",
        "expected answer and comment: {decision:#}"
    );
    Ok(())
}

#[tokio::test]
async fn registration_requires_comments_of_others_and_not_of_a_withdrawal() -> Result<()> {
    let stack = LocalStack::start().await?;
    let required = json!({ "comment_required": ["reject", "edit"] });
    let fixture = EscalationFixture::new(&stack, required).await?;
    let held = fixture.hold_payment(1).await?;
    ensure!(held["commentRequired"] == json!(["reject", "edit"]), "{held:#}");
    // The escalation keeps what the registration required when it was opened.
    fixture.register_pay_tool(json!({})).await?;
    let path = decision_path(&held);
    for comment in [Value::Null, json!("")] {
        let response = fixture.approver.post(&path, with_comment(&held, "reject", comment.clone())).await?;
        let code = if comment.is_null() { "comment_required" } else { "invalid_request" };
        response.problem(422, code)?;
    }
    let mut edit = decision_body(&held, "edit");
    edit["answer"] = json!({ "amount": 1 });
    fixture.approver.post(&path, edit).await?.problem(422, "comment_required")?;
    for wrong in [json!("x".repeat(2001)), json!("\u{0}"), json!(7)] {
        let body = with_comment(&held, "reject", wrong);
        fixture.approver.post(&path, body).await?.problem(422, "invalid_request")?;
    }
    decide(&fixture.member, &held, "reject").await?.expect(200)?;
    fixture.register_pay_tool(json!({ "comment_required": ["reject"] })).await?;
    let second = fixture.hold_payment(2).await?;
    let comment = "é".repeat(2000);
    let body = with_comment(&second, "reject", json!(comment));
    fixture.approver.post(&decision_path(&second), body).await?.expect(200)?;
    let shown = format!("/chatkit/escalations/{}", second["id"].as_str().context("no id")?);
    ensure!(fixture.member.get(&shown).await?.expect(200)?["comment"] == comment, "the comment was cut");
    Ok(())
}

#[tokio::test]
async fn comment_in_an_event_is_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let escalation = fixture.escalate_from_page(json!({})).await?;
    let event = json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": {
        "escalationId": escalation["id"], "decision": "reject", "comment": "Not needed.",
        "subjectHash": escalation["subjectHash"],
    } });
    fixture.member.post(&format!("{}/events", fixture.session), event).await?.expect(201)?;
    let path = format!("/chatkit/escalations/{}", escalation["id"].as_str().context("no id")?);
    let details = fixture.approver.get(&path).await?.expect(200)?;
    ensure!(details["comment"] == "Not needed." && details["decision"] == "reject", "{details:#}");
    Ok(())
}
