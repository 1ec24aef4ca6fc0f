//! However many decide, there is one decision.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{Office, answer, body, decide, keyed};

/// Whether somebody who came too late was told what stands.
fn too_late(reply: TestResponse, decided: &Value) -> Result<()> {
    let problem = reply.problem(409, "escalation_resolved")?;
    let stands = json!({
        "decision": decided["decision"], "decidedBy": decided["decidedBy"], "decidedAt": decided["decidedAt"],
    });
    ensure!(problem["decision"] == stands, "{problem:#} instead of {stands:#}");
    Ok(())
}

// NAME: escalations: of eight devices one wins, and the others hear of it
#[tokio::test]
async fn devices() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let mut people = Vec::new();
    for _ in 0..4 {
        people.push(office.colleague(OrgRole::Approver).await?);
    }
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(office.held(12_000).await?);
    }
    for (number, escalation) in held.iter().enumerate() {
        let clicks = (0..8).map(async |device| {
            let person = &people[device % people.len()];
            let decision = if (device + number).is_multiple_of(2) { "approve" } else { "reject" };
            Ok::<_, anyhow::Error>((person, decision, decide(person, escalation, decision).await?))
        });
        one_wins(try_join_all(clicks).await?)?;
    }
    let approved = office.count("select count(*) from chat_escalations where decision = 'approve'").await?;
    let events = office.count("select count(*) from chat_events where type = 'hitl_resolved'").await?;
    ensure!(events == 6, "{events} events say 6 decisions");
    let mut called = 0;
    // A session's calls are made one after the other.
    loop {
        let calls = office.calls().await?;
        let [call] = &calls[..] else { break };
        called += 1;
        stack.finish(call, json!({ "kind": "completed" })).await?;
    }
    ensure!(called == approved, "{called} calls of {approved} that were approved");
    Ok(())
}

fn one_wins(clicks: Vec<(&TestClient, &str, TestResponse)>) -> Result<()> {
    let winner = clicks.iter().find(|(_, _, reply)| reply.status == 200).context("nobody won")?;
    let (decider, won) = (winner.0.user.id, winner.2.body["escalation"].clone());
    ensure!(won["decidedBy"] == json!(decider) && won["decision"] == winner.1, "{won:#}");
    for (person, decision, reply) in clicks {
        if person.user.id == decider && won["decision"] == decision {
            ensure!(reply.expect(200)?["escalation"] == won, "another device of the winner's");
        } else {
            too_late(reply, &won)?;
        }
    }
    Ok(())
}

// NAME: escalations: the same decision again is answered the same
#[tokio::test]
async fn repeated() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let ask = json!({ "reason": "Which?", "decisions": ["respond"], "schema": { "type": "string" } });
    let asked = office.asked(ask).await?;
    let first = answer(&office.approver, &asked, "respond", json!("this")).await?.expect(200)?;
    let again = answer(&office.approver, &asked, "respond", json!("this")).await?.expect(200)?;
    ensure!(first == again, "{again:#} instead of {first:#}");
    let decided = &first["escalation"];
    // Another answer is another decision, and so is one that would not have been taken.
    for other in [json!("that"), json!(7)] {
        too_late(answer(&office.approver, &asked, "respond", other).await?, decided)?;
    }
    let colleague = office.colleague(OrgRole::Owner).await?;
    too_late(answer(&colleague, &asked, "respond", json!("this")).await?, decided)?;
    let events = office.count("select count(*) from chat_events where type = 'hitl_resolved'").await?;
    ensure!(events == 1 && office.calls().await?.len() == 1);
    Ok(())
}

// NAME: escalations: an idempotency key stands for one decision
#[tokio::test]
async fn under_a_key() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let (one, other) = (office.held(10).await?, office.held(20).await?);
    let first = keyed(&office.approver, &one, body(&one, "approve"), "a-key").await?.expect(200)?;
    ensure!(keyed(&office.approver, &one, body(&one, "approve"), "a-key").await?.expect(200)? == first);
    // With another decision, and with the same decision on something else.
    for (escalation, decision) in [(&one, "reject"), (&other, "approve")] {
        let reused = keyed(&office.approver, escalation, body(escalation, decision), "a-key").await?;
        reused.problem(422, "idempotency_key_reused")?;
    }
    // The very same body for another escalation names another subject.
    let misled = keyed(&office.approver, &other, body(&one, "approve"), "a-key").await?;
    misled.problem(409, "subject_changed")?;
    keyed(&office.approver, &other, body(&other, "approve"), "two words")
        .await?
        .problem(400, "invalid_idempotency_key")?;
    // Somebody else's key is another key.
    let colleague = office.colleague(OrgRole::Approver).await?;
    keyed(&colleague, &other, body(&other, "reject"), "a-key").await?.expect(200)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["event"]["payload"]["data"]["amount"] == 10, "{calls:#?}");
    Ok(())
}
