//! Decisions that the page records by a `hitl_resolved` event.

use anyhow::{Result, ensure};
use futures_util::future::join;
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};

#[tokio::test]
async fn event_and_endpoint_race_records_one_decision() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    for _ in 0..6 {
        let escalation = fixture.escalate_from_page(json!({})).await?;
        let approval = payload(&escalation, "approve");
        let event = json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": approval });
        let events = format!("{}/events", fixture.session);
        let (recorded, decided) = join(
            fixture.member.post(&events, event.clone()),
            decide(&fixture.approver, &escalation, "reject"),
        )
        .await;
        let (recorded, decided) = (recorded?, decided?);
        let (decision, late) =
            if recorded.status == 201 { ("approve", decided) } else { ("reject", recorded.clone()) };
        let late = late.problem(409, "escalation_resolved")?;
        ensure!(late["decision"]["decision"] == decision, "expected {decision}: {late:#}");
        // The repeated event gets the same status: recorded, or too late.
        let again = fixture.member.post(&events, event).await?;
        ensure!(again.status == recorded.status, "expected {recorded:?}, found {again:?}");
        // A second event cannot record the same decision.
        fixture
            .member
            .record_event(&fixture.session, "hitl_resolved", payload(&escalation, decision))
            .await?
            .problem(409, "escalation_resolved")?;
    }
    let events = fixture.count("select count(*) from chat_events where type = 'hitl_resolved'").await?;
    let resolved = fixture.count("select count(*) from chat_escalations where status = 'resolved'").await?;
    ensure!((events, resolved) == (6, 6), "expected 6 events and 6 decisions, found {events} and {resolved}");
    Ok(())
}

#[tokio::test]
async fn event_with_answer_is_rejected_if_a_schema_exists() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let ask = |schema: Value| {
        json!({
            "reason": "Which?", "decisions": ["respond", "approve"], "risk": "low", "approver": "self",
            "schema": schema,
        })
    };
    let question = fixture.ask_as_agent(ask(json!({ "type": "string" }))).await?;
    let respond = |escalation: &Value, answer: Value| {
        let mut payload = payload(escalation, "respond");
        payload["answer"] = answer;
        payload
    };
    // Events are not validated against the schema, so a valid answer is rejected as well.
    for answer in [json!("this"), json!(7)] {
        let event = fixture
            .member
            .record_event(&fixture.session, "hitl_resolved", respond(&question, answer))
            .await?;
        event.problem(422, "answer_not_checked")?;
    }
    ensure!(fixture.claim_calls().await?.is_empty(), "an event released the call");
    decide_with_answer(&fixture.member, &question, "respond", json!("this")).await?.expect(200)?;
    for call in fixture.claim_calls().await? {
        stack.finish_delivery(&call, json!({ "kind": "completed" })).await?;
    }
    // A decision without an answer, and an answer without a schema, need no validation.
    let question = fixture.ask_as_agent(ask(json!({ "type": "string" }))).await?;
    fixture
        .member
        .record_event(&fixture.session, "hitl_resolved", payload(&question, "approve"))
        .await?
        .expect(201)?;
    for call in fixture.claim_calls().await? {
        stack.finish_delivery(&call, json!({ "kind": "completed" })).await?;
    }
    let question = fixture.ask_as_agent(ask(Value::Null)).await?;
    fixture
        .member
        .record_event(&fixture.session, "hitl_resolved", respond(&question, json!("this")))
        .await?
        .expect(201)?;
    let calls = fixture.claim_calls().await?;
    ensure!(
        calls.len() == 1 && calls[0]["decision"]["answer"] == "this",
        "expected one call with the answer: {calls:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn event_decides_only_for_its_session_and_user() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(12_000).await?;
    let page_escalation = fixture.escalate_from_page(json!({})).await?;
    let resolve = async |session: &str, payload: Value| {
        fixture.member.record_event(session, "hitl_resolved", payload).await
    };
    resolve(&fixture.session, payload(&held, "approve")).await?.problem(403, "own_request")?;
    let other = fixture.member.open_session_path().await?;
    resolve(&other, payload(&page_escalation, "approve")).await?.problem(404, "escalation_not_found")?;
    let approved = fixture
        .approver
        .record_event(&fixture.session, "hitl_resolved", payload(&page_escalation, "approve"))
        .await?;
    approved.problem(404, "session_not_found")?;
    let mut mismatch = payload(&page_escalation, "approve");
    mismatch["subjectHash"] = held["subjectHash"].clone();
    resolve(&fixture.session, mismatch).await?.problem(409, "subject_changed")?;
    resolve(&fixture.session, payload(&page_escalation, "edit"))
        .await?
        .problem(422, "decision_not_offered")?;
    // A request is recorded completely or not at all, so the first event is not recorded either.
    let both = json!([
        { "id": Uuid::new_v4(), "type": "custom_first", "payload": {} },
        { "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": payload(&held, "approve") },
    ]);
    fixture.member.post(&format!("{}/events", fixture.session), both).await?.problem(403, "own_request")?;
    let count = fixture.count("select count(*) from chat_events where type = 'custom_first'").await?;
    ensure!(count == 0, "{count} events of the rejected request were recorded");
    ensure!(fixture.claim_calls().await?.is_empty(), "an event released the call");
    Ok(())
}

fn payload(escalation: &Value, decision: &str) -> Value {
    json!({
        "escalationId": escalation["id"], "decision": decision, "subjectHash": escalation["subjectHash"],
    })
}
