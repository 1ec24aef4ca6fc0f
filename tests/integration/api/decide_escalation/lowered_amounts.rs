//! An edit that only lowers the amount: released at once where the tool's registration says so, and nowhere else.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{Office, answer, decide};
use crate::support::tool_calls::{ASK, CALLED, compare, drain, outcomes, question, record, register, tool};

// NAME: escalations: a requester who may approve does not release a lower amount either
/// The agent's question is the requester's own to answer. What they write is still asked about at once, since the policy asks.
#[tokio::test]
async fn requester() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut office = Office::new(&stack, json!({})).await?;
    let owner = User { role: OrgRole::Owner, ..office.member.user.clone() };
    stack.put_user(&owner).await?;
    office.member = TestClient::of(&stack, owner);
    let terms = |policy: &str| {
        json!({
            "policy": policy, "risk": "low", "approver": "self", "amount_pointer": "/data/amount",
            "release_lowered_amount": true,
        })
    };
    office.policy(terms("auto")).await?;
    let payment = |amount: u32| json!({ "action": "pay", "data": { "amount": amount } });
    office.member.record(&office.session, "button_click", payment(500)).await?.expect(201)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1, "{calls:#?}");
    let ask = json!({ "reason": "How much?", "decisions": ["edit", "reject"] });
    stack.finish(&calls[0], json!({ "kind": "ask", "ask": ask })).await?;
    let asked = office.newest("agent_asked").await?;
    office.policy(terms("ask")).await?;

    answer(&office.member, &asked, "edit", payment(400)).await?.expect(200)?;
    let written = office.newest("policy").await?;
    ensure!(written["authorId"] == json!(office.member.user.id), "{written:#}");
    ensure!(office.calls().await?.is_empty(), "a requester released a call");
    decide(&office.approver, &written, "approve").await?.expect(200)?;
    ensure!(office.calls().await?.len() == 1, "it is not called");
    Ok(())
}

/// What was asked for, how it was edited, and what becomes of it.
fn rows() -> Vec<(&'static str, Value, Value, &'static str)> {
    let payment =
        |amount: Value| json!({ "amount": amount, "currency": "EUR", "to": "ACME", "lines": [1, 2] });
    let from = |amount: Value| payment(amount);
    let edited = |more: Value| {
        let mut all = payment(json!(400));
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    };
    let without = |field: &str| {
        let mut all = payment(json!(400));
        all.as_object_mut().map(|all| all.remove(field));
        all
    };
    let mut rows = vec![
        ("lowered", from(json!(500)), payment(json!(400)), CALLED),
        ("lowered by the least", from(json!(500)), payment(json!(499.99)), CALLED),
        ("lowered to nothing", from(json!(500)), payment(json!(0)), CALLED),
        ("lowered as a text", from(json!("500")), payment(json!("400")), CALLED),
        ("lowered below zero", from(json!(-500)), payment(json!(-400)), CALLED),
        ("lowered below zero as a text", from(json!("-500")), payment(json!("-400")), CALLED),
        ("raised", from(json!(500)), payment(json!(600)), ASK),
        ("raised by the least", from(json!(500)), payment(json!(500.01)), ASK),
        ("raised below zero", from(json!(-500)), payment(json!(-600)), ASK),
        ("equal", from(json!(500)), payment(json!(500)), ASK),
        ("equal, written otherwise", from(json!("500")), payment(json!("500.00")), ASK),
        ("type changed to a text", from(json!(500)), payment(json!("400")), ASK),
        ("type changed to a number", from(json!("500")), payment(json!(400)), ASK),
        ("sign flipped", from(json!(500)), payment(json!(-400)), ASK),
        ("sign flipped to positive", from(json!(-500)), payment(json!(400)), ASK),
        ("sign flipped in a text", from(json!("500")), payment(json!("-400")), ASK),
    ];
    for (what, edit) in [
        ("currency changed", edited(json!({ "currency": "USD" }))),
        ("payee changed", edited(json!({ "to": "Me" }))),
        ("payee removed", without("to")),
        ("payee's type changed", edited(json!({ "to": ["ACME"] }))),
        ("field added", edited(json!({ "note": "x" }))),
        ("order of a list changed", edited(json!({ "lines": [2, 1] }))),
    ] {
        rows.push((what, from(json!(500)), edit, ASK));
    }
    rows
}

