//! A person who edits a call, or answers the agent, is an author of the call. Another person must
//! approve it.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{compare_rows, complete_calls};

/// The kinds of escalation and the decisions that make the decider an author.
const AUTHORING_DECISIONS: [(&str, &str); 4] =
    [("policy", "edit"), ("agent_asked", "edit"), ("agent_asked", "respond"), ("agent_asked", "approve")];

#[tokio::test]
async fn author_may_not_approve_but_a_third_person_may() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let third = fixture.add_colleague(OrgRole::Owner).await?;
    let uninvolved = fixture.add_colleague(OrgRole::Member).await?;
    let content = json!({ "account": "4711" });
    let mut comparisons = Vec::new();
    for (kind, decision) in AUTHORING_DECISIONS {
        let escalation = open_escalation(&fixture, kind).await?;
        for (role, client, expected) in [
            ("requester", &fixture.member, "own_request"),
            ("uninvolved member", &uninvolved, "escalation_not_found"),
        ] {
            let response = decide_with_answer(client, &escalation, decision, content.clone()).await?;
            comparisons.push((
                format!("{kind} {decision} by the {role}"),
                expected.to_owned(),
                code(&response),
            ));
        }
        decide_with_answer(&fixture.approver, &escalation, decision, content.clone()).await?.expect(200)?;
        ensure!(fixture.claim_calls().await?.is_empty(), "{kind} {decision}: the author released the call");
        let successor = fixture.newest_escalation("policy").await?;
        ensure!(
            successor["predecessorId"] == escalation["id"]
                && successor["authorId"] == json!(fixture.approver.user.id),
            "{kind} {decision}: expected a successor of the author: {successor:#}"
        );
        for (role, client, next, expected) in [
            ("author", &fixture.approver, "approve", "author_may_not_decide"),
            ("author", &fixture.approver, "edit", "author_may_not_decide"),
            ("requester", &fixture.member, "approve", "own_request"),
            ("requester", &fixture.member, "edit", "own_request"),
            ("uninvolved member", &uninvolved, "approve", "escalation_not_found"),
            ("uninvolved member", &uninvolved, "reject", "escalation_not_found"),
            ("third person", &third, "approve", "ok"),
        ] {
            let response = if next == "edit" {
                decide_with_answer(client, &successor, next, content.clone()).await?
            } else {
                decide(client, &successor, next).await?
            };
            let row = format!("{kind} {decision}, then {next} by the {role}");
            comparisons.push((row, expected.to_owned(), code(&response)));
        }
        let calls = complete_calls(&stack).await?;
        ensure!(calls.len() == 1, "{kind} {decision}: expected one call, found {}", calls.len());
        let sent = if decision == "edit" { &calls[0]["inputs"] } else { &calls[0]["decision"]["answer"] };
        ensure!(*sent == content, "{kind} {decision}: expected the author's content: {calls:#?}");
    }
    // An author may reject the call.
    let held = open_escalation(&fixture, "policy").await?;
    decide_with_answer(&fixture.approver, &held, "edit", content).await?.expect(200)?;
    decide(&fixture.approver, &fixture.newest_escalation("policy").await?, "reject").await?.expect(200)?;
    ensure!(complete_calls(&stack).await?.is_empty(), "a rejected call was made");
    compare_rows(comparisons)
}

