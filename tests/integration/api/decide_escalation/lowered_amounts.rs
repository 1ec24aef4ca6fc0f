//! An edit that only lowers the amount is released at once if the tool sets
//! `release_lowered_amount`, and otherwise needs an approval.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, CALLED, compare_rows, complete_calls, newest_outcomes, open_escalation, record_tool_events,
    register_tools, tool,
};

/// The requester may answer the question of the agent, but the policy of the tool requires an
/// approval of the edited call.
#[tokio::test]
async fn requester_who_lowers_the_amount_needs_approval() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = EscalationFixture::new(&stack, json!({})).await?;
    let owner = User { role: OrgRole::Owner, ..fixture.member.user.clone() };
    stack.upsert_user(&owner).await?;
    fixture.member = TestClient::from_user(&stack, owner);
    let fields_with = |policy: &str| {
        json!({
            "policy": policy, "risk": "low", "approver": "self", "amount_pointer": "/data/amount",
            "release_lowered_amount": true,
        })
    };
    fixture.register_pay_tool(fields_with("auto")).await?;
    let payment = |amount: u32| json!({ "action": "pay", "data": { "amount": amount } });
    fixture.member.record_event(&fixture.session, "button_click", payment(500)).await?.expect(201)?;
    let calls = fixture.claim_calls().await?;
    ensure!(calls.len() == 1, "expected one call: {calls:#?}");
    let ask = json!({ "reason": "How much?", "decisions": ["edit", "reject"] });
    stack.finish_delivery(&calls[0], json!({ "kind": "ask", "ask": ask })).await?;
    let question = fixture.newest_escalation("agent_asked").await?;
    fixture.register_pay_tool(fields_with("ask")).await?;

    decide_with_answer(&fixture.member, &question, "edit", payment(400)).await?.expect(200)?;
    let successor = fixture.newest_escalation("policy").await?;
    ensure!(successor["authorId"] == json!(fixture.member.user.id), "expected the author: {successor:#}");
    ensure!(fixture.claim_calls().await?.is_empty(), "the requester released the call");
    decide(&fixture.approver, &successor, "approve").await?.expect(200)?;
    ensure!(fixture.claim_calls().await?.len() == 1, "expected one call after the approval");
    Ok(())
}

/// Description, recorded payload, edited payload, and outcome.
fn rows() -> Vec<(&'static str, Value, Value, &'static str)> {
    let payment =
        |amount: Value| json!({ "amount": amount, "currency": "EUR", "to": "ACME", "lines": [1, 2] });
    let edited = |changes: Value| {
        let mut all = payment(json!(400));
        if let (Some(all), Value::Object(changes)) = (all.as_object_mut(), changes) {
            all.extend(changes);
        }
        all
    };
    let without = |field: &str| {
        let mut all = payment(json!(400));
        all.as_object_mut().map(|all| all.remove(field));
        all
    };
    let mut rows = vec![
        ("lowered", payment(json!(500)), payment(json!(400)), CALLED),
        ("lowered by the least", payment(json!(500)), payment(json!(499.99)), CALLED),
        ("lowered to nothing", payment(json!(500)), payment(json!(0)), CALLED),
        ("lowered as a text", payment(json!("500")), payment(json!("400")), CALLED),
        ("lowered below zero", payment(json!(-500)), payment(json!(-400)), CALLED),
        ("lowered below zero as a text", payment(json!("-500")), payment(json!("-400")), CALLED),
        ("raised", payment(json!(500)), payment(json!(600)), ASK),
        ("raised by the least", payment(json!(500)), payment(json!(500.01)), ASK),
        ("raised below zero", payment(json!(-500)), payment(json!(-600)), ASK),
        ("equal", payment(json!(500)), payment(json!(500)), ASK),
        ("equal in another notation", payment(json!("500")), payment(json!("500.00")), ASK),
        ("type changed to a text", payment(json!(500)), payment(json!("400")), ASK),
        ("type changed to a number", payment(json!("500")), payment(json!(400)), ASK),
        ("sign flipped", payment(json!(500)), payment(json!(-400)), ASK),
        ("sign flipped to positive", payment(json!(-500)), payment(json!(400)), ASK),
        ("sign flipped in a text", payment(json!("500")), payment(json!("-400")), ASK),
    ];
    for (description, edit) in [
        ("currency changed", edited(json!({ "currency": "USD" }))),
        ("payee changed", edited(json!({ "to": "Me" }))),
        ("payee removed", without("to")),
        ("payee's type changed", edited(json!({ "to": ["ACME"] }))),
        ("field added", edited(json!({ "note": "x" }))),
        ("order of a list changed", edited(json!({ "lines": [2, 1] }))),
    ] {
        rows.push((description, payment(json!(500)), edit, ASK));
    }
    rows
}

