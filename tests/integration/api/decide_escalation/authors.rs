//! Who edits a call, or answers the agent, has written it: another person approves it.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{Office, answer, decide};
use crate::support::tool_calls::{compare, drain};

/// A question of the agent's that another person has to answer.
fn ask() -> Value {
    json!({ "reason": "Which account?", "decisions": ["approve", "respond", "edit", "reject"], "approver": "other" })
}

/// The ways to write a call, with what is written: of a held call, and of the agent's question.
const WAYS: [(&str, &str); 4] =
    [("policy", "edit"), ("agent_asked", "edit"), ("agent_asked", "respond"), ("agent_asked", "approve")];

async fn open(office: &Office<'_>, kind: &str) -> Result<Value> {
    match kind {
        "policy" => {
            office.policy(json!({})).await?;
            office.held(12_000).await
        }
        _ => office.asked(ask()).await,
    }
}

fn code(reply: &TestResponse) -> String {
    if reply.status == 200 {
        "ok".to_owned()
    } else {
        reply.body["code"].as_str().unwrap_or_default().to_owned()
    }
}

// NAME: escalations: the author of a call does not approve it, and a third person does
#[tokio::test]
async fn third_person() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let third = office.colleague(OrgRole::Owner).await?;
    let stranger = office.colleague(OrgRole::Member).await?;
    let words = json!({ "account": "4711" });
    let mut compared = Vec::new();
    for (kind, way) in WAYS {
        let shown = open(&office, kind).await?;
        for (who, caller, expected) in
            [("requester", &office.member, "own_request"), ("stranger", &stranger, "escalation_not_found")]
        {
            let reply = answer(caller, &shown, way, words.clone()).await?;
            compared.push((format!("{kind} {way} by the {who}"), expected.to_owned(), code(&reply)));
        }
        answer(&office.approver, &shown, way, words.clone()).await?.expect(200)?;
        ensure!(office.calls().await?.is_empty(), "{kind} {way}: its author released it");
        let written = office.newest("policy").await?;
        ensure!(
            written["predecessorId"] == shown["id"] && written["authorId"] == json!(office.approver.user.id),
            "{kind} {way}: {written:#}"
        );
        for (who, caller, decision, expected) in [
            ("author", &office.approver, "approve", "author_may_not_decide"),
            ("author", &office.approver, "edit", "author_may_not_decide"),
            ("requester", &office.member, "approve", "own_request"),
            ("requester", &office.member, "edit", "own_request"),
            ("stranger", &stranger, "approve", "escalation_not_found"),
            ("stranger", &stranger, "reject", "escalation_not_found"),
            ("third person", &third, "approve", "ok"),
        ] {
            let reply = if decision == "edit" {
                answer(caller, &written, decision, words.clone()).await?
            } else {
                decide(caller, &written, decision).await?
            };
            let row = format!("{kind} {way}, then {decision} by the {who}");
            compared.push((row, expected.to_owned(), code(&reply)));
        }
        let calls = drain(&stack).await?;
        ensure!(calls.len() == 1, "{kind} {way}: {} calls", calls.len());
        let given = if way == "edit" { &calls[0]["inputs"] } else { &calls[0]["decision"]["answer"] };
        ensure!(*given == words, "{kind} {way}: {calls:#?}");
    }
    // What they wrote they may reject.
    let held = open(&office, "policy").await?;
    answer(&office.approver, &held, "edit", words).await?.expect(200)?;
    decide(&office.approver, &office.newest("policy").await?, "reject").await?.expect(200)?;
    ensure!(drain(&stack).await?.is_empty(), "a rejected call was made");
    compare(compared)
}

// NAME: escalations: the author of an earlier answer does not decide a later question
#[tokio::test]
async fn earlier_answer() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let third = office.colleague(OrgRole::Admin).await?;
    let first = office.asked(ask()).await?;
    answer(&office.approver, &first, "respond", json!("4711")).await?.expect(200)?;
    decide(&third, &office.newest("policy").await?, "approve").await?.expect(200)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["decision"]["answer"] == "4711", "{calls:#?}");
    // The agent asks again. The call holds the first answer, and its author is not asked.
    stack.finish(&calls[0], json!({ "kind": "ask", "ask": ask() })).await?;
    let second = office.newest("agent_asked").await?;
    ensure!(second["subject"]["decision"]["answer"] == "4711", "{second:#}");
    let mut compared = Vec::new();
    for decision in ["approve", "respond", "edit"] {
        let reply = answer(&office.approver, &second, decision, json!({ "account": "4712" })).await?;
        compared.push((decision.to_owned(), "author_may_not_decide".to_owned(), code(&reply)));
    }
    let reply = decide(&office.approver, &second, "approve").await?;
    compared.push(("approve without words".to_owned(), "author_may_not_decide".to_owned(), code(&reply)));
    compare(compared)?;
    // Another answer takes its place; then the first author has written nothing of the call.
    answer(&third, &second, "respond", json!("4713")).await?.expect(200)?;
    let written = office.newest("policy").await?;
    decide(&third, &written, "approve").await?.problem(403, "author_may_not_decide")?;
    decide(&office.approver, &written, "approve").await?.expect(200)?;
    let calls = drain(&stack).await?;
    ensure!(calls.len() == 1 && calls[0]["decision"]["answer"] == "4713", "{calls:#?}");
    Ok(())
}

