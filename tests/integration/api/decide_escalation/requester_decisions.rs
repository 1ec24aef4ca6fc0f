//! Decisions of the requester: withdrawal, which is always permitted, and confirmation, which only
//! the requester may give.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::AGENT;
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    CONFIRM, compare_rows, complete_calls, finish_calls, newest_outcomes, open_escalation,
    record_tool_events, register_tools, tool, try_register_tools,
};

/// Tool, question of the agent, and status of the call after the withdrawal. The agent is called
/// again only if it offered `reject`.
fn questions() -> [(&'static str, Value, &'static str); 3] {
    let ask = |decisions: Value, approver: &str| {
        json!({ "kind": "ask", "ask": {
            "reason": "Which?", "decisions": decisions, "approver": approver, "risk": "high",
        } })
    };
    [
        ("asked", ask(json!(["respond", "reject"]), "other"), "called"),
        ("asked_only_to_respond", ask(json!(["respond"]), "other"), "withdrawn"),
        ("asked_only_to_approve", ask(json!(["approve"]), "other"), "withdrawn"),
    ]
}

#[tokio::test]
async fn requester_may_withdraw_every_kind_of_escalation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let limits = json!({
        "policy": "auto", "amount_pointer": "/amount", "refuse_above": 100, "risk": "high",
        "approver": "other",
    });
    let auto = json!({ "policy": "auto" });
    let held = [
        ("held", json!({ "policy": "ask", "risk": "high", "approver": "other" }), "withdrawn"),
        ("unreadable", limits, "withdrawn"),
        ("to_confirm", json!({ "policy": "confirm" }), "withdrawn"),
    ];
    let (failed, unknown) = (
        json!({ "kind": "failed", "error": "agent_failed" }),
        json!({ "kind": "unknown", "error": "connection_lost" }),
    );
    let started: Vec<(&str, Value, &str)> =
        questions().into_iter().chain([("failed", failed, "dead"), ("lost", unknown, "unknown")]).collect();
    let tools: Vec<Value> = held
        .iter()
        .map(|(name, fields, _)| tool(name, fields))
        .chain(started.iter().map(|(name, _, _)| tool(name, &auto)))
        .collect();
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    for (name, _, _) in &held {
        record_tool_events(&fixture.member, &fixture.session, &[(name, json!({ "amount": "1,0" }))]).await?;
    }
    ensure!(complete_calls(&stack).await?.is_empty(), "a held call was made");
    for (name, outcome, _) in &started {
        record_tool_events(&fixture.member, &fixture.session, &[(name, json!({}))]).await?;
        ensure!(finish_calls(&stack, outcome.clone()).await?.len() == 1, "expected one call of {name}");
    }
    let expected: Vec<(&str, &str)> = held
        .iter()
        .map(|(name, _, expected)| (*name, *expected))
        .chain(started.iter().map(|(name, _, expected)| (*name, *expected)))
        .collect();
    for (name, _) in &expected {
        let escalation = open_escalation(&stack, org_id, name).await?;
        if escalation["decisions"].as_array().is_some_and(|decisions| !decisions.contains(&json!("reject"))) {
            decide(&fixture.approver, &escalation, "reject").await?.problem(422, "decision_not_offered")?;
        }
        let decided = decide(&fixture.member, &escalation, "reject").await?.expect(200)?;
        ensure!(
            decided["escalation"]["decidedBy"] == json!(fixture.member.user.id),
            "{name}: expected the requester: {decided:#}"
        );
    }
    let page_escalation = fixture.escalate_from_page(json!({ "decisions": ["approve"] })).await?;
    decide(&fixture.approver, &page_escalation, "reject").await?.problem(422, "decision_not_offered")?;
    decide(&fixture.member, &page_escalation, "reject").await?.expect(200)?;

    let calls = complete_calls(&stack).await?;
    ensure!(calls.len() == 1 && calls[0]["tool"] == "asked", "expected one call of asked: {calls:#?}");
    ensure!(calls[0]["decision"]["decision"] == "reject", "expected the rejection: {calls:#?}");
    ensure!(calls[0]["decision"].get("answer").is_none(), "expected no answer: {calls:#?}");
    let mut comparisons = Vec::new();
    for (name, expected) in expected {
        let newest = "select status from deliveries where tool = $1 order by created_at desc limit 1";
        let status: String = sqlx::query_scalar(newest).bind(name).fetch_one(stack.database()).await?;
        let status = if name == "asked" && status == "done" { "called".to_owned() } else { status };
        comparisons.push((name.to_owned(), expected.to_owned(), status));
    }
    compare_rows(comparisons)
}

#[tokio::test]
async fn confirmation_is_reserved_for_the_requester() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let owner = fixture.add_colleague(OrgRole::Owner).await?;
    let uninvolved = fixture.add_colleague(OrgRole::Member).await?;
    // A confirmation is not an approval, so it is permitted for tools of low risk only.
    for risk in [json!("medium"), json!("high"), json!(null)] {
        let tools = json!([{ "name": "pay", "policy": "confirm", "risk": risk }]);
        let (status, response) = try_register_tools(&stack, org_id, AGENT, &tools, &json!([])).await?;
        ensure!(
            status == 422 && response["details"] == "agent_tools_confirm_is_low_risk",
            "{risk}: {response}"
        );
    }
    // The approver of the registration does not apply to confirmations.
    let names = ["to_confirm", "to_reject", "to_withdraw"];
    let tools = names.map(|name| tool(name, &json!({ "policy": "confirm", "approver": "other" })));
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    record_tool_events(&fixture.member, &fixture.session, &names.map(|name| (name, json!({ "amount": 1 }))))
        .await?;
    ensure!(complete_calls(&stack).await?.is_empty(), "a call was made without confirmation");
    let outcomes = newest_outcomes(&stack, org_id).await?;
    ensure!(
        names.iter().all(|name| outcomes.get(*name).is_some_and(|outcome| outcome == CONFIRM)),
        "expected {CONFIRM} for all: {outcomes:#?}"
    );

    let escalation = open_escalation(&stack, org_id, "to_confirm").await?;
    let edit = json!({ "amount": 2 });
    for other in [&fixture.approver, &owner] {
        decide(other, &escalation, "approve").await?.problem(403, "requester_must_confirm")?;
        decide_with_answer(other, &escalation, "edit", edit.clone())
            .await?
            .problem(403, "requester_must_confirm")?;
    }
    decide(&uninvolved, &escalation, "approve").await?.problem(404, "escalation_not_found")?;
    decide_with_answer(&fixture.member, &escalation, "edit", edit)
        .await?
        .problem(422, "decision_not_offered")?;
    decide_with_answer(&fixture.member, &escalation, "respond", json!("yes"))
        .await?
        .problem(422, "decision_not_offered")?;
    ensure!(complete_calls(&stack).await?.is_empty(), "a call was made without confirmation");
    decide(&fixture.approver, &open_escalation(&stack, org_id, "to_reject").await?, "reject")
        .await?
        .expect(200)?;
    decide(&fixture.member, &open_escalation(&stack, org_id, "to_withdraw").await?, "reject")
        .await?
        .expect(200)?;
    decide(&fixture.member, &escalation, "approve").await?.expect(200)?;
    let calls = complete_calls(&stack).await?;
    ensure!(
        calls.len() == 1 && calls[0]["tool"] == "to_confirm",
        "expected one call of to_confirm: {calls:#?}"
    );
    Ok(())
}
