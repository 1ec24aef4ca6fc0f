//! The queue of deliveries: routes, ended sessions, and fairness between organisations.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixture::{DispatchFixture, auto_tool, delivery_states, has_event};
use crate::jobs::erasure::fixture::{member, record_click};
use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn event_without_a_route_creates_no_delivery() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let record = async |event_type: &str, payload: Value| {
        fixture.client.record_event(&session_path(&fixture.session), event_type, payload).await?.expect(201)
    };
    record("custom_x", json!({})).await?;
    record("error", json!({ "message": "it broke" })).await?;
    // An organisation whose agent has no tool.
    let foreign = TestClient::new(&stack).await?;
    let foreign_session = foreign.open_session_path().await?;
    foreign.record_event(&foreign_session, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 0, "expected no call: {report}");
    let states = delivery_states(&stack).await?;
    ensure!(states.is_empty(), "expected no delivery: {states:?}");
    Ok(())
}

#[tokio::test]
async fn ended_session_withdraws_pending_deliveries() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    fixture.click(900).await?;
    fixture.client.cancel(&session_path(&fixture.session)).await?.expect(200)?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 0, "expected no call: {report}");
    let states = delivery_states(&stack).await?;
    ensure!(states.len() == 1 && states[0].0 == "withdrawn", "expected one withdrawn delivery: {states:?}");
    Ok(())
}

#[tokio::test]
async fn ended_session_withdraws_held_deliveries() -> Result<()> {
    let stack = LocalStack::start().await?;
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    let fixture = DispatchFixture::new(&stack, json!({ "policy": "ask" })).await?;
    fixture.click(900).await?;
    let calls = stack.claim_deliveries().await?;
    let states = delivery_states(&stack).await?;
    ensure!(
        calls.is_empty() && states == [("asked".to_owned(), None)],
        "expected one held delivery: {states:?}"
    );
    fixture.client.cancel(&session_path(&fixture.session)).await?.expect(200)?;
    let states = delivery_states(&stack).await?;
    ensure!(
        states == [("withdrawn".to_owned(), Some("session_ended".to_owned()))],
        "expected one withdrawn delivery: {states:?}"
    );
    Ok(())
}

#[tokio::test]
async fn claim_is_shared_equally_by_organisations() -> Result<()> {
    let stack = LocalStack::start().await?;
    let clients = [member(&stack).await?, member(&stack).await?];
    for client in &clients {
        for _ in 0..4 {
            record_click(client, &client.open_session_path().await?).await?;
        }
    }
    let arguments = json!({ "p_limit": 4, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
    let (status, claim) = stack.rpc("claim_deliveries", arguments).await?;
    ensure!(status.is_success(), "claim_deliveries returned {status}: {claim}");
    let query = "select count(*) from deliveries where org_id = $1 and status = 'running'";
    let mut running = Vec::new();
    for client in &clients {
        let calls: i64 =
            sqlx::query_scalar(query).bind(client.user.org_id).fetch_one(stack.database()).await?;
        running.push(calls);
    }
    ensure!(running == [2, 2], "expected 2 calls of each organisation, found {running:?}");
    Ok(())
}

/// Sessions with one event each: more than an organisation may have called at the same time.
const SLOW_SESSIONS: usize = 40;

#[tokio::test]
async fn slow_agent_does_not_delay_another_organisation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let slow = DispatchFixture::new(&stack, auto_tool()).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.add_fault(Fault::on_calls().delay(Duration::from_secs(3)));
    for _ in 0..SLOW_SESSIONS {
        let session = slow.client.open_session_path().await?;
        let payload = json!({ "action": "pay", "data": { "invoice": "1", "amount": 1 } });
        slow.client.record_event(&session, "button_click", payload).await?.expect(201)?;
    }
    let client = TestClient::new(&stack).await?;
    stack.register_agent(client.user.org_id, "tax_compliance", "Tax").await?;
    stack.register_agent_tool(client.user.org_id, "tax_compliance", auto_tool()).await?;
    let body = json!({ "agentId": "tax_compliance" });
    let session = client.post("/chatkit/sessions", body).await?.expect(201)?;
    client
        .record_event(&session_path(&session), "button_click", json!({ "action": "check" }))
        .await?
        .expect(201)?;
    let other = DispatchFixture { client, session };
    other.wait_for(|session| has_event(session, "agent_result")).await?;
    let query = "select count(*) from deliveries where org_id = $1 and status in ('pending', 'running')";
    let waiting: i64 =
        sqlx::query_scalar(query).bind(slow.client.user.org_id).fetch_one(stack.database()).await?;
    ensure!(waiting > 0, "the slow organisation finished first, so the test compares nothing");
    Ok(())
}
