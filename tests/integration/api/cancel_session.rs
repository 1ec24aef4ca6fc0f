//! `POST /chatkit/sessions/{id}/cancel`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation, SessionStatus};
use serde_json::json;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};

#[tokio::test]
async fn cancel_while_openai_creates_leaves_no_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack
        .openai()
        .add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_millis(1500)).times(1));
    let cancel = async {
        // OpenAI has created its session, and the function does not have the response yet.
        wait_for_openai_session(&stack).await?;
        let id: Uuid = sqlx::query_scalar("select id from chat_sessions").fetch_one(stack.database()).await?;
        caller.cancel(&format!("/chatkit/sessions/{id}")).await?.expect(200)
    };
    let create = caller.post("/chatkit/sessions", json!({ "agentId": AGENT }));
    let (created, cancelled) = tokio::join!(create, cancel);
    let status = cancelled?["status"].take();
    ensure!(status == "ended", "expected an ended session, found {status}");
    created?.problem(409, "session_ended")?;

    let at_openai = stack.openai().sessions();
    ensure!(!at_openai.is_empty(), "no session was created at OpenAI");
    ensure!(
        at_openai.iter().all(|session| session.status == SessionStatus::Cancelled),
        "expected cancelled sessions at OpenAI, found {at_openai:?}"
    );
    let secrets: i64 =
        sqlx::query_scalar("select count(*) from chatkit_sessions where sealed_secret is not null")
            .fetch_one(stack.database())
            .await?;
    ensure!(secrets == 0, "{secrets} secrets were recorded after the end");
    Ok(())
}

#[tokio::test]
async fn cancel_withdraws_open_escalations() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let payload =
        json!({ "reason": "Above 10 000 EUR", "decisions": ["approve", "reject"], "expiresInSeconds": 3600 });
    let recorded = caller.record_event(&session, "hitl_escalation", payload).await?.expect(201)?;
    let id = recorded["events"][0]["escalationId"].as_str().context("no escalation id")?.parse::<Uuid>()?;
    let read = caller.get(&session).await?.expect(200)?;
    let open = &read["escalations"][0];
    ensure!(
        open["id"] == id.to_string() && open["origin"] == "browser" && open["status"] == "open",
        "expected the open escalation {id}, found {read:#}"
    );
    caller.cancel(&session).await?.expect(200)?;
    let read = caller.get(&session).await?.expect(200)?;
    ensure!(read["escalations"] == json!([]), "expected no open escalations, found {read:#}");
    let status: String = sqlx::query_scalar("select status from chat_escalations where id = $1")
        .bind(id)
        .fetch_one(stack.database())
        .await?;
    ensure!(status == "withdrawn", "expected the status withdrawn, found {status}");
    Ok(())
}

/// Waits until the first session exists at OpenAI.
pub async fn wait_for_openai_session(stack: &LocalStack) -> Result<()> {
    for _ in 0..200 {
        if !stack.openai().sessions().is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("no session was created at OpenAI within ten seconds")
}
