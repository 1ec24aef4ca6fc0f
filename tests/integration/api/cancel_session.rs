//! Endings: whatever races the end of a session or its handover, no secret outlives it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On, SessionStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, path};

// NAME: endings: a session cancelled while OpenAI is asked gets no secret
#[tokio::test]
async fn cancelled_meanwhile() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_millis(1500)).times(1));
    let cancelling = async {
        let id = session_on_record(&stack).await?;
        // OpenAI has made its session by now, but nobody knows of it yet.
        tokio::time::sleep(Duration::from_millis(500)).await;
        caller.cancel(&format!("/chatkit/sessions/{id}")).await?.expect(200)
    };
    let (opening, cancelled) =
        tokio::join!(caller.post("/chatkit/sessions", json!({ "agentId": AGENT })), cancelling);
    ensure!(cancelled?["status"] == "ended");
    opening?.problem(409, "session_ended")?;
    all_cancelled(&stack)?;
    ensure!(sealed(&stack).await? == 0, "a secret was recorded after the end");
    Ok(())
}

// NAME: endings: a handover cancels the old agent's secret, and the next is the new agent's
#[tokio::test]
async fn handed_over() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = caller.open().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let payload =
        json!({ "agentId": "tax_compliance", "fromAgentId": AGENT, "summary": "VAT of invoice 42" });
    caller.record(&path(&session), "handover", payload).await?.expect(201)?;
    ensure!(stack.openai().say(secret, None, "Hello?").await.is_err(), "the old agent still talks");

    let renewed =
        caller.post("/chatkit/sessions", json!({ "sessionId": session["id"], "purpose": "refresh" })).await?;
    let renewed = renewed.expect(200)?;
    ensure!(renewed["agentId"] == "tax_compliance", "{renewed}");
    let asked: Vec<Value> =
        stack.openai().calls(On::CreateSession).iter().filter_map(|call| call.json()).collect();
    ensure!(
        asked[0]["workflow"]["id"] != asked[1]["workflow"]["id"],
        "the new secret is for the old workflow"
    );
    ensure!(asked[0]["user"] == asked[1]["user"], "the history would be lost");
    Ok(())
}

// NAME: endings: a handover from an agent that the session left is refused
#[tokio::test]
async fn handed_over_twice() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = caller.open_path().await?;
    let move_on = json!({ "agentId": "tax_compliance", "fromAgentId": AGENT });
    caller.record(&session, "handover", move_on.clone()).await?.expect(201)?;
    let problem = caller.record(&session, "handover", move_on).await?.problem(409, "agent_changed")?;
    ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("tax_compliance")), "{problem}");
    let nowhere = json!({ "agentId": "nobody" });
    caller.record(&session, "handover", nowhere).await?.problem(422, "agent_unavailable")?;
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(
        shown["agentId"] == "tax_compliance" && shown["events"].as_array().map(Vec::len) == Some(1),
        "{shown:#}"
    );
    Ok(())
}

// NAME: endings: an escalation is open until its session ends
#[tokio::test]
async fn escalation_withdrawn() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let ask =
        json!({ "reason": "Above 10 000 EUR", "decisions": ["approve", "reject"], "expiresInSeconds": 3600 });
    let recorded = caller.record(&session, "hitl_escalation", ask).await?.expect(201)?;
    let id = recorded["events"][0]["escalationId"].as_str().context("no escalation")?.parse::<Uuid>()?;
    let shown = caller.get(&session).await?.expect(200)?;
    let open = &shown["escalations"][0];
    ensure!(
        open["id"] == id.to_string() && open["origin"] == "browser" && open["status"] == "open",
        "{shown:#}"
    );
    caller.cancel(&session).await?.expect(200)?;
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["escalations"] == json!([]), "{shown:#}");
    let status: String = sqlx::query_scalar("select status from chat_escalations where id = $1")
        .bind(id)
        .fetch_one(stack.database())
        .await?;
    ensure!(status == "withdrawn", "{status}");
    Ok(())
}

// NAME: endings: a repeated event is answered as recorded, even after the end
#[tokio::test]
async fn repeated_events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let events = json!([
        { "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "approve" }, "occurredAt": "2026-11-22T10:00:00+01:00" },
        { "id": Uuid::new_v4(), "type": "custom_scrolled", "payload": { "to": 1.50 } },
    ]);
    let send = async || caller.post(&format!("{session}/events"), events.clone()).await;
    let recorded = send().await?.expect(201)?;
    ensure!(send().await?.expect(201)? == recorded, "a repeat is answered otherwise");
    let mut other = events[0].clone();
    other["payload"]["action"] = json!("reject");
    let with_a_new_one = json!([{ "id": Uuid::new_v4(), "type": "custom_new" }, other]);
    caller.post(&format!("{session}/events"), with_a_new_one).await?.problem(409, "event_conflict")?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from chat_events").fetch_one(stack.database()).await?;
    ensure!(count == 2, "{count} events: all or nothing");
    caller.cancel(&session).await?.expect(200)?;
    ensure!(send().await?.expect(201)? == recorded, "a repeat after the end is still a repeat");
    Ok(())
}

/// The session that is being opened, once it is on record.
async fn session_on_record(stack: &LocalStack) -> Result<Uuid> {
    for _ in 0..200 {
        let id = sqlx::query_scalar("select id from chat_sessions").fetch_optional(stack.database()).await?;
        match id {
            Some(id) => return Ok(id),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    anyhow::bail!("no session was recorded")
}

fn all_cancelled(stack: &LocalStack) -> Result<()> {
    let upstream = stack.openai().sessions();
    ensure!(!upstream.is_empty(), "OpenAI was never asked");
    ensure!(upstream.iter().all(|session| session.status == SessionStatus::Cancelled), "{upstream:?}");
    Ok(())
}

async fn sealed(stack: &LocalStack) -> Result<i64> {
    let count = sqlx::query_scalar("select count(*) from chatkit_sessions where sealed_secret is not null");
    Ok(count.fetch_one(stack.database()).await?)
}
