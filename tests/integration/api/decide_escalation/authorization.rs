//! Authorization of decisions. The database checks role and membership at the time of the decision.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;
use crate::support::escalations::{
    EscalationFixture, decide, decide_with_answer, with_unknown_id, without_request_ids,
};

#[tokio::test]
async fn owner_admin_and_approver_may_approve() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    for role in [OrgRole::Owner, OrgRole::Admin, OrgRole::Approver] {
        let held = fixture.hold_payment(12_000).await?;
        let decider = fixture.add_colleague(role).await?;
        let decided = decide(&decider, &held, "approve").await?.expect(200)?;
        ensure!(
            decided["escalation"]["decidedBy"] == json!(decider.user.id),
            "expected the decider: {decided:#}"
        );
        ensure!(decided["event"]["actorId"] == json!(decider.user.id), "expected the decider: {decided:#}");
        let calls = fixture.claim_calls().await?;
        ensure!(
            calls.len() == 1 && calls[0]["decision"]["escalationId"] == held["id"],
            "expected one released call: {calls:#?}"
        );
        stack.finish_delivery(&calls[0], json!({ "kind": "completed" })).await?;
    }
    Ok(())
}

#[tokio::test]
async fn requester_may_withdraw_but_not_approve_own_payment() -> Result<()> {
    let stack = LocalStack::start().await?;
    for policy in [json!({}), json!({ "risk": "low" }), json!({ "risk": "low", "approver": "self" })] {
        let mut fixture = EscalationFixture::new(&stack, policy.clone()).await?;
        let held = fixture.hold_payment(12_000).await?;
        decide(&fixture.member, &held, "approve").await?.problem(403, "own_request")?;
        decide_with_answer(&fixture.member, &held, "edit", json!({ "amount": 1 }))
            .await?
            .problem(403, "own_request")?;
        // A role that approves does not change that.
        let owner = User { role: OrgRole::Owner, ..fixture.member.user.clone() };
        stack.upsert_user(&owner).await?;
        fixture.member = TestClient::from_user(&stack, owner);
        decide(&fixture.member, &held, "approve").await?.problem(403, "own_request")?;
        ensure!(fixture.claim_calls().await?.is_empty(), "{policy}: the requester released the call");
        decide(&fixture.approver, &held, "reject").await?.expect(200)?;
        let withdrawn = fixture.hold_payment(13_000).await?;
        decide(&fixture.member, &withdrawn, "reject").await?.expect(200)?;
        ensure!(fixture.claim_calls().await?.is_empty(), "{policy}: a rejected payment was called");
    }
    Ok(())
}

#[tokio::test]
async fn requester_may_answer_own_low_risk_question() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let ask = |risk: &str, approver: &str| {
        json!({
            "reason": "Which?", "decisions": ["respond", "reject"], "risk": risk, "approver": approver,
        })
    };
    for (risk, approver) in [("low", "other"), ("medium", "self"), ("high", "self")] {
        let question = fixture.ask_as_agent(ask(risk, approver)).await?;
        decide_with_answer(&fixture.member, &question, "respond", json!("mine"))
            .await?
            .problem(403, "own_request")?;
        decide(&fixture.approver, &question, "reject").await?.expect(200)?;
        for call in fixture.claim_calls().await? {
            stack.finish_delivery(&call, json!({ "kind": "completed" })).await?;
        }
    }
    let question = fixture.ask_as_agent(ask("low", "self")).await?;
    decide_with_answer(&fixture.member, &question, "respond", json!("mine")).await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    ensure!(
        calls.len() == 1 && calls[0]["decision"]["answer"] == "mine",
        "expected one call with the answer: {calls:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn other_callers_get_404_as_for_an_unknown_id() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let foreign = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(12_000).await?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let foreign_owner = foreign.add_colleague(OrgRole::Owner).await?;
    for other in [&colleague, &foreign.member, &foreign.approver, &foreign_owner] {
        for with_answer in [false, true] {
            let send = async |escalation: &Value| {
                if with_answer {
                    decide_with_answer(other, escalation, "edit", json!({ "amount": 1 })).await
                } else {
                    decide(other, escalation, "approve").await
                }
            };
            let existing = send(&held).await?.problem(404, "escalation_not_found")?;
            let unknown = send(&with_unknown_id(&held)).await?.problem(404, "escalation_not_found")?;
            ensure!(
                without_request_ids(existing) == without_request_ids(unknown),
                "expected the same response for an existing and an unknown escalation"
            );
        }
    }
    ensure!(fixture.claim_calls().await?.is_empty(), "another caller released the call");
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    Ok(())
}

/// The token still contains the former role and organisation.
#[tokio::test]
async fn approver_who_lost_role_or_membership_may_not_decide() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(12_000).await?;
    for (changed, status, code) in [
        (User { role: OrgRole::Member, ..fixture.approver.user.clone() }, 404, "escalation_not_found"),
        (User { org_id: Uuid::new_v4(), ..fixture.approver.user.clone() }, 403, "not_a_member"),
    ] {
        stack.upsert_user(&changed).await?;
        // Reads use the claims of the token, so the list still contains the escalation.
        let list = fixture.approver.get("/chatkit/escalations").await?.expect(200)?;
        ensure!(!list["escalations"][0].is_null(), "expected the escalation in the list: {list:#}");
        for decision in ["approve", "reject"] {
            decide(&fixture.approver, &held, decision).await?.problem(status, code)?;
        }
        decide_with_answer(&fixture.approver, &held, "edit", json!({ "amount": 1 }))
            .await?
            .problem(status, code)?;
    }
    ensure!(fixture.claim_calls().await?.is_empty(), "a former approver released the call");
    let ban = "update auth.users set banned_until = now() + interval '1 hour' where id = $1";
    stack.upsert_user(&fixture.approver.user).await?;
    sqlx::query(ban).bind(fixture.approver.user.id).execute(stack.database()).await?;
    decide(&fixture.approver, &held, "approve").await?.problem(403, "not_a_member")?;
    let another = fixture.add_colleague(OrgRole::Approver).await?;
    decide(&another, &held, "approve").await?.expect(200)?;
    Ok(())
}
