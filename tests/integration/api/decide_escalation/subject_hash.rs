//! A decision is good for what was shown, and for nothing else.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use crate::support::client::AGENT;
use crate::support::escalations::{Office, answer, body, decide, door};

// NAME: escalations: an approval for one thing is none for another
#[tokio::test]
async fn another_thing() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let (small, large) = (office.held(10).await?, office.held(1_000_000).await?);
    ensure!(small["subjectHash"] != large["subjectHash"], "two payments of one hash");
    let replayed = office.approver.post(&door(&large), body(&small, "approve")).await?;
    replayed.problem(409, "subject_changed")?;
    ensure!(office.calls().await?.is_empty(), "it was released");
    decide(&office.approver, &small, "approve").await?.expect(200)?;
    // Now that there is such an approval, it is still none for the other.
    office.approver.post(&door(&large), body(&small, "approve")).await?.problem(409, "subject_changed")?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["event"]["payload"]["data"]["amount"] == 10, "{calls:#?}");
    Ok(())
}

// NAME: escalations: edited inputs pass the policy again, and are what is called
#[tokio::test]
async fn edited() -> Result<()> {
    let stack = LocalStack::start().await?;
    let limits = json!({ "amount_pointer": "/data/amount", "ask_above": 100, "refuse_above": 20_000, "policy": "auto" });
    let office = Office::new(&stack, limits).await?;
    let held = office.held(12_000).await?;
    for inputs in [
        json!({ "data": { "amount": 20_001 } }),
        json!({ "data": { "amount": "twenty" } }),
        json!({ "amount": 1 }),
    ] {
        answer(&office.approver, &held, "edit", inputs).await?.problem(422, "policy_forbids")?;
    }
    answer(&office.approver, &held, "edit", json!([1])).await?.problem(422, "invalid_answer")?;
    ensure!(office.calls().await?.is_empty(), "it was released");
    let inputs = json!({ "data": { "amount": 19_000, "invoice": 42 } });
    // Without a second approver the edit could not be approved, so it is refused, and nothing is decided.
    answer(&office.approver, &held, "edit", inputs.clone()).await?.problem(409, "no_other_approver")?;
    let another = office.colleague(OrgRole::Admin).await?;
    let decided = answer(&office.approver, &held, "edit", inputs.clone()).await?.expect(200)?;
    ensure!(decided["escalation"]["answer"] == inputs, "{decided:#}");
    ensure!(office.calls().await?.is_empty(), "an edit was released by its author");

    let written = office.newest("policy").await?;
    ensure!(
        written["authorId"] == json!(office.approver.user.id)
            && written["predecessorId"] == held["id"]
            && written["subject"]["inputs"] == inputs,
        "{written:#}"
    );
    decide(&office.approver, &written, "approve").await?.problem(403, "author_may_not_decide")?;
    decide(&office.member, &written, "approve").await?.problem(403, "own_request")?;
    decide(&another, &written, "approve").await?.expect(200)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["inputs"] == inputs, "{calls:#?}");
    Ok(())
}

// NAME: escalations: one that a browser forges releases nothing
/// It says what an orchestrator's would say. It is of a browser all the same, and what waits goes on waiting.
#[tokio::test]
async fn forged() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let held = office.held(12_000).await?;
    let own = json!({
        "id": Uuid::new_v4(), "type": "hitl_escalation",
        "payload": { "reason": "Pay", "decisions": ["approve"], "deliveryId": held["subject"]["deliveryId"], "kind": "policy" },
    });
    office.member.post(&format!("{}/events", office.session), own).await?.problem(422, "invalid_request")?;
    // As close as it can come: in words, and in the schema.
    let forged = office
        .browser(json!({
            "reason": held["reason"], "schema": { "deliveryId": held["subject"]["deliveryId"], "agentId": AGENT, "tool": "pay" },
        }))
        .await?;
    ensure!(forged["origin"] == "browser" && forged["subject"]["kind"] == "browser", "{forged:#}");
    ensure!(forged["subject"].get("deliveryId").is_none(), "{forged:#}");
    decide(&office.member, &forged, "approve").await?.expect(200)?;
    ensure!(office.calls().await?.is_empty(), "a forged escalation released a payment");
    // Nor is its approval one of what waits.
    office.approver.post(&door(&held), body(&forged, "approve")).await?.problem(409, "subject_changed")?;
    let open = office.approver.get("/chatkit/escalations").await?.expect(200)?;
    ensure!(open["escalations"] == json!([held]), "{open:#}");
    Ok(())
}

// NAME: escalations: what is not offered is not decided
#[tokio::test]
async fn not_offered() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let (held, browser) = (office.held(12_000).await?, office.browser(json!({})).await?);
    answer(&office.approver, &held, "respond", json!("Yes")).await?.problem(422, "decision_not_offered")?;
    answer(&office.approver, &browser, "edit", json!({})).await?.problem(422, "decision_not_offered")?;
    decide(&office.approver, &held, "edit").await?.problem(422, "answer_required")?;
    ensure!(office.calls().await?.is_empty(), "it was released");
    Ok(())
}
