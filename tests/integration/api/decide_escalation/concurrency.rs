//! Concurrent and repeated decisions record one decision.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{
    EscalationFixture, decide, decide_with_answer, decide_with_key, decision_body,
};

#[tokio::test]
async fn concurrent_decisions_record_one_decision() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut approvers = Vec::new();
    for _ in 0..4 {
        approvers.push(fixture.add_colleague(OrgRole::Approver).await?);
    }
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(fixture.hold_payment(12_000).await?);
    }
    for (index, escalation) in held.iter().enumerate() {
        let decisions = (0..8).map(async |device| {
            let client = &approvers[device % approvers.len()];
            let decision = if (device + index).is_multiple_of(2) { "approve" } else { "reject" };
            Ok::<_, anyhow::Error>((client, decision, decide(client, escalation, decision).await?))
        });
        check_one_decision(try_join_all(decisions).await?)?;
    }
    let approved = fixture.count("select count(*) from chat_escalations where decision = 'approve'").await?;
    let events = fixture.count("select count(*) from chat_events where type = 'hitl_resolved'").await?;
    ensure!(events == 6, "expected 6 events for 6 decisions, found {events}");
    let mut called = 0;
    // The calls of a session are claimed one at a time.
    loop {
        let calls = fixture.claim_calls().await?;
        let [call] = &calls[..] else { break };
        called += 1;
        stack.finish_delivery(call, json!({ "kind": "completed" })).await?;
    }
    ensure!(called == approved, "expected {approved} approved calls, found {called}");
    Ok(())
}

#[tokio::test]
async fn repeated_decision_returns_the_same_response() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let ask = json!({ "reason": "Which?", "decisions": ["respond"], "schema": { "type": "string" } });
    let question = fixture.ask_as_agent(ask).await?;
    let first =
        decide_with_answer(&fixture.approver, &question, "respond", json!("this")).await?.expect(200)?;
    let again =
        decide_with_answer(&fixture.approver, &question, "respond", json!("this")).await?.expect(200)?;
    ensure!(first == again, "expected {first:#}, found {again:#}");
    let decided = &first["escalation"];
    // A different answer is a different decision, even one that does not match the schema.
    for other in [json!("that"), json!(7)] {
        expect_resolved(decide_with_answer(&fixture.approver, &question, "respond", other).await?, decided)?;
    }
    let colleague = fixture.add_colleague(OrgRole::Owner).await?;
    expect_resolved(decide_with_answer(&colleague, &question, "respond", json!("this")).await?, decided)?;
    let events = fixture.count("select count(*) from chat_events where type = 'hitl_resolved'").await?;
    let calls = fixture.claim_calls().await?.len();
    ensure!((events, calls) == (1, 1), "expected one event and one call, found {events} and {calls}");
    Ok(())
}

#[tokio::test]
async fn idempotency_key_covers_one_decision() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let (one, other) = (fixture.hold_payment(10).await?, fixture.hold_payment(20).await?);
    let approval = decision_body(&one, "approve");
    let first = decide_with_key(&fixture.approver, &one, approval.clone(), "a-key").await?.expect(200)?;
    let again = decide_with_key(&fixture.approver, &one, approval, "a-key").await?.expect(200)?;
    ensure!(first == again, "expected {first:#}, found {again:#}");
    // The key is reused for another decision, and for another escalation.
    for (escalation, decision) in [(&one, "reject"), (&other, "approve")] {
        let reused =
            decide_with_key(&fixture.approver, escalation, decision_body(escalation, decision), "a-key")
                .await?;
        reused.problem(422, "idempotency_key_reused")?;
    }
    // The body of the first escalation quotes another subject hash than the second one has.
    let mismatch =
        decide_with_key(&fixture.approver, &other, decision_body(&one, "approve"), "a-key").await?;
    mismatch.problem(409, "subject_changed")?;
    decide_with_key(&fixture.approver, &other, decision_body(&other, "approve"), "two words")
        .await?
        .problem(400, "invalid_idempotency_key")?;
    // Keys of different users are independent.
    let colleague = fixture.add_colleague(OrgRole::Approver).await?;
    decide_with_key(&colleague, &other, decision_body(&other, "reject"), "a-key").await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    ensure!(
        calls.len() == 1 && calls[0]["event"]["payload"]["data"]["amount"] == 10,
        "expected the call of the approved payment: {calls:#?}"
    );
    Ok(())
}

/// Checks that the response to a late decision contains the recorded one.
fn expect_resolved(response: TestResponse, decided: &Value) -> Result<()> {
    let problem = response.problem(409, "escalation_resolved")?;
    let recorded = json!({
        "decision": decided["decision"], "decidedBy": decided["decidedBy"], "decidedAt": decided["decidedAt"],
    });
    ensure!(problem["decision"] == recorded, "expected {recorded:#}, found {problem:#}");
    Ok(())
}

/// Checks that one request recorded its decision, and that the others report that decision.
fn check_one_decision(decisions: Vec<(&TestClient, &str, TestResponse)>) -> Result<()> {
    let first = decisions.iter().find(|(_, _, response)| response.status == 200);
    let (client, decision, response) = first.context("expected one request to succeed")?;
    let (decider, recorded) = (client.user.id, response.body["escalation"].clone());
    ensure!(
        recorded["decidedBy"] == json!(decider) && recorded["decision"] == *decision,
        "expected {decision} by {decider}: {recorded:#}"
    );
    for (client, decision, response) in decisions {
        if client.user.id == decider && recorded["decision"] == decision {
            ensure!(
                response.expect(200)?["escalation"] == recorded,
                "expected the recorded decision for the same decision of the same user"
            );
        } else {
            expect_resolved(response, &recorded)?;
        }
    }
    Ok(())
}