#[tokio::test]
async fn author_of_earlier_answer_may_not_decide_next_question() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let third = fixture.add_colleague(OrgRole::Admin).await?;
    let first = fixture.ask_as_agent(ask()).await?;
    decide_with_answer(&fixture.approver, &first, "respond", json!("4711")).await?.expect(200)?;
    decide(&third, &fixture.newest_escalation("policy").await?, "approve").await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    ensure!(
        calls.len() == 1 && calls[0]["decision"]["answer"] == "4711",
        "expected one call with the answer: {calls:#?}"
    );
    // The call contains the first answer when the agent asks again, so the author of that answer
    // may not decide.
    stack.finish_delivery(&calls[0], json!({ "kind": "ask", "ask": ask() })).await?;
    let second = fixture.newest_escalation("agent_asked").await?;
    ensure!(second["subject"]["decision"]["answer"] == "4711", "expected the first answer: {second:#}");
    let mut comparisons = Vec::new();
    for decision in ["approve", "respond", "edit"] {
        let response =
            decide_with_answer(&fixture.approver, &second, decision, json!({ "account": "4712" })).await?;
        comparisons.push((decision.to_owned(), "author_may_not_decide".to_owned(), code(&response)));
    }
    let response = decide(&fixture.approver, &second, "approve").await?;
    comparisons.push((
        "approve without an answer".to_owned(),
        "author_may_not_decide".to_owned(),
        code(&response),
    ));
    compare_rows(comparisons)?;
    // Another answer replaces the first one, so its author may decide again.
    decide_with_answer(&third, &second, "respond", json!("4713")).await?.expect(200)?;
    let successor = fixture.newest_escalation("policy").await?;
    decide(&third, &successor, "approve").await?.problem(403, "author_may_not_decide")?;
    decide(&fixture.approver, &successor, "approve").await?.expect(200)?;
    let calls = complete_calls(&stack).await?;
    ensure!(
        calls.len() == 1 && calls[0]["decision"]["answer"] == "4713",
        "expected one call with the answer: {calls:#?}"
    );
    Ok(())
}

