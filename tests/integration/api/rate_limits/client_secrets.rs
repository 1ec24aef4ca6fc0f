//! New client secrets of a user in a minute.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::Operation;
use serde_json::json;

use super::{expect_policy, retry_after, set_limits};
use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn new_secrets_are_counted_and_reused_ones_are_not() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    set_limits(&stack, &caller, json!({ "p_secrets_per_minute_user": 2 })).await?;
    let open = async || caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await;
    let first = open().await?;
    expect_policy(&first, "\"minute\";q=2;w=60")?;
    let session = first.expect(201)?;
    let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
    for _ in 0..5 {
        caller.post("/chatkit/sessions", resume.clone()).await?.expect(200)?;
    }
    open().await?.expect(201)?;
    let limited = open().await?;
    let seconds = retry_after(&limited)?;
    ensure!((1..=60).contains(&seconds), "expected 1 to 60 seconds, found {seconds}");
    ensure!(limited.headers["ratelimit"].to_str()?.starts_with("\"minute\";r=0;t="), "{:?}", limited.headers);
    limited.problem(429, "rate_limited")?;
    let creations = stack.openai().calls(Operation::CreateSession).len();
    ensure!(creations == 2, "expected 2 creations at OpenAI, found {creations}");
    let stranger = TestClient::new(&stack).await?;
    stranger.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn without_chatkit_new_sessions_are_counted_and_reads_are_not() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let caller = TestClient::new(&stack).await?;
    let limits = json!({ "p_thread_reads_per_minute_user": 1, "p_secrets_per_minute_user": 2 });
    set_limits(&stack, &caller, limits).await?;
    let open = async |key: &str| {
        let body = json!({ "agentId": AGENT });
        caller.send(Method::POST, "/chatkit/sessions", &[("idempotency-key", key)], Some(body)).await
    };
    let first = open("first").await?;
    expect_policy(&first, "\"minute\";q=2;w=60")?;
    let session = session_path(&first.expect(201)?);
    for _ in 0..3 {
        let response = caller.get(&session).await?;
        ensure!(!response.headers.contains_key("ratelimit"), "a read was counted: {:?}", response.headers);
        response.expect(200)?;
        // A replay does not create a session and is not counted.
        open("first").await?.expect(200)?;
    }
    open("second").await?.expect(201)?;
    open("third").await?.problem(429, "rate_limited")?;
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from chat_sessions").fetch_one(stack.database()).await?;
    ensure!(sessions == 2, "expected 2 sessions, found {sessions}");
    Ok(())
}
