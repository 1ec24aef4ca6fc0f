//! `POST /chatkit/sessions/{id}/events`: repeated events and handovers.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::Operation;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn repeated_event_returns_the_recorded_one_also_after_the_end() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let events = json!([
        {
            "id": Uuid::new_v4(),
            "type": "button_click",
            "payload": { "action": "approve" },
            "occurredAt": "2026-11-22T10:00:00+01:00",
        },
        { "id": Uuid::new_v4(), "type": "custom_scrolled", "payload": { "to": 1.50 } },
    ]);
    let send = async || caller.post(&format!("{session}/events"), events.clone()).await;
    let recorded = send().await?.expect(201)?;
    let repeated = send().await?.expect(201)?;
    ensure!(repeated == recorded, "expected {recorded:#}, found {repeated:#}");
    let mut conflicting = events[0].clone();
    conflicting["payload"]["action"] = json!("reject");
    let batch = json!([{ "id": Uuid::new_v4(), "type": "custom_new" }, conflicting]);
    caller.post(&format!("{session}/events"), batch).await?.problem(409, "event_conflict")?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from chat_events").fetch_one(stack.database()).await?;
    ensure!(count == 2, "expected 2 events, since a batch is atomic; found {count}");
    caller.cancel(&session).await?.expect(200)?;
    let repeated = send().await?.expect(201)?;
    ensure!(repeated == recorded, "after the end: expected {recorded:#}, found {repeated:#}");
    Ok(())
}

#[tokio::test]
async fn handover_cancels_the_secret_and_the_next_is_for_the_new_agent() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = caller.open_session().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no client secret")?;
    let payload =
        json!({ "agentId": "tax_compliance", "fromAgentId": AGENT, "summary": "VAT of invoice 42" });
    caller.record_event(&session_path(&session), "handover", payload).await?.expect(201)?;
    let message = stack.openai().post_message(secret, None, "Hello?").await;
    ensure!(message.is_err(), "the secret for the previous agent is still accepted");

    let refresh = json!({ "sessionId": session["id"], "purpose": "refresh" });
    let renewed = caller.post("/chatkit/sessions", refresh).await?.expect(200)?;
    ensure!(renewed["agentId"] == "tax_compliance", "{renewed}");
    let requests: Vec<Value> =
        stack.openai().calls(Operation::CreateSession).iter().filter_map(|call| call.json()).collect();
    let workflow = |index: usize| &requests[index]["workflow"]["id"];
    ensure!(workflow(0) != workflow(1), "the new secret is for the previous workflow {}", workflow(0));
    ensure!(requests[0]["user"] == requests[1]["user"], "the user at OpenAI changed: {requests:#?}");
    Ok(())
}

#[tokio::test]
async fn handover_from_a_previous_agent_returns_409() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = caller.open_session_path().await?;
    let handover = json!({ "agentId": "tax_compliance", "fromAgentId": AGENT });
    caller.record_event(&session, "handover", handover.clone()).await?.expect(201)?;
    let problem = caller.record_event(&session, "handover", handover).await?.problem(409, "agent_changed")?;
    ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("tax_compliance")), "{problem}");
    let to_unknown_agent = json!({ "agentId": "unknown" });
    caller.record_event(&session, "handover", to_unknown_agent).await?.problem(422, "agent_unavailable")?;
    let read = caller.get(&session).await?.expect(200)?;
    ensure!(
        read["agentId"] == "tax_compliance" && read["events"].as_array().map(Vec::len) == Some(1),
        "expected one handover to tax_compliance, found {read:#}"
    );
    Ok(())
}
