//! What our own client sends is what OpenAI's SDK sends.

use crate::support::openai_sdk_driver::{Sdk, SdkSettings};
use anyhow::{Context, Result};
use local_stack::LocalStack;
use local_stack::PROJECT;
use local_stack::openai::{Essence, On};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, path};

/// More threads than our list holds, so that the first one is asked for by itself.
const MANY: usize = 101;

// NAME: SDK: each call of ours is the one that the SDK makes
#[tokio::test]
async fn each_call_of_ours_is_the_sdks() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no client secret")?;
    let thread = stack.openai().say(secret, None, "Hello").await?.thread_id;
    caller.record(&path(&session), "thread_changed", json!({ "threadId": thread })).await?.expect(201)?;
    let user = stack.openai().sessions().pop().context("no session at OpenAI")?.user;
    for _ in 0..MANY {
        stack.openai().put_thread_in(PROJECT, &user, None, vec![]);
    }
    caller.get(&path(&session)).await?.expect(200)?;
    caller.cancel(&path(&session)).await?.expect(200)?;

    let chatkit_session = &session["chatkit"]["sessionId"];
    let calls = [
        (On::CreateSession, "sessions.create", json!([]), registered(&stack, &user).await?),
        (On::ListThreads, "threads.list", json!([]), json!({ "user": user, "limit": 100, "order": "desc" })),
        (On::RetrieveThread, "threads.retrieve", json!([thread]), json!({})),
        (On::CancelSession, "sessions.cancel", json!([chatkit_session]), json!({})),
    ];
    let ours: Vec<Essence> = calls.iter().map(|(on, ..)| only(&stack, *on)).collect::<Result<_>>()?;
    let mut sdk = sdk(&stack).await?;
    for ((on, name, args, named), ours) in calls.into_iter().zip(ours) {
        stack.openai().clear_ledger();
        // Answered or refused, it is on the wire: what is cancelled cannot be cancelled again.
        let _ = sdk.call(name, args, named).await?;
        assert_eq!(ours, only(&stack, on)?, "{name}");
    }
    Ok(())
}

/// The one call of this kind that OpenAI saw.
fn only(stack: &LocalStack, on: On) -> Result<Essence> {
    let mut calls = stack.openai().calls(on);
    assert_eq!(calls.len(), 1, "{on:?}: {calls:?}");
    Ok(calls.pop().context("no call")?.essence())
}

/// What a session is to be opened with, as the registry says it.
async fn registered(stack: &LocalStack, user: &str) -> Result<Value> {
    let query = "select to_jsonb(agents) from agents where id = $1";
    let agent: Value = sqlx::query_scalar(query).bind(AGENT).fetch_one(stack.database()).await?;
    let mut workflow = json!({
        "id": agent["chatkit_workflow_id"],
        "tracing": { "enabled": agent["tracing_enabled"] },
    });
    if agent["chatkit_workflow_version"].is_string() {
        workflow["version"] = agent["chatkit_workflow_version"].clone();
    }
    Ok(json!({ "user": user, "workflow": workflow }))
}

/// The SDK with the key that the functions have.
async fn sdk(stack: &LocalStack) -> Result<Sdk> {
    let environment = stack.environment().whole();
    let api_key = environment.get("OPENAI_CHATKIT_SECRET").context("no key")?.clone();
    let settings = SdkSettings {
        base_url: stack.openai().base_url(),
        api_key,
        project: environment.get("OPENAI_CHATKIT_PROJECT").cloned(),
        max_retries: 0,
        timeout: 10.0,
    };
    Ok(Sdk::start(&settings).await?)
}
