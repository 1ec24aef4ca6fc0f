//! Who may decide. The database is asked, in the moment of deciding.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::json;
use uuid::Uuid;

use crate::support::client::TestClient;
use crate::support::escalations::{Office, answer, decide, door, nobodys, without_occurrence};

// NAME: escalations: owners, admins and approvers decide
#[tokio::test]
async fn approvers() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    for role in [OrgRole::Owner, OrgRole::Admin, OrgRole::Approver] {
        let held = office.held(12_000).await?;
        let decider = office.colleague(role).await?;
        let decided = decide(&decider, &held, "approve").await?.expect(200)?;
        ensure!(decided["escalation"]["decidedBy"] == json!(decider.user.id), "{decided:#}");
        ensure!(decided["event"]["actorId"] == json!(decider.user.id), "{decided:#}");
        let calls = office.calls().await?;
        ensure!(calls.len() == 1 && calls[0]["decision"]["escalationId"] == held["id"], "{calls:#?}");
        stack.finish(&calls[0], json!({ "kind": "completed" })).await?;
    }
    Ok(())
}

// NAME: escalations: one's own payment is another person's to approve, and one's own to withdraw
/// Not by asking for it as an approver either.
#[tokio::test]
async fn own_payment() -> Result<()> {
    let stack = LocalStack::start().await?;
    for policy in [json!({}), json!({ "risk": "low" }), json!({ "risk": "low", "approver": "self" })] {
        let mut office = Office::new(&stack, policy.clone()).await?;
        let held = office.held(12_000).await?;
        decide(&office.member, &held, "approve").await?.problem(403, "own_request")?;
        answer(&office.member, &held, "edit", json!({ "amount": 1 })).await?.problem(403, "own_request")?;
        // Whatever the role.
        let owner = User { role: OrgRole::Owner, ..office.member.user.clone() };
        stack.put_user(&owner).await?;
        office.member = TestClient::of(&stack, owner);
        decide(&office.member, &held, "approve").await?.problem(403, "own_request")?;
        ensure!(office.calls().await?.is_empty(), "{policy}: it was released");
        decide(&office.approver, &held, "reject").await?.expect(200)?;
        let withdrawn = office.held(13_000).await?;
        decide(&office.member, &withdrawn, "reject").await?.expect(200)?;
        ensure!(office.calls().await?.is_empty(), "{policy}: a payment that was rejected is made");
    }
    Ok(())
}

// NAME: escalations: one's own request is one's own below that
#[tokio::test]
async fn own_request() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let ask = |risk: &str, approver: &str| json!({ "reason": "Which?", "decisions": ["respond", "reject"], "risk": risk, "approver": approver });
    for (risk, approver) in [("low", "other"), ("medium", "self"), ("high", "self")] {
        let asked = office.asked(ask(risk, approver)).await?;
        answer(&office.member, &asked, "respond", json!("mine")).await?.problem(403, "own_request")?;
        decide(&office.approver, &asked, "reject").await?.expect(200)?;
        for call in office.calls().await? {
            stack.finish(&call, json!({ "kind": "completed" })).await?;
        }
    }
    let asked = office.asked(ask("low", "self")).await?;
    answer(&office.member, &asked, "respond", json!("mine")).await?.expect(200)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["decision"]["answer"] == "mine", "{calls:#?}");
    Ok(())
}

// NAME: escalations: somebody else's is one that does not exist
#[tokio::test]
async fn somebody_elses() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let elsewhere = Office::new(&stack, json!({})).await?;
    let held = office.held(12_000).await?;
    let colleague = office.colleague(OrgRole::Member).await?;
    let owner_elsewhere = elsewhere.colleague(OrgRole::Owner).await?;
    for other in [&colleague, &elsewhere.member, &elsewhere.approver, &owner_elsewhere] {
        for with_answer in [false, true] {
            let ask = async |escalation: &serde_json::Value| {
                if with_answer {
                    answer(other, escalation, "edit", json!({ "amount": 1 })).await
                } else {
                    decide(other, escalation, "approve").await
                }
            };
            let theirs = ask(&held).await?.problem(404, "escalation_not_found")?;
            let nobodys = ask(&nobodys(&held)).await?.problem(404, "escalation_not_found")?;
            ensure!(without_occurrence(theirs) == without_occurrence(nobodys), "they are told apart");
        }
    }
    ensure!(office.calls().await?.is_empty(), "it was released");
    decide(&office.approver, &held, "approve").await?.expect(200)?;
    Ok(())
}

// NAME: escalations: who lost the role or the organisation does not decide
/// Their tokens are an hour old and say otherwise.
#[tokio::test]
async fn dismissed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let held = office.held(12_000).await?;
    for (now, status, code) in [
        (User { role: OrgRole::Member, ..office.approver.user.clone() }, 404, "escalation_not_found"),
        (User { org_id: Uuid::new_v4(), ..office.approver.user.clone() }, 403, "not_a_member"),
    ] {
        stack.put_user(&now).await?;
        // It is still shown: reading goes by the token. But nothing can be done with it.
        ensure!(!office.approver.get("/chatkit/escalations").await?.expect(200)?["escalations"][0].is_null());
        for decision in ["approve", "reject"] {
            decide(&office.approver, &held, decision).await?.problem(status, code)?;
        }
        answer(&office.approver, &held, "edit", json!({ "amount": 1 })).await?.problem(status, code)?;
    }
    ensure!(office.calls().await?.is_empty(), "it was released");
    let banned = "update auth.users set banned_until = now() + interval '1 hour' where id = $1";
    stack.put_user(&office.approver.user).await?;
    sqlx::query(banned).bind(office.approver.user.id).execute(stack.database()).await?;
    decide(&office.approver, &held, "approve").await?.problem(403, "not_a_member")?;
    let another = office.colleague(OrgRole::Approver).await?;
    another.post(&door(&held), crate::support::escalations::body(&held, "approve")).await?.expect(200)?;
    Ok(())
}