// NAME: escalations: an edit is released at once only if it lowers the amount and nothing else
#[tokio::test]
async fn lowered() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut office = Office::new(&stack, json!({})).await?;
    office.colleague(OrgRole::Admin).await?;
    let org_id = office.member.user.org_id;
    let fields = |released: Value| {
        json!({
            "policy": "ask", "amount_pointer": "/amount", "currency_pointer": "/currency", "release_lowered_amount": released,
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
    register(&stack, org_id, AGENT, &tools, &[]).await?;
    let mut events: Vec<(&str, Value)> =
        names.iter().zip(&rows).map(|(name, (_, before, _, _))| (name.as_str(), before.clone())).collect();
    let (before, after) =
        (json!({ "amount": 500, "currency": "EUR" }), json!({ "amount": 400, "currency": "EUR" }));
    for name in ["without_flag", "flag_left_out", "own"] {
        events.push((name, before.clone()));
    }
    record(&office.member, &office.session, &events).await?;
    ensure!(drain(&stack).await?.is_empty(), "a payment was not held");

    let mut expected = Vec::new();
    for (name, (what, _, edit, outcome)) in names.iter().zip(&rows) {
        let held = question(&stack, org_id, name).await?;
        answer(&office.approver, &held, "edit", edit.clone()).await?.expect(200)?;
        expected.push((name.as_str(), *what, *outcome));
    }
    for name in ["without_flag", "flag_left_out"] {
        let held = question(&stack, org_id, name).await?;
        answer(&office.approver, &held, "edit", after.clone()).await?.expect(200)?;
        expected.push((name, name, ASK));
    }
    // Not by the requester either, whatever the role.
    let owner = User { role: OrgRole::Owner, ..office.member.user.clone() };
    stack.put_user(&owner).await?;
    office.member = TestClient::of(&stack, owner);
    let held = question(&stack, org_id, "own").await?;
    answer(&office.member, &held, "edit", after.clone()).await?.problem(403, "own_request")?;
    expected.push(("own", "by the requester", ASK));

    let handed_over = handed_over(&office, &before, &after).await?;
    let calls = drain(&stack).await?;
    let found = outcomes(&stack, org_id).await?;
    let compared = expected.into_iter().map(|(name, what, outcome)| {
        (what.to_owned(), outcome.to_owned(), found.get(name).cloned().unwrap_or_default())
    });
    compare(compared.chain([("handed over".to_owned(), ASK.to_owned(), handed_over)]))?;
    for (name, (what, _, edit, _)) in names.iter().zip(&rows) {
        let sent: Vec<&Value> = calls.iter().filter(|call| call["tool"] == **name).collect();
        ensure!(sent.iter().all(|call| call["inputs"] == *edit), "{what}: {sent:#?}");
    }
    Ok(())
}

/// The session went to another agent since the question: nobody was shown the call that would be made.
async fn handed_over(office: &Office<'_>, before: &Value, after: &Value) -> Result<String> {
    let (stack, org_id) = (office.stack, office.member.user.org_id);
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    let session = office.member.open_path().await?;
    record(&office.member, &session, &[("handed_over", before.clone())]).await?;
    drain(stack).await?;
    let held = question(stack, org_id, "handed_over").await?;
    office.member.record(&session, "handover", json!({ "agentId": "tax_compliance" })).await?.expect(201)?;
    answer(&office.approver, &held, "edit", after.clone()).await?.expect(200)?;
    drain(stack).await?;
    let written = question(stack, org_id, "handed_over").await?;
    decide(&office.approver, &written, "approve").await?.problem(403, "author_may_not_decide")?;
    Ok(outcomes(stack, org_id).await?.get("handed_over").cloned().unwrap_or_default())
}