/// A call with the answer of one person and the edit of another has two authors.
#[tokio::test]
async fn call_with_two_authors_needs_a_third_approver() -> Result<()> {
    let stack = LocalStack::start().await?;
    for policy in [json!({}), json!({ "policy": "auto", "risk": "low" })] {
        check_two_authors(&stack, &policy).await.with_context(|| policy.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn sixth_edit_returns_too_many_edits() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let other = fixture.add_colleague(OrgRole::Approver).await?;
    let mut held = fixture.hold_payment(12_000).await?;
    for revision in 1..=5 {
        let author = if revision % 2 == 1 { &fixture.approver } else { &other };
        decide_with_answer(author, &held, "edit", json!({ "revision": revision })).await?.expect(200)?;
        let successor = fixture.newest_escalation("policy").await?;
        ensure!(
            successor["predecessorId"] == held["id"] && successor["authorId"] == json!(author.user.id),
            "revision {revision}: expected a successor of the author: {successor:#}"
        );
        held = successor;
    }
    decide_with_answer(&other, &held, "edit", json!({ "revision": 6 }))
        .await?
        .problem(409, "too_many_edits")?;
    ensure!(fixture.newest_escalation("policy").await? == held, "the sixth edit decided the escalation");
    decide(&fixture.approver, &held, "approve").await?.problem(403, "author_may_not_decide")?;
    ensure!(complete_calls(&stack).await?.is_empty(), "an author released the call");
    decide(&other, &held, "approve").await?.expect(200)?;
    let calls = complete_calls(&stack).await?;
    ensure!(
        calls.len() == 1 && calls[0]["inputs"] == json!({ "revision": 5 }),
        "expected one call with the fifth edit: {calls:#?}"
    );
    Ok(())
}

/// Users who may not decide instead of the author.
const NOT_APPROVERS: [(&str, OrgRole, Option<&str>); 5] = [
    ("a member", OrgRole::Member, None),
    (
        "banned",
        OrgRole::Owner,
        Some("update auth.users set banned_until = now() + interval '1 day' where id = $1"),
    ),
    ("deleted", OrgRole::Admin, Some("update auth.users set deleted_at = now() where id = $1")),
    ("anonymous", OrgRole::Approver, Some("update auth.users set is_anonymous = true where id = $1")),
    (
        "of another organisation",
        OrgRole::Owner,
        Some(
            "update auth.users
             set raw_app_meta_data = raw_app_meta_data || jsonb_build_object('org_id', gen_random_uuid())
             where id = $1",
        ),
    ),
];

#[tokio::test]
async fn edit_without_another_approver_returns_409() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = EscalationFixture::new(&stack, json!({})).await?;
    for (description, role, change) in NOT_APPROVERS {
        let person = fixture.add_colleague(role).await?;
        if let Some(change) = change {
            sqlx::query(change).bind(person.user.id).execute(stack.database()).await.context(description)?;
        }
    }
    // The requester may not decide either, in any role.
    let owner = User { role: OrgRole::Owner, ..fixture.member.user.clone() };
    stack.upsert_user(&owner).await?;
    fixture.member = TestClient::from_user(&stack, owner);
    let content = json!({ "account": "4711" });
    for (kind, decision) in AUTHORING_DECISIONS {
        let escalation = open_escalation(&fixture, kind).await?;
        decide_with_answer(&fixture.approver, &escalation, decision, content.clone())
            .await?
            .problem(409, "no_other_approver")?;
        ensure!(
            fixture.newest_escalation(kind).await? == escalation,
            "{kind} {decision}: the escalation was decided"
        );
        ensure!(fixture.claim_calls().await?.is_empty(), "{kind} {decision}: the call was made");
        let events = "
            select count(*) from chat_events
            where type = 'hitl_resolved' and payload ->> 'escalationId' = $1";
        let events: i64 = sqlx::query_scalar(events)
            .bind(escalation["id"].as_str().unwrap_or_default())
            .fetch_one(stack.database())
            .await?;
        ensure!(events == 0, "{kind} {decision}: {events} events record a decision");
        // An approval without an answer does not make the approver an author.
        decide(&fixture.approver, &escalation, "approve").await?.expect(200)?;
        complete_calls(&stack).await?;
    }
    let escalation = open_escalation(&fixture, "policy").await?;
    let second = TestClient::from_user(&stack, User::new(fixture.member.user.org_id, OrgRole::Admin));
    decide_with_answer(&fixture.approver, &escalation, "edit", content.clone())
        .await?
        .problem(409, "no_other_approver")?;
    stack.upsert_user(&second.user).await?;
    decide_with_answer(&fixture.approver, &escalation, "edit", content).await?.expect(200)?;
    decide(&second, &fixture.newest_escalation("policy").await?, "approve").await?.expect(200)?;
    ensure!(complete_calls(&stack).await?.len() == 1, "expected one call after the approval");
    Ok(())
}

/// A question of the agent that a person other than the requester must answer.
fn ask() -> Value {
    json!({
        "reason": "Which account?", "decisions": ["approve", "respond", "edit", "reject"],
        "approver": "other",
    })
}

async fn open_escalation(fixture: &EscalationFixture<'_>, kind: &str) -> Result<Value> {
    match kind {
        "policy" => {
            fixture.register_pay_tool(json!({})).await?;
            fixture.hold_payment(12_000).await
        }
        _ => fixture.ask_as_agent(ask()).await,
    }
}

/// The code of the problem, or `ok`.
fn code(response: &TestResponse) -> String {
    if response.status == 200 {
        "ok".to_owned()
    } else {
        response.body["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn check_two_authors(stack: &LocalStack, policy: &Value) -> Result<()> {
    let fixture = EscalationFixture::new(stack, json!({})).await?;
    let third = fixture.add_colleague(OrgRole::Admin).await?;
    let question = fixture.ask_as_agent(ask()).await?;
    fixture.register_pay_tool(policy.clone()).await?;
    decide_with_answer(&fixture.approver, &question, "respond", json!("4711")).await?.expect(200)?;
    let answered = fixture.newest_escalation("policy").await?;
    let edit = json!({ "account": "4712" });
    decide_with_answer(&third, &answered, "edit", edit.clone()).await?.problem(409, "no_other_approver")?;
    let fourth = fixture.add_colleague(OrgRole::Owner).await?;
    decide_with_answer(&third, &answered, "edit", edit.clone()).await?.expect(200)?;
    let successor = fixture.newest_escalation("policy").await?;
    for author in [&fixture.approver, &third] {
        decide(author, &successor, "approve").await?.problem(403, "author_may_not_decide")?;
        decide_with_answer(author, &successor, "edit", edit.clone())
            .await?
            .problem(403, "author_may_not_decide")?;
    }
    ensure!(complete_calls(stack).await?.is_empty(), "an author released the call");
    decide(&fourth, &successor, "approve").await?.expect(200)?;
    let calls = complete_calls(stack).await?;
    ensure!(calls.len() == 1 && calls[0]["inputs"] == edit, "expected one call with the edit: {calls:#?}");
    ensure!(calls[0]["decision"]["answer"] == "4711", "expected the answer: {calls:#?}");
    Ok(())
}
