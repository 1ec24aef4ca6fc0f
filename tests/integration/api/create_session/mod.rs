//! `POST /chatkit/sessions`.

mod provider_handover;
mod rejected_secret;
mod renewal;
mod self_hosted;
mod self_hosted_secret;

use anyhow::{Result, bail, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};

#[tokio::test]
async fn removed_member_with_unexpired_token_returns_403() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    sqlx::query("update auth.users set raw_app_meta_data = '{}' where id = $1")
        .bind(caller.user.id)
        .execute(stack.database())
        .await?;
    caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.problem(403, "not_a_member")?;
    let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
    caller.post("/chatkit/sessions", resume).await?.problem(403, "not_a_member")?;
    Ok(())
}

#[tokio::test]
async fn openai_receives_registered_workflow_and_opaque_user() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.open_session().await?;
    let user_elsewhere = TestClient::new(&stack).await?;
    user_elsewhere.open_session().await?;
    let bodies: Vec<Value> = stack.openai().requests().into_iter().filter_map(|call| call.json()).collect();
    let [first, second] = bodies.as_slice() else {
        bail!("expected 2 requests to OpenAI, found {}", bodies.len())
    };
    ensure!(first["workflow"]["tracing"] == json!({ "enabled": false }), "tracing is not disabled: {first}");
    ensure!(first["workflow"]["version"] == "1", "expected version 1: {first}");
    ensure!(first["user"] != second["user"], "two users have the same id at OpenAI: {first} {second}");
    for id in [caller.user.id, caller.user.org_id] {
        ensure!(!first.to_string().contains(&id.to_string()), "OpenAI received the id {id}: {first}");
    }
    Ok(())
}
