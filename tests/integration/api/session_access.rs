//! Sessions of other users, at every endpoint that takes a session id.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};

/// One for each endpoint that takes a session id.
const OPERATIONS: [&str; 8] =
    ["read", "messages", "list events", "record an event", "stop", "cancel", "resume", "refresh"];

#[tokio::test]
async fn session_of_another_user_is_answered_like_a_missing_one() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    let session = user.open_session_path().await?;
    let colleague = TestClient::in_organisation(&stack, user.user.org_id, OrgRole::Member).await?;
    let stranger = TestClient::new(&stack).await?;
    let owner_elsewhere = TestClient::in_organisation(&stack, stranger.user.org_id, OrgRole::Owner).await?;
    let missing = format!("/chatkit/sessions/{}", Uuid::now_v7());
    for caller in [&colleague, &stranger, &owner_elsewhere] {
        for operation in OPERATIONS {
            let of_other_user =
                request(caller, operation, &session).await?.problem(404, "session_not_found")?;
            let of_missing = request(caller, operation, &missing).await?.problem(404, "session_not_found")?;
            let (found, expected) = (without_occurrence(of_other_user), without_occurrence(of_missing));
            ensure!(found == expected, "{operation}: expected {expected:#}, found {found:#}");
        }
    }
    let status = user.get(&session).await?.expect(200)?["status"].take();
    ensure!(status == "active", "expected an active session, found {status}");
    Ok(())
}

async fn request(caller: &TestClient, operation: &str, session: &str) -> Result<TestResponse> {
    let id = session.rsplit('/').next();
    match operation {
        "read" => caller.get(session).await,
        "messages" => caller.get(&format!("{session}/messages")).await,
        "list events" => caller.get(&format!("{session}/events")).await,
        "record an event" => caller.record_event(session, "button_click", json!({ "action": "a" })).await,
        "stop" => caller.send(Method::POST, &format!("{session}/stop"), &[], None).await,
        "cancel" => caller.cancel(session).await,
        purpose => caller.post("/chatkit/sessions", json!({ "sessionId": id, "purpose": purpose })).await,
    }
}

/// The problem without the members that differ from response to response.
fn without_occurrence(mut problem: Value) -> Value {
    for member in ["instance", "requestId"] {
        problem.as_object_mut().map(|members| members.remove(member));
    }
    problem
}
