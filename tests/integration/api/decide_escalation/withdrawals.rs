//! What a requester may always do, and what only a requester may: to withdraw, and to confirm.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::AGENT;
use crate::support::escalations::{Office, answer, decide};
use crate::support::tool_calls::{
    CONFIRM, compare, drain, outcomes, question, record, register, register_as, tool, work_off,
};

/// An agent's question, and what its call comes to if it is withdrawn: an agent that offered to be rejected hears of it.
fn asks() -> [(&'static str, Value, &'static str); 3] {
    let ask = |decisions: Value, approver: &str| json!({ "kind": "ask", "ask": { "reason": "Which?", "decisions": decisions, "approver": approver, "risk": "high" } });
    [
        ("asked", ask(json!(["respond", "reject"]), "other"), "called"),
        ("asked_only_to_respond", ask(json!(["respond"]), "other"), "withdrawn"),
        ("asked_only_to_approve", ask(json!(["approve"]), "other"), "withdrawn"),
    ]
}

// NAME: escalations: a requester withdraws their own of every kind, offered or not
#[tokio::test]
async fn withdrawn() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let org_id = office.member.user.org_id;
    let limits = json!({ "policy": "auto", "amount_pointer": "/amount", "refuse_above": 100, "risk": "high", "approver": "other" });
    let free = json!({ "policy": "auto" });
    let held = [
        ("held", json!({ "policy": "ask", "risk": "high", "approver": "other" }), "withdrawn"),
        ("unreadable", limits, "withdrawn"),
        ("to_confirm", json!({ "policy": "confirm" }), "withdrawn"),
    ];
    let (failed, unknown) = (
        json!({ "kind": "failed", "error": "agent_failed" }),
        json!({ "kind": "unknown", "error": "connection_lost" }),
    );
    let begun: Vec<(&str, Value, &str)> =
        asks().into_iter().chain([("failed", failed, "dead"), ("lost", unknown, "unknown")]).collect();
    let tools: Vec<Value> = held
        .iter()
        .map(|(name, fields, _)| tool(name, fields))
        .chain(begun.iter().map(|(name, _, _)| tool(name, &free)))
        .collect();
    register(&stack, org_id, AGENT, &tools, &[]).await?;
    for (name, _, _) in &held {
        record(&office.member, &office.session, &[(name, json!({ "amount": "1,0" }))]).await?;
    }
    ensure!(drain(&stack).await?.is_empty(), "a held call was made");
    for (name, outcome, _) in &begun {
        record(&office.member, &office.session, &[(name, json!({}))]).await?;
        ensure!(work_off(&stack, outcome.clone()).await?.len() == 1, "{name} was not called");
    }
    let expected: Vec<(&str, &str)> = held
        .iter()
        .map(|(name, _, expected)| (*name, *expected))
        .chain(begun.iter().map(|(name, _, expected)| (*name, *expected)))
        .collect();
    for (name, _) in &expected {
        let shown = question(&stack, org_id, name).await?;
        if shown["decisions"].as_array().is_some_and(|offered| !offered.contains(&json!("reject"))) {
            decide(&office.approver, &shown, "reject").await?.problem(422, "decision_not_offered")?;
        }
        let decided = decide(&office.member, &shown, "reject").await?.expect(200)?;
        ensure!(decided["escalation"]["decidedBy"] == json!(office.member.user.id), "{name}: {decided:#}");
    }
    let browser = office.browser(json!({ "decisions": ["approve"] })).await?;
    decide(&office.approver, &browser, "reject").await?.problem(422, "decision_not_offered")?;
    decide(&office.member, &browser, "reject").await?.expect(200)?;

    let calls = drain(&stack).await?;
    ensure!(calls.len() == 1 && calls[0]["tool"] == "asked", "{calls:#?}");
    ensure!(calls[0]["decision"]["decision"] == "reject", "{calls:#?}");
    ensure!(calls[0]["decision"].get("answer").is_none(), "{calls:#?}");
    let mut compared = Vec::new();
    for (name, expected) in expected {
        let newest = "select status from deliveries where tool = $1 order by created_at desc limit 1";
        let status: String = sqlx::query_scalar(newest).bind(name).fetch_one(stack.database()).await?;
        let status = if name == "asked" && status == "done" { "called".to_owned() } else { status };
        compared.push((name.to_owned(), expected.to_owned(), status));
    }
    compare(compared)
}

// NAME: escalations: a confirmation is the requester's, and rejecting it anybody's who may decide
#[tokio::test]
async fn confirmed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let org_id = office.member.user.org_id;
    let owner = office.colleague(OrgRole::Owner).await?;
    let stranger = office.colleague(OrgRole::Member).await?;
    // A confirmation is no control, so more than a low risk is not left to it.
    for risk in [json!("medium"), json!("high"), json!(null)] {
        let tools = json!([{ "name": "pay", "policy": "confirm", "risk": risk }]);
        let (status, answer) = register_as(&stack, org_id, AGENT, &tools, &json!([])).await?;
        ensure!(status == 422 && answer["details"] == "agent_tools_confirm_is_low_risk", "{risk}: {answer}");
    }
    // Whoever else the registration would have decide.
    let names = ["to_confirm", "to_reject", "to_withdraw"];
    let tools = names.map(|name| tool(name, &json!({ "policy": "confirm", "approver": "other" })));
    register(&stack, org_id, AGENT, &tools, &[]).await?;
    record(&office.member, &office.session, &names.map(|name| (name, json!({ "amount": 1 })))).await?;
    ensure!(drain(&stack).await?.is_empty(), "it was called unconfirmed");
    let found = outcomes(&stack, org_id).await?;
    ensure!(names.iter().all(|name| found.get(*name).is_some_and(|found| found == CONFIRM)), "{found:#?}");

    let shown = question(&stack, org_id, "to_confirm").await?;
    let edit = json!({ "amount": 2 });
    for other in [&office.approver, &owner] {
        decide(other, &shown, "approve").await?.problem(403, "requester_must_confirm")?;
        answer(other, &shown, "edit", edit.clone()).await?.problem(403, "requester_must_confirm")?;
    }
    decide(&stranger, &shown, "approve").await?.problem(404, "escalation_not_found")?;
    answer(&office.member, &shown, "edit", edit).await?.problem(422, "decision_not_offered")?;
    answer(&office.member, &shown, "respond", json!("yes")).await?.problem(422, "decision_not_offered")?;
    ensure!(drain(&stack).await?.is_empty(), "it was called unconfirmed");
    decide(&office.approver, &question(&stack, org_id, "to_reject").await?, "reject").await?.expect(200)?;
    decide(&office.member, &question(&stack, org_id, "to_withdraw").await?, "reject").await?.expect(200)?;
    decide(&office.member, &shown, "approve").await?.expect(200)?;
    let calls = drain(&stack).await?;
    ensure!(calls.len() == 1 && calls[0]["tool"] == "to_confirm", "{calls:#?}");
    Ok(())
}
