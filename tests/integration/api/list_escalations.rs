//! What waits for a person is listed for those who may see it.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::escalations::{EscalationFixture, decide};

async fn ids(caller: &TestClient, limit: u16) -> Result<Vec<Value>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = caller.get(&format!("/chatkit/escalations?limit={limit}{cursor}")).await?.expect(200)?;
        let list = page["escalations"].as_array().context("no list")?;
        ensure!(list.len() <= usize::from(limit).min(25), "{} on a page of {limit}", list.len());
        found.extend(list.iter().map(|escalation| escalation["id"].clone()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

// NAME: escalations: pages hold every open one once, oldest first
#[tokio::test]
async fn pages() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = EscalationFixture::new(&stack, json!({})).await?;
    let mut opened = Vec::new();
    for _ in 0..7 {
        opened.push(office.escalate_from_page(json!({})).await?);
    }
    let decided = opened.remove(3);
    decide(&office.approver, &decided, "approve").await?.expect(200)?;
    let mut opened: Vec<Value> = opened.into_iter().map(|escalation| escalation["id"].clone()).collect();
    for limit in [1, 2, 100] {
        let listed = ids(&office.approver, limit).await?;
        ensure!(listed == opened, "{listed:#?} instead of {opened:#?}");
    }
    // All at one time: then the id decides.
    sqlx::query("update chat_escalations set created_at = '2026-11-22T10:00:00.000001Z'")
        .execute(stack.database())
        .await?;
    opened.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    ensure!(ids(&office.approver, 2).await? == opened);
    Ok(())
}

// NAME: escalations: approvers are shown the organisation's, others their own
#[tokio::test]
async fn scopes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = EscalationFixture::new(&stack, json!({})).await?;
    office.hold_payment(12_000).await?;
    office.escalate_from_page(json!({})).await?;
    let colleague = office.add_colleague(OrgRole::Member).await?;
    let session = colleague.open_path().await?;
    let ask = json!({ "reason": "Mine", "decisions": ["approve"] });
    colleague.record(&session, "hitl_escalation", ask).await?.expect(201)?;
    for (caller, number) in [
        (&office.approver, 3),
        (&office.add_colleague(OrgRole::Admin).await?, 3),
        (&office.add_colleague(OrgRole::Owner).await?, 3),
        (&office.member, 2),
        (&colleague, 1),
        (&office.add_colleague(OrgRole::Member).await?, 0),
        (&TestClient::joining(&stack, uuid::Uuid::new_v4(), OrgRole::Owner).await?, 0),
    ] {
        let listed = ids(caller, 20).await?;
        ensure!(listed.len() == number, "{:?} is shown {listed:#?}", caller.user.role);
    }
    Ok(())
}

// NAME: escalations: the list, the session and the decision show the same
#[tokio::test]
async fn the_same() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = EscalationFixture::new(&stack, json!({})).await?;
    let listed = office.hold_payment(12_000).await?;
    ensure!(
        listed["subject"]["event"]["payload"]["data"] == json!({ "invoice": 42, "amount": 12_000 }),
        "{listed:#}"
    );
    let session = office.approver.get(&office.session).await?.expect(200)?;
    ensure!(session["escalations"] == json!([listed]), "{:#}", session["escalations"]);
    let mut decided = decide(&office.approver, &listed, "approve").await?.expect(200)?["escalation"].take();
    ensure!(decided["decidedBy"] == json!(office.approver.user.id) && !decided["decidedAt"].is_null());
    for part in ["status", "decision", "decidedBy", "decidedAt"] {
        decided[part] = listed[part].clone();
    }
    ensure!(decided == listed, "{decided:#} instead of {listed:#}");
    Ok(())
}

// NAME: escalations: as many as there are and as large as can be, both can be read
/// Thirty, each with as much in its schema as an event can hold: numbers, which the database writes with a space after each.
#[tokio::test]
async fn large() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = EscalationFixture::new(&stack, json!({})).await?;
    let (schema, first) = (json!({ "schema": { "enum": vec![1; 7_900] } }), office.session.clone());
    for _ in 0..20 {
        office.escalate_from_page(schema.clone()).await?;
    }
    // Another session has more of them, beyond what a page holds.
    let other = EscalationFixture { stack: &stack, session: office.member.open_path().await?, ..office };
    for _ in 0..10 {
        other.escalate_from_page(schema.clone()).await?;
    }
    let office = EscalationFixture { stack: &stack, session: first, ..other };
    ensure!(ids(&office.approver, 100).await?.len() == 30);
    let session = office.member.get(&office.session).await?.expect(200)?;
    ensure!(session["escalations"].as_array().is_some_and(|open| open.len() == 20));
    Ok(())
}
