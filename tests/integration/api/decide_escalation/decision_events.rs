//! `hitl_resolved` is the same decision, said by an event.

use anyhow::{Result, ensure};
use futures_util::future::join;
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::escalations::{Office, answer, decide};

/// What an event says to decide what is shown.
fn payload(escalation: &Value, decision: &str) -> Value {
    json!({ "escalationId": escalation["id"], "decision": decision, "subjectHash": escalation["subjectHash"] })
}

// NAME: escalations: an event decides like the endpoint, and one of them wins
#[tokio::test]
async fn the_same() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    for _ in 0..6 {
        let asked = office.browser(json!({})).await?;
        let event =
            json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": payload(&asked, "approve") });
        let events = format!("{}/events", office.session);
        let (said, decided) =
            join(office.member.post(&events, event.clone()), decide(&office.approver, &asked, "reject"))
                .await;
        let (said, decided) = (said?, decided?);
        let (decision, late) =
            if said.status == 201 { ("approve", decided) } else { ("reject", said.clone()) };
        let late = late.problem(409, "escalation_resolved")?;
        ensure!(late["decision"]["decision"] == decision, "{late:#}");
        // Said again it is what it was: recorded, or too late.
        let again = office.member.post(&events, event).await?;
        ensure!(again.status == said.status, "{again:?} instead of {said:?}");
        // And a decision is said by one event.
        office
            .member
            .record(&office.session, "hitl_resolved", payload(&asked, decision))
            .await?
            .problem(409, "escalation_resolved")?;
    }
    let said = office.count("select count(*) from chat_events where type = 'hitl_resolved'").await?;
    let resolved = office.count("select count(*) from chat_escalations where status = 'resolved'").await?;
    ensure!((said, resolved) == (6, 6), "{said} events say {resolved} decisions");
    Ok(())
}

// NAME: escalations: an event's answer is not taken where it has a schema
#[tokio::test]
async fn unchecked() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let ask = |schema: Value| json!({ "reason": "Which?", "decisions": ["respond", "approve"], "risk": "low", "approver": "self", "schema": schema });
    let asked = office.asked(ask(json!({ "type": "string" }))).await?;
    let said = |escalation: &Value, answer: Value| {
        let mut payload = payload(escalation, "respond");
        payload["answer"] = answer;
        payload
    };
    // Right or wrong, nobody has looked.
    for answer in [json!("this"), json!(7)] {
        let event = office.member.record(&office.session, "hitl_resolved", said(&asked, answer)).await?;
        event.problem(422, "answer_not_checked")?;
    }
    ensure!(office.calls().await?.is_empty(), "the agent was answered");
    answer(&office.member, &asked, "respond", json!("this")).await?.expect(200)?;
    for call in office.calls().await? {
        stack.finish(&call, json!({ "kind": "completed" })).await?;
    }
    // A decision without an answer has nothing to be checked, and an answer without a schema nothing to be checked against.
    let asked = office.asked(ask(json!({ "type": "string" }))).await?;
    office.member.record(&office.session, "hitl_resolved", payload(&asked, "approve")).await?.expect(201)?;
    for call in office.calls().await? {
        stack.finish(&call, json!({ "kind": "completed" })).await?;
    }
    let asked = office.asked(ask(Value::Null)).await?;
    office.member.record(&office.session, "hitl_resolved", said(&asked, json!("this"))).await?.expect(201)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["decision"]["answer"] == "this", "{calls:#?}");
    Ok(())
}

// NAME: escalations: an event decides what is its own session's and user's
#[tokio::test]
async fn own() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let held = office.held(12_000).await?;
    let browser = office.browser(json!({})).await?;
    let say =
        async |session: &str, payload: Value| office.member.record(session, "hitl_resolved", payload).await;
    say(&office.session, payload(&held, "approve")).await?.problem(403, "own_request")?;
    let other = office.member.open_path().await?;
    say(&other, payload(&browser, "approve")).await?.problem(404, "escalation_not_found")?;
    let approved =
        office.approver.record(&office.session, "hitl_resolved", payload(&browser, "approve")).await?;
    approved.problem(404, "session_not_found")?;
    let mut misled = payload(&browser, "approve");
    misled["subjectHash"] = held["subjectHash"].clone();
    say(&office.session, misled).await?.problem(409, "subject_changed")?;
    say(&office.session, payload(&browser, "edit")).await?.problem(422, "decision_not_offered")?;
    // All or nothing: the click beside it is not on record either.
    let both = json!([
        { "id": Uuid::new_v4(), "type": "custom_beside", "payload": {} },
        { "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": payload(&held, "approve") },
    ]);
    office.member.post(&format!("{}/events", office.session), both).await?.problem(403, "own_request")?;
    let beside = office.count("select count(*) from chat_events where type = 'custom_beside'").await?;
    ensure!(beside == 0 && office.calls().await?.is_empty());
    Ok(())
}
