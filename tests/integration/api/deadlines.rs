//! Every function responds before its Lambda timeout, also while Supabase does not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::supabase::Fault;
use local_stack::{Builder, LocalStack};
use serde_json::json;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};

/// The Lambda timeout of the functions here. The stack records an invocation that exceeds it as a
/// failure. The limits on elapsed time below only bound the rest.
const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn hanging_supabase_returns_504_within_timeout() -> Result<()> {
    let stack = short_timeout().start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    expect_success(call_every_function(&caller, &session).await?)?;
    let session = caller.open_session_path().await?;
    let openai_requests = stack.openai().requests().len();
    stack.supabase().set_fault(Fault::Silent).await;
    for (request, response, elapsed) in call_every_function(&caller, &session).await? {
        ensure!(elapsed < TIMEOUT + Duration::from_secs(2), "{request} took {elapsed:?}");
        let code = response.body["code"].as_str().unwrap_or_default().to_owned();
        ensure!(
            ["supabase_timeout", "deadline_exceeded"].contains(&code.as_str()),
            "{request}: {response:?}"
        );
        response.problem(504, &code).context(request)?;
    }
    expect_no_lambda_failures(&stack)?;
    let found = stack.openai().requests().len();
    ensure!(found == openai_requests, "expected {openai_requests} requests at OpenAI, found {found}");
    // The processes keep working.
    stack.supabase().set_fault(Fault::None).await;
    expect_success(call_every_function(&caller, &session).await?)
}

#[tokio::test]
async fn hanging_supabase_at_cold_start_returns_503_within_timeout() -> Result<()> {
    let stack = short_timeout().start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.supabase().set_fault(Fault::Silent).await;
    let missing = format!("/chatkit/sessions/{}", Uuid::now_v7());
    for (request, response, elapsed) in call_every_function(&caller, &missing).await? {
        // The start of the process takes time in addition to the request.
        ensure!(elapsed < TIMEOUT + Duration::from_secs(3), "{request} took {elapsed:?}");
        ensure!(
            response.headers.contains_key("retry-after"),
            "{request}: expected Retry-After, found {response:?}"
        );
        response.problem(503, "supabase_unavailable").context(request)?;
    }
    expect_no_lambda_failures(&stack)
}

#[tokio::test]
async fn consecutive_slow_responses_share_one_deadline() -> Result<()> {
    let stack = short_timeout().start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    caller.get(&session).await?.expect(200)?;
    // One response arrives in time. Reading a session takes two, one after the other.
    stack.supabase().set_fault(Fault::Delay(Duration::from_millis(2700))).await;
    let started = Instant::now();
    caller.get(&session).await?.problem(504, "supabase_timeout")?;
    let elapsed = started.elapsed();
    ensure!(elapsed < TIMEOUT + Duration::from_secs(2), "the request took {elapsed:?}");
    expect_no_lambda_failures(&stack)
}

fn short_timeout() -> Builder {
    LocalStack::builder().timeout(TIMEOUT)
}

/// Calls seven functions at once. Returns the request, the response and the elapsed time of each.
async fn call_every_function(
    caller: &TestClient,
    session: &str,
) -> Result<Vec<(String, TestResponse, Duration)>> {
    let event = json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "a" } });
    let requests = [
        (Method::GET, "/chatkit/agents".to_owned(), None),
        (Method::GET, "/chatkit/sessions".to_owned(), None),
        (Method::GET, session.to_owned(), None),
        (Method::GET, format!("{session}/messages"), None),
        (Method::POST, "/chatkit/sessions".to_owned(), Some(json!({ "agentId": AGENT }))),
        (Method::POST, format!("{session}/events"), Some(event)),
        (Method::POST, format!("{session}/cancel"), None),
    ];
    try_join_all(requests.map(async |(method, path, body)| {
        let started = Instant::now();
        let response = caller.send(method.clone(), &path, &[], body).await?;
        Ok((format!("{method} {path}"), response, started.elapsed()))
    }))
    .await
}

/// Checks that each response is a success, or a 409: the event may arrive after the cancellation.
fn expect_success(responses: Vec<(String, TestResponse, Duration)>) -> Result<()> {
    for (request, response, _) in responses {
        ensure!(response.status.is_success() || response.status == 409, "{request}: {response:?}");
    }
    Ok(())
}

fn expect_no_lambda_failures(stack: &LocalStack) -> Result<()> {
    let failures = stack.lambda().failures();
    ensure!(failures.is_empty(), "expected no failed invocations, found {failures:?}");
    Ok(())
}
