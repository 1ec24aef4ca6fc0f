//! The requests of the functions, compared with those of OpenAI's SDK.

use anyhow::{Context, Result};
use local_stack::openai::{NormalizedRequest, Operation};
use local_stack::{LocalStack, PROJECT};
use serde_json::{Value, json};

use super::driver::{Sdk, SdkSettings};
use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::skip;

/// More threads than a page contains, so that `get-session` requests the first one by its id.
const THREADS: usize = 101;

#[tokio::test]
async fn own_requests_equal_sdk_requests() -> Result<()> {
    skip::with_tools(async {
        let stack = LocalStack::start().await?;
        let caller = TestClient::new(&stack).await?;
        let session = caller.open_session().await?;
        let secret =
            session["chatkit"]["clientSecret"].as_str().context("the session has no client secret")?;
        let thread = stack.openai().post_message(secret, None, "Hello").await?.thread_id;
        caller
            .record_event(&session_path(&session), "thread_changed", json!({ "threadId": thread }))
            .await?
            .expect(201)?;
        let user = stack.openai().sessions().pop().context("OpenAI has no session")?.user;
        for _ in 0..THREADS {
            stack.openai().put_thread_in(PROJECT, &user, None, vec![]);
        }
        caller.get(&session_path(&session)).await?.expect(200)?;
        caller.cancel(&session_path(&session)).await?.expect(200)?;

        let chatkit_session = &session["chatkit"]["sessionId"];
        let calls = [
            (Operation::CreateSession, "sessions.create", json!([]), expected_session(&stack, &user).await?),
            (
                Operation::ListThreads,
                "threads.list",
                json!([]),
                json!({ "user": user, "limit": 100, "order": "desc" }),
            ),
            (Operation::RetrieveThread, "threads.retrieve", json!([thread]), json!({})),
            (Operation::CancelSession, "sessions.cancel", json!([chatkit_session]), json!({})),
        ];
        let own_calls: Vec<NormalizedRequest> =
            calls.iter().map(|(on, ..)| only_call(&stack, *on)).collect::<Result<_>>()?;
        let mut sdk = start_sdk(&stack).await?;
        for ((on, name, args, kwargs), own) in calls.into_iter().zip(own_calls) {
            stack.openai().clear_requests();
            // The second cancellation fails. Only its request matters.
            let _ = sdk.call(name, args, kwargs).await?;
            assert_eq!(own, only_call(&stack, on)?, "{name}");
        }
        Ok(())
    })
    .await
}

/// The only call of this kind in OpenAI's log.
fn only_call(stack: &LocalStack, on: Operation) -> Result<NormalizedRequest> {
    let mut calls = stack.openai().calls(on);
    assert_eq!(calls.len(), 1, "{on:?}: {calls:?}");
    Ok(calls.pop().context("OpenAI received no call")?.normalized())
}

/// The arguments of a session, from the registered agent.
async fn expected_session(stack: &LocalStack, user: &str) -> Result<Value> {
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

/// The SDK with the key of the functions.
async fn start_sdk(stack: &LocalStack) -> Result<Sdk> {
    let environment = stack.environment().all_variables();
    let api_key = environment.get("OPENAI_CHATKIT_SECRET").context("the functions have no key")?.clone();
    let settings = SdkSettings {
        base_url: stack.openai().base_url(),
        api_key,
        project: environment.get("OPENAI_CHATKIT_PROJECT").cloned(),
        max_retries: 0,
        timeout: 10.0,
    };
    Ok(Sdk::start(&settings).await?)
}
