//! `GET /chatkit/escalations`: order, pages and visibility.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;
use crate::support::escalations::{EscalationFixture, decide};

/// The function returns at most this many escalations on a page.
const MAX_PAGE_SIZE: usize = 25;

#[tokio::test]
async fn pages_return_each_open_escalation_once_oldest_first() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut opened = Vec::new();
    for _ in 0..7 {
        opened.push(fixture.escalate_from_page(json!({})).await?);
    }
    let decided = opened.remove(3);
    decide(&fixture.approver, &decided, "approve").await?.expect(200)?;
    let mut expected: Vec<Value> = opened.into_iter().map(|escalation| escalation["id"].clone()).collect();
    for limit in [1, 2, 100] {
        let listed = list_ids(&fixture.approver, limit).await?;
        ensure!(listed == expected, "limit {limit}: expected {expected:#?}, found {listed:#?}");
    }
    // With equal times of creation, the id decides.
    sqlx::query("update chat_escalations set created_at = '2026-11-22T10:00:00.000001Z'")
        .execute(stack.database())
        .await?;
    expected.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    let listed = list_ids(&fixture.approver, 2).await?;
    ensure!(listed == expected, "equal times: expected {expected:#?}, found {listed:#?}");
    Ok(())
}

#[tokio::test]
async fn approvers_see_the_organisation_and_others_their_own() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.hold_payment(12_000).await?;
    fixture.escalate_from_page(json!({})).await?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let session = colleague.open_session_path().await?;
    let payload = json!({ "reason": "Mine", "decisions": ["approve"] });
    colleague.record_event(&session, "hitl_escalation", payload).await?.expect(201)?;
    let mut failures = Vec::new();
    for (name, caller, expected) in [
        ("approver", &fixture.approver, 3),
        ("admin", &fixture.add_colleague(OrgRole::Admin).await?, 3),
        ("owner", &fixture.add_colleague(OrgRole::Owner).await?, 3),
        ("member with two escalations", &fixture.member, 2),
        ("member with one escalation", &colleague, 1),
        ("member without escalations", &fixture.add_colleague(OrgRole::Member).await?, 0),
        (
            "owner of another organisation",
            &TestClient::in_organisation(&stack, Uuid::new_v4(), OrgRole::Owner).await?,
            0,
        ),
    ] {
        let listed = list_ids(caller, 20).await?;
        if listed.len() != expected {
            failures.push(format!("{name}: expected {expected} escalations, found {listed:#?}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn list_session_and_decision_return_the_same_escalation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let listed = fixture.hold_payment(12_000).await?;
    ensure!(
        listed["subject"]["event"]["payload"]["data"] == json!({ "invoice": 42, "amount": 12_000 }),
        "{listed:#}"
    );
    let session = fixture.approver.get(&fixture.session).await?.expect(200)?;
    ensure!(
        session["escalations"] == json!([listed]),
        "expected {listed:#}, found {:#}",
        session["escalations"]
    );
    let mut decided = decide(&fixture.approver, &listed, "approve").await?.expect(200)?["escalation"].take();
    ensure!(
        decided["decidedBy"] == json!(fixture.approver.user.id) && !decided["decidedAt"].is_null(),
        "expected the approver {} and a time, found {decided:#}",
        fixture.approver.user.id
    );
    let may_decide = json!({ "decisions": [], "because": "resolved" });
    ensure!(decided["mayDecide"] == may_decide, "expected {may_decide}, found {decided:#}");
    for field in ["status", "decision", "decidedBy", "decidedByName", "decidedAt", "closedAt", "mayDecide"] {
        decided[field] = listed[field].clone();
    }
    ensure!(decided == listed, "expected {listed:#}, found {decided:#}");
    Ok(())
}

/// 30 escalations, each with a schema as large as an event permits. The schema consists of numbers,
/// because PostgreSQL writes a space after each.
#[tokio::test]
async fn list_and_session_return_escalations_of_maximum_size() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let (schema, first) = (json!({ "schema": { "enum": vec![1; 7_900] } }), fixture.session.clone());
    for _ in 0..20 {
        fixture.escalate_from_page(schema.clone()).await?;
    }
    // The escalations of another session do not fit on the same page.
    let other =
        EscalationFixture { stack: &stack, session: fixture.member.open_session_path().await?, ..fixture };
    for _ in 0..10 {
        other.escalate_from_page(schema.clone()).await?;
    }
    let fixture = EscalationFixture { stack: &stack, session: first, ..other };
    let listed = list_ids(&fixture.approver, 100).await?;
    ensure!(listed.len() == 30, "expected 30 escalations, found {}", listed.len());
    let session = fixture.member.get(&fixture.session).await?.expect(200)?;
    let of_session = session["escalations"].as_array().map_or(0, Vec::len);
    ensure!(of_session == 20, "expected 20 escalations of the session, found {of_session}");
    Ok(())
}

/// The ids of all pages.
async fn list_ids(caller: &TestClient, limit: u16) -> Result<Vec<Value>> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    let max = usize::from(limit).min(MAX_PAGE_SIZE);
    loop {
        let page = caller.get(&format!("/chatkit/escalations?limit={limit}{cursor}")).await?.expect(200)?;
        let list = page["escalations"].as_array().context("the response has no list of escalations")?;
        ensure!(list.len() <= max, "limit {limit}: expected at most {max} rows, found {}", list.len());
        // A list that repeats a row may have no last page.
        let repeated = list.iter().map(|escalation| &escalation["id"]).find(|id| ids.contains(*id));
        ensure!(repeated.is_none(), "limit {limit}: a page repeats the row {repeated:?}");
        ids.extend(list.iter().map(|escalation| escalation["id"].clone()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}