#[tokio::test]
async fn edit_that_only_lowers_the_amount_is_released() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.add_colleague(OrgRole::Admin).await?;
    let org_id = fixture.member.user.org_id;
    let fields = |release: Value| {
        json!({
            "policy": "ask", "amount_pointer": "/amount", "currency_pointer": "/currency",
            "release_lowered_amount": release,
        })
    };
    let rows = rows();
    let names: Vec<String> = (0..rows.len()).map(|row| format!("row_{row:02}")).collect();
    let mut tools: Vec<Value> = names.iter().map(|name| tool(name, &fields(json!(true)))).collect();
    tools.extend([
        tool("without_flag", &fields(json!(false))),
        tool("flag_left_out", &json!({ "policy": "ask", "amount_pointer": "/amount" })),
        tool("own", &fields(json!(true))),
        tool("handed_over", &fields(json!(true))),
    ]);
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let mut events: Vec<(&str, Value)> = names
        .iter()
        .zip(&rows)
        .map(|(name, (_, recorded, _, _))| (name.as_str(), recorded.clone()))
        .collect();
    let (payment, lowered) =
        (json!({ "amount": 500, "currency": "EUR" }), json!({ "amount": 400, "currency": "EUR" }));
    for name in ["without_flag", "flag_left_out", "own"] {
        events.push((name, payment.clone()));
    }
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    ensure!(complete_calls(&stack).await?.is_empty(), "expected every payment to be held");

    let mut expected = Vec::new();
    for (name, (description, _, edit, outcome)) in names.iter().zip(&rows) {
        let held = open_escalation(&stack, org_id, name).await?;
        decide_with_answer(&fixture.approver, &held, "edit", edit.clone()).await?.expect(200)?;
        expected.push((name.as_str(), *description, *outcome));
    }
    for name in ["without_flag", "flag_left_out"] {
        let held = open_escalation(&stack, org_id, name).await?;
        decide_with_answer(&fixture.approver, &held, "edit", lowered.clone()).await?.expect(200)?;
        expected.push((name, name, ASK));
    }
    // The requester may not lower the amount either, in any role.
    let owner = User { role: OrgRole::Owner, ..fixture.member.user.clone() };
    stack.upsert_user(&owner).await?;
    fixture.member = TestClient::from_user(&stack, owner);
    let held = open_escalation(&stack, org_id, "own").await?;
    decide_with_answer(&fixture.member, &held, "edit", lowered.clone()).await?.problem(403, "own_request")?;
    expected.push(("own", "edited by the requester", ASK));

    let after_handover = edit_after_handover(&fixture, &payment, &lowered).await?;
    let calls = complete_calls(&stack).await?;
    let outcomes = newest_outcomes(&stack, org_id).await?;
    let comparisons = expected.into_iter().map(|(name, description, outcome)| {
        (description.to_owned(), outcome.to_owned(), outcomes.get(name).cloned().unwrap_or_default())
    });
    compare_rows(comparisons.chain([("handed over".to_owned(), ASK.to_owned(), after_handover)]))?;
    for (name, (description, _, edit, _)) in names.iter().zip(&rows) {
        let sent: Vec<&Value> = calls.iter().filter(|call| call["tool"] == **name).collect();
        ensure!(
            sent.iter().all(|call| call["inputs"] == *edit),
            "{description}: expected the edited inputs: {sent:#?}"
        );
    }
    Ok(())
}

/// Lowers the amount after a handover. The approver has not seen the call to the new agent, so it
/// needs an approval.
async fn edit_after_handover(
    fixture: &EscalationFixture<'_>,
    payment: &Value,
    lowered: &Value,
) -> Result<String> {
    let (stack, org_id) = (fixture.stack, fixture.member.user.org_id);
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    let session = fixture.member.open_session_path().await?;
    record_tool_events(&fixture.member, &session, &[("handed_over", payment.clone())]).await?;
    complete_calls(stack).await?;
    let held = open_escalation(stack, org_id, "handed_over").await?;
    fixture
        .member
        .record_event(&session, "handover", json!({ "agentId": "tax_compliance" }))
        .await?
        .expect(201)?;
    decide_with_answer(&fixture.approver, &held, "edit", lowered.clone()).await?.expect(200)?;
    complete_calls(stack).await?;
    let successor = open_escalation(stack, org_id, "handed_over").await?;
    decide(&fixture.approver, &successor, "approve").await?.problem(403, "author_may_not_decide")?;
    Ok(newest_outcomes(stack, org_id).await?.get("handed_over").cloned().unwrap_or_default())
}
