//! Requests during an outage of OpenAI or Supabase: they succeed without it, or fail without a
//! partial result.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation, SessionStatus};
use local_stack::supabase;
use serde_json::json;

use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn get_session_with_openai_down_marks_chatkit_unavailable() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    stack.openai().add_fault(Fault::new(Operation::ListThreads).status(503));
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["chatkit"] == json!({ "available": false }) && shown["status"] == "active", "{shown:#}");
    stack.openai().add_fault(Fault::new(Operation::ListThreads).html_body());
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["chatkit"] == json!({ "available": false }), "{shown:#}");
    Ok(())
}

#[tokio::test]
async fn get_session_while_openai_hangs_returns_within_8_seconds() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    stack.openai().add_fault(Fault::new(Operation::ListThreads).delay(Duration::from_secs(60)));
    let started = Instant::now();
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["chatkit"] == json!({ "available": false }), "{shown:#}");
    // Lambda's limit is 15 seconds.
    ensure!(started.elapsed() < Duration::from_secs(8), "the response took {:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn get_session_calls_openai_and_supabase_concurrently() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    caller.get(&session).await?.expect(200)?;
    // If the calls were sequential, Supabase would receive the queries of the details after
    // OpenAI's response.
    stack.openai().add_fault(Fault::new(Operation::ListThreads).delay(Duration::from_millis(1500)).times(1));
    let before = stack.supabase().requests().len();
    let reading = caller.get(&session);
    let counting = async {
        tokio::time::sleep(Duration::from_millis(1000)).await;
        stack.supabase().requests().len() - before
    };
    let (shown, queries) = tokio::join!(reading, counting);
    ensure!(shown?.expect(200)?["chatkit"]["available"] == true);
    // The queries of the session, the rate limit and the details.
    ensure!(queries == 3, "Supabase received {queries} queries before OpenAI's response");
    Ok(())
}

#[tokio::test]
async fn create_session_with_openai_down_returns_503_and_fails_it() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).status(503).retry_after("60"));
    let rejected = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    ensure!(rejected.headers["retry-after"] == "60", "{:?}", rejected.headers);
    rejected.problem(503, "chatkit_unavailable")?;
    ensure!(active_sessions(&stack).await? == 0, "a session without a secret is active");
    let ended = caller.get("/chatkit/sessions?status=ended").await?.expect(200)?;
    ensure!(ended["sessions"][0]["endReason"] == "failed", "{ended:#}");
    Ok(())
}

#[tokio::test]
async fn create_session_maps_openai_errors_to_codes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let body = json!({ "agentId": AGENT });
    let upstream_text = "text of an upstream error";
    let error =
        json!({ "message": upstream_text, "type": "invalid_request_error", "param": null, "code": null });
    let error = json!({ "error": error }).to_string();
    for (fault, status, code) in [
        (Fault::new(Operation::CreateSession).status(401), 502, "chatkit_key_refused"),
        (Fault::new(Operation::CreateSession).status(403), 502, "chatkit_project_refused"),
        (Fault::new(Operation::CreateSession).status(404), 502, "chatkit_workflow_not_found"),
        (Fault::new(Operation::CreateSession).status(400), 502, "chatkit_agent_refused"),
        (
            Fault::new(Operation::CreateSession).replace_response(400, "application/json", error),
            502,
            "chatkit_agent_refused",
        ),
        (Fault::new(Operation::CreateSession).status(429).retry_after("7"), 503, "chatkit_rate_limited"),
        (Fault::new(Operation::CreateSession).html_body(), 502, "chatkit_bad_answer"),
        (Fault::new(Operation::CreateSession).cut_body(), 503, "chatkit_unavailable"),
        (Fault::new(Operation::CreateSession).reset_before(), 503, "chatkit_unavailable"),
    ] {
        stack.openai().clear_faults();
        stack.openai().add_fault(fault);
        let problem = caller.post("/chatkit/sessions", body.clone()).await?.problem(status, code)?;
        ensure!(
            !problem.to_string().contains(upstream_text),
            "the response contains OpenAI's text: {problem}"
        );
    }
    stack.openai().clear_faults();
    ensure!(active_sessions(&stack).await? == 0, "a failed request left an active session");
    Ok(())
}

#[tokio::test]
async fn cancel_session_with_openai_down_is_completed_by_repeat() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    stack.openai().add_fault(Fault::new(Operation::CancelSession).status(503));
    let ended = caller.cancel(&session_path(&session)).await?.expect(200)?;
    ensure!(ended["status"] == "ended", "{ended}");
    let secrets = sealed_secrets(&stack).await?;
    ensure!(secrets == 0, "the ended session still has {secrets} secrets");
    stack.openai().clear_faults();
    ensure!(
        caller.cancel(&session_path(&session)).await?.expect(200)? == ended,
        "the repeat returned another response"
    );
    let upstream = stack.openai().sessions();
    ensure!(upstream.iter().all(|session| session.status == SessionStatus::Cancelled), "{upstream:?}");
    Ok(())
}

#[tokio::test]
async fn create_session_with_lost_openai_response_fails_it() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).reset_after().times(1));
    caller
        .post("/chatkit/sessions", json!({ "agentId": AGENT }))
        .await?
        .problem(503, "chatkit_unavailable")?;
    ensure!(active_sessions(&stack).await? == 0, "a session whose secret was lost is active");
    let failed: i64 = sqlx::query_scalar("select count(*) from chatkit_sessions where failed_at is not null")
        .fetch_one(stack.database())
        .await?;
    ensure!(failed == 1, "expected 1 failed request to OpenAI, found {failed}");
    Ok(())
}

#[tokio::test]
async fn record_events_with_openai_down_succeeds() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    stack.openai().add_fault(Fault::everywhere().status(500));
    caller.record_event(&session, "button_click", json!({ "action": "approve" })).await?.expect(201)?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let moved = caller
        .record_event(&session, "handover", json!({ "agentId": "tax_compliance", "fromAgentId": AGENT }))
        .await?;
    moved.expect(201)?;
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["agentId"] == "tax_compliance", "{shown:#}");
    Ok(())
}

#[tokio::test]
async fn supabase_outage_returns_503_without_calling_openai() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    caller.record_event(&session, "button_click", json!({ "action": "connect" })).await?.expect(201)?;
    caller.get(&session).await?.expect(200)?;
    let before = stack.openai().requests().len();
    stack.supabase().set_fault(supabase::Fault::Down).await;
    for response in [
        caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?,
        caller.get(&session).await?,
        caller.record_event(&session, "button_click", json!({ "action": "approve" })).await?,
    ] {
        ensure!(response.headers.contains_key("retry-after"), "{response:?}");
        response.problem(503, "supabase_unavailable")?;
    }
    ensure!(stack.openai().requests().len() == before, "OpenAI received a request");
    Ok(())
}

async fn active_sessions(stack: &LocalStack) -> Result<i64> {
    let count = sqlx::query_scalar("select count(*) from chat_sessions where status = 'active'");
    Ok(count.fetch_one(stack.database()).await?)
}

async fn sealed_secrets(stack: &LocalStack) -> Result<i64> {
    let count = sqlx::query_scalar("select count(*) from chatkit_sessions where sealed_secret is not null");
    Ok(count.fetch_one(stack.database()).await?)
}
