//! OpenAI or Supabase down: what can go on goes on, what cannot says so, and nothing is half-done.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On, SessionStatus};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, path};

// NAME: outages: a session is read with OpenAI down
#[tokio::test]
async fn read_with_openai_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    stack.openai().fault(Fault::new(On::ListThreads).status(503));
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["chatkit"] == json!({ "available": false }) && shown["status"] == "active", "{shown:#}");
    stack.openai().fault(Fault::new(On::ListThreads).nonsense());
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["chatkit"] == json!({ "available": false }), "{shown:#}");
    Ok(())
}

// NAME: outages: a session is read while OpenAI hangs
#[tokio::test]
async fn read_while_openai_hangs() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    stack.openai().fault(Fault::new(On::ListThreads).delay(Duration::from_secs(60)));
    let started = Instant::now();
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["chatkit"] == json!({ "available": false }), "{shown:#}");
    // Far from Lambda's own limit of 15 seconds, and from what a person would wait for.
    ensure!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
    Ok(())
}

// NAME: outages: OpenAI and Supabase are asked at the same time
#[tokio::test]
async fn asked_at_the_same_time() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    caller.get(&session).await?.expect(200)?;
    // OpenAI answers only after a while. Whoever asks one after the other would ask Supabase for the details after that.
    stack.openai().fault(Fault::new(On::ListThreads).delay(Duration::from_millis(1500)).times(1));
    let before = stack.supabase().requests().len();
    let reading = caller.get(&session);
    let watching = async {
        tokio::time::sleep(Duration::from_millis(1000)).await;
        stack.supabase().requests().len() - before
    };
    let (shown, asked_meanwhile) = tokio::join!(reading, watching);
    ensure!(shown?.expect(200)?["chatkit"]["available"] == true);
    // For the session, the charge and the details.
    ensure!(asked_meanwhile == 3, "Supabase was asked {asked_meanwhile} times while OpenAI had not answered");
    Ok(())
}

// NAME: outages: opening with OpenAI down answers 503 and leaves no open session
#[tokio::test]
async fn open_with_openai_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).status(503).retry_after("60"));
    let refused = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    ensure!(refused.headers["retry-after"] == "60", "{:?}", refused.headers);
    refused.problem(503, "chatkit_unavailable")?;
    ensure!(active(&stack).await? == 0, "a session stayed open without a secret");
    let ended = caller.get("/chatkit/sessions?status=ended").await?.expect(200)?;
    ensure!(ended["sessions"][0]["endReason"] == "failed", "{ended:#}");
    Ok(())
}

// NAME: outages: every refusal of OpenAI names its likely cause
#[tokio::test]
async fn refusals_name_their_cause() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let open = json!({ "agentId": AGENT });
    for (fault, status, code) in [
        (Fault::new(On::CreateSession).status(401), 502, "chatkit_key_refused"),
        (Fault::new(On::CreateSession).status(403), 502, "chatkit_project_refused"),
        (Fault::new(On::CreateSession).status(404), 502, "chatkit_workflow_not_found"),
        (Fault::new(On::CreateSession).status(400), 502, "chatkit_agent_refused"),
        (Fault::new(On::CreateSession).status(429).retry_after("7"), 503, "chatkit_rate_limited"),
        (Fault::new(On::CreateSession).nonsense(), 502, "chatkit_bad_answer"),
        (Fault::new(On::CreateSession).cut_body(), 503, "chatkit_unavailable"),
        (Fault::new(On::CreateSession).reset_before(), 503, "chatkit_unavailable"),
    ] {
        stack.openai().clear_faults();
        stack.openai().fault(fault);
        let problem = caller.post("/chatkit/sessions", open.clone()).await?.problem(status, code)?;
        ensure!(!problem.to_string().contains("Stand-in"), "the upstream's words are passed on: {problem}");
    }
    stack.openai().clear_faults();
    ensure!(active(&stack).await? == 0, "a refused opening left a session open");
    Ok(())
}

// NAME: outages: a cancel is answered with OpenAI down and finished by the next
#[tokio::test]
async fn cancel_with_openai_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    stack.openai().fault(Fault::new(On::CancelSession).status(503));
    let ended = caller.cancel(&path(&session)).await?.expect(200)?;
    ensure!(ended["status"] == "ended", "{ended}");
    let left: Value = sealed(&stack).await?;
    ensure!(left == json!(0), "{left} secrets lie about after the end");
    stack.openai().clear_faults();
    ensure!(caller.cancel(&path(&session)).await?.expect(200)? == ended, "the same again");
    let upstream = stack.openai().sessions();
    ensure!(upstream.iter().all(|session| session.status == SessionStatus::Cancelled), "{upstream:?}");
    Ok(())
}

// NAME: outages: an answer of OpenAI that is lost leaves no open session
#[tokio::test]
async fn lost_answer() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).reset_after().times(1));
    caller
        .post("/chatkit/sessions", json!({ "agentId": AGENT }))
        .await?
        .problem(503, "chatkit_unavailable")?;
    ensure!(active(&stack).await? == 0, "a session stayed open whose secret nobody knows");
    let requests: i64 =
        sqlx::query_scalar("select count(*) from chatkit_sessions where failed_at is not null")
            .fetch_one(stack.database())
            .await?;
    ensure!(requests == 1, "the request to OpenAI is not on record");
    Ok(())
}

// NAME: outages: events are recorded with OpenAI down
#[tokio::test]
async fn events_with_openai_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    stack.openai().fault(Fault::everywhere().status(500));
    caller.record(&session, "button_click", json!({ "action": "approve" })).await?.expect(201)?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let moved = caller
        .record(&session, "handover", json!({ "agentId": "tax_compliance", "fromAgentId": AGENT }))
        .await?;
    moved.expect(201)?;
    let shown = caller.get(&session).await?.expect(200)?;
    ensure!(shown["agentId"] == "tax_compliance", "{shown:#}");
    Ok(())
}

// NAME: outages: Supabase down is a quick 503, and OpenAI is not asked
#[tokio::test]
async fn supabase_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    caller.record(&session, "button_click", json!({ "action": "warm" })).await?.expect(201)?;
    caller.get(&session).await?.expect(200)?;
    let asked = stack.openai().requests().len();
    stack.supabase().fault(local_stack::supabase::Fault::Down).await;
    for outcome in [
        caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?,
        caller.get(&session).await?,
        caller.record(&session, "button_click", json!({ "action": "approve" })).await?,
    ] {
        ensure!(outcome.headers.contains_key("retry-after"), "{outcome:?}");
        outcome.problem(503, "supabase_unavailable")?;
    }
    ensure!(stack.openai().requests().len() == asked, "OpenAI was asked");
    Ok(())
}

async fn active(stack: &LocalStack) -> Result<i64> {
    let count = sqlx::query_scalar("select count(*) from chat_sessions where status = 'active'");
    Ok(count.fetch_one(stack.database()).await?)
}

async fn sealed(stack: &LocalStack) -> Result<Value> {
    let count: i64 =
        sqlx::query_scalar("select count(*) from chatkit_sessions where sealed_secret is not null")
            .fetch_one(stack.database())
            .await?;
    Ok(json!(count))
}