// NAME: escalations: a call that two people wrote is a third person's to approve
/// A call that holds the answer of one person and the edit of another has two authors.
#[tokio::test]
async fn edited_answer() -> Result<()> {
    let stack = LocalStack::start().await?;
    for policy in [json!({}), json!({ "policy": "auto", "risk": "low" })] {
        edited_answer_under(&stack, &policy).await.with_context(|| policy.to_string())?;
    }
    Ok(())
}

async fn edited_answer_under(stack: &LocalStack, policy: &Value) -> Result<()> {
    let office = Office::new(stack, json!({})).await?;
    let third = office.colleague(OrgRole::Admin).await?;
    let asked = office.asked(ask()).await?;
    office.policy(policy.clone()).await?;
    answer(&office.approver, &asked, "respond", json!("4711")).await?.expect(200)?;
    let answered = office.newest("policy").await?;
    let edit = json!({ "account": "4712" });
    answer(&third, &answered, "edit", edit.clone()).await?.problem(409, "no_other_approver")?;
    let fourth = office.colleague(OrgRole::Owner).await?;
    answer(&third, &answered, "edit", edit.clone()).await?.expect(200)?;
    let written = office.newest("policy").await?;
    for author in [&office.approver, &third] {
        decide(author, &written, "approve").await?.problem(403, "author_may_not_decide")?;
        answer(author, &written, "edit", edit.clone()).await?.problem(403, "author_may_not_decide")?;
    }
    ensure!(drain(stack).await?.is_empty(), "an author released it");
    decide(&fourth, &written, "approve").await?.expect(200)?;
    let calls = drain(stack).await?;
    ensure!(calls.len() == 1 && calls[0]["inputs"] == edit, "{calls:#?}");
    ensure!(calls[0]["decision"]["answer"] == "4711", "{calls:#?}");
    Ok(())
}

// NAME: escalations: a call is edited five times in a row and no more
#[tokio::test]
async fn five_edits() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let other = office.colleague(OrgRole::Approver).await?;
    let mut held = office.held(12_000).await?;
    for revision in 1..=5 {
        let author = if revision % 2 == 1 { &office.approver } else { &other };
        answer(author, &held, "edit", json!({ "revision": revision })).await?.expect(200)?;
        let written = office.newest("policy").await?;
        ensure!(
            written["predecessorId"] == held["id"] && written["authorId"] == json!(author.user.id),
            "{revision}: {written:#}"
        );
        held = written;
    }
    answer(&other, &held, "edit", json!({ "revision": 6 })).await?.problem(409, "too_many_edits")?;
    ensure!(office.newest("policy").await? == held, "it was decided");
    decide(&office.approver, &held, "approve").await?.problem(403, "author_may_not_decide")?;
    ensure!(drain(&stack).await?.is_empty(), "it was called");
    decide(&other, &held, "approve").await?.expect(200)?;
    let calls = drain(&stack).await?;
    ensure!(calls.len() == 1 && calls[0]["inputs"] == json!({ "revision": 5 }), "{calls:#?}");
    Ok(())
}

/// What people are who cannot decide in the place of the author.
const NO_APPROVERS: [(&str, OrgRole, Option<&str>); 5] = [
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
            "update auth.users set raw_app_meta_data = raw_app_meta_data || jsonb_build_object('org_id', gen_random_uuid()) where id = $1",
        ),
    ),
];

// NAME: escalations: a call is not written where no other approver could decide it
#[tokio::test]
async fn no_other_approver() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut office = Office::new(&stack, json!({})).await?;
    for (what, role, change) in NO_APPROVERS {
        let person = office.colleague(role).await?;
        if let Some(change) = change {
            sqlx::query(change)
                .bind(person.user.id)
                .execute(stack.database())
                .await
                .map_err(|error| anyhow::anyhow!("{what}: {error}"))?;
        }
    }
    // Nor is the requester one, whatever the role.
    let owner = User { role: OrgRole::Owner, ..office.member.user.clone() };
    stack.put_user(&owner).await?;
    office.member = TestClient::of(&stack, owner);
    let words = json!({ "account": "4711" });
    for (kind, way) in WAYS {
        let shown = open(&office, kind).await?;
        answer(&office.approver, &shown, way, words.clone()).await?.problem(409, "no_other_approver")?;
        ensure!(office.newest(kind).await? == shown, "{kind} {way}: it was decided");
        ensure!(office.calls().await?.is_empty(), "{kind} {way}: it was called");
        let decided = "select count(*) from chat_events where type = 'hitl_resolved' and payload ->> 'escalationId' = $1";
        let decided: i64 = sqlx::query_scalar(decided)
            .bind(shown["id"].as_str().unwrap_or_default())
            .fetch_one(stack.database())
            .await?;
        ensure!(decided == 0, "{kind} {way}: an event says that it was decided");
        // Without words it is the author's of nothing, and decided.
        decide(&office.approver, &shown, "approve").await?.expect(200)?;
        drain(&stack).await?;
    }
    let shown = open(&office, "policy").await?;
    let second = TestClient::of(&stack, User::new(office.member.user.org_id, OrgRole::Admin));
    answer(&office.approver, &shown, "edit", words.clone()).await?.problem(409, "no_other_approver")?;
    stack.put_user(&second.user).await?;
    answer(&office.approver, &shown, "edit", words).await?.expect(200)?;
    decide(&second, &office.newest("policy").await?, "approve").await?.expect(200)?;
    ensure!(drain(&stack).await?.len() == 1);
    Ok(())
}
