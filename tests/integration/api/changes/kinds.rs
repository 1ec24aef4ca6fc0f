//! Kinds of changes in the change feed.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Feed, id_of, ids};
use crate::support::client::session_path;
use crate::support::escalations::{EscalationFixture, decide};

#[tokio::test]
async fn every_change_of_a_session_is_returned_with_its_numbers() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut feed = Feed::new(&fixture.member, "own").await?;
    let opened = fixture.member.open_session().await?;
    let id = id_of(&opened);
    let path = session_path(&opened);
    let change = |status: &str, events: u32, messages: u32| {
        json!({ "kind": "session", "sessionId": id, "status": status, "lastEventSeq": events,
                "lastMessageSeq": messages })
    };
    expect(&mut feed, "opened", change("active", 0, 0)).await?;
    fixture.member.record_event(&path, "custom_x", json!({})).await?.expect(201)?;
    expect(&mut feed, "an event", change("active", 1, 0)).await?;
    let resume = json!({ "sessionId": id, "purpose": "resume", "deviceLabel": "Phone" });
    fixture.member.post("/chatkit/sessions", resume).await?.expect(200)?;
    expect(&mut feed, "resumed", change("active", 1, 0)).await?;
    for (function, name, row) in [
        (
            "record_messages",
            "p_messages",
            json!([{ "id": Uuid::new_v4(), "role": "agent", "content": "Paid" }]),
        ),
        ("record_tasks", "p_tasks", json!([{ "id": "pay-42", "title": "Pay", "status": "running" }])),
    ] {
        let arguments = json!({ "p_org_id": fixture.member.user.org_id, "p_session_id": id, name: row });
        let (status, answer) = stack.rpc(function, arguments).await?;
        ensure!(status.is_success(), "{answer}");
        expect(&mut feed, function, change("active", 1, 1)).await?;
    }
    fixture.member.cancel(&path).await?.expect(200)?;
    expect(&mut feed, "cancelled", change("ended", 2, 1)).await?;
    // A read and a repeated cancel change nothing.
    fixture.member.get(&format!("{path}?include=none")).await?.expect(200)?;
    fixture.member.cancel(&path).await?.expect(200)?;
    let found = feed.poll_ids().await?;
    ensure!(found.is_empty(), "expected no changes, found {found:?}");
    Ok(())
}

async fn expect(feed: &mut Feed<'_>, cause: &str, change: Value) -> Result<()> {
    let found = feed.poll().await?;
    ensure!(found["changes"] == json!([change]), "{cause}: expected {change:#}, found {found:#}");
    ensure!(found["counts"].is_null(), "{cause}: expected no counts, found {found:#}");
    Ok(())
}

#[tokio::test]
async fn every_change_of_an_escalation_is_returned_with_counts() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut feed = Feed::new(&fixture.approver, "own").await?;
    let of_member = Feed::new(&fixture.member, "own").await?;
    let held = fixture.hold_payment(12_000).await?;
    let asked = fixture.escalate_from_page(json!({ "expiresInSeconds": 60 })).await?;
    let response = feed.poll().await?;
    let change = |escalation: &Value, status: &str| {
        json!({ "kind": "escalation", "escalationId": escalation["id"], "sessionId": escalation["sessionId"],
                "status": status })
    };
    ensure!(
        response["changes"] == json!([change(&held, "open"), change(&asked, "open")]),
        "opened: {response:#}"
    );
    let expected = json!({ "open": 2, "decidable": 2, "oldestCreatedAt": held["createdAt"],
                           "nextExpiresAt": asked["expiresAt"] });
    ensure!(response["counts"] == expected, "opened: expected {expected:#}, found {response:#}");

    // The requester may not decide the payment.
    let seen = fixture.member.get(&of_member.path()).await?.expect(200)?;
    ensure!(
        seen["counts"]["open"] == 2 && seen["counts"]["decidable"] == 1 && ids(&seen)?.len() == 3,
        "the requester: {seen:#}"
    );

    let path = format!("/chatkit/escalations/{}", id_of(&held));
    for verb in ["claim", "release"] {
        fixture.approver.post(&format!("{path}/{verb}"), json!({})).await?.expect(200)?;
        let response = feed.poll().await?;
        ensure!(response["changes"] == json!([change(&held, "open")]), "{verb}: {response:#}");
        ensure!(response["counts"]["open"] == 2, "{verb}: {response:#}");
    }
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    let response = feed.poll().await?;
    ensure!(response["changes"] == json!([change(&held, "resolved")]), "decided: {response:#}");
    let counts = &response["counts"];
    ensure!(counts["open"] == 1 && counts["oldestCreatedAt"] == asked["createdAt"], "decided: {response:#}");
    fixture.member.cancel(&fixture.session).await?.expect(200)?;
    let response = feed.poll().await?;
    ensure!(response["changes"] == json!([change(&asked, "withdrawn")]), "ended: {response:#}");
    let none = json!({ "open": 0, "decidable": 0, "oldestCreatedAt": null, "nextExpiresAt": null });
    ensure!(response["counts"] == none, "ended: {response:#}");
    Ok(())
}

#[tokio::test]
async fn expired_escalation_is_a_change() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let asked = fixture.escalate_from_page(json!({ "expiresInSeconds": 60 })).await?;
    let mut feed = Feed::new(&fixture.approver, "own").await?;
    for statement in [
        "set session_replication_role = replica",
        "update chat_escalations set created_at = now() - interval '1 day', expires_at = now()",
        "reset session_replication_role",
    ] {
        sqlx::query(statement).execute(&mut *stack.database().acquire().await?).await?;
    }
    stack.run_job("expire-sessions").await?;
    let response = feed.poll().await?;
    ensure!(
        ids(&response)? == [id_of(&asked)] && response["changes"][0]["status"] == "expired",
        "expected the expired escalation, found {response:#}"
    );
    Ok(())
}
