//! The `Idempotency-Key` header of every POST.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation, SessionStatus};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cancel_session::wait_for_openai_session;
use crate::support::client::{AGENT, TestClient, TestResponse, session_path};

#[tokio::test]
async fn thirty_concurrent_duplicates_create_one_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_millis(300)));
    let mut created = Vec::new();
    for response in join_all((0..30).map(|_| open(&caller, "a-key"))).await {
        let response = response?;
        if response.status == 409 {
            ensure!(response.headers.contains_key("retry-after"), "expected Retry-After: {response:?}");
            response.problem(409, "still_running")?;
        } else {
            created.push((response.status.as_u16(), response.body["id"].clone()));
        }
    }
    let ids: HashSet<_> = created.iter().map(|(_, id)| id.to_string()).collect();
    ensure!(ids.len() == 1, "expected 1 session, found {}: {created:?}", ids.len());
    let count = created.iter().filter(|(status, _)| *status == 201).count();
    ensure!(count == 1, "expected one 201, found {count}: {created:?}");
    expect_creations(&stack, 1)
}

#[tokio::test]
async fn replay_returns_the_live_secret_and_near_expiry_a_new_one() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let first = open(&caller, "a-key").await?.expect(201)?;
    let replayed = open(&caller, "a-key").await?.expect(200)?;
    ensure!(replayed == first, "expected {first}, found {replayed}");
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '10 seconds'")
        .execute(stack.database())
        .await?;
    let replayed = open(&caller, "a-key").await?.expect(200)?;
    ensure!(replayed["id"] == first["id"], "expected the session {}, found {}", first["id"], replayed["id"]);
    ensure!(replayed["chatkit"] != first["chatkit"], "the replay has the secret that expires");
    ensure!(replayed["lastActivityAt"] == first["lastActivityAt"], "a replay counts as activity");
    Ok(())
}

#[tokio::test]
async fn same_key_with_another_body_returns_422() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    open(&caller, "a-key").await?.expect(201)?;
    let other = json!({ "agentId": AGENT, "metadata": { "a": 1, "b": 3 } });
    open_with(&caller, "a-key", other).await?.problem(422, "idempotency_key_reused")?;
    // The order of members and the notation of numbers make no difference.
    let same = json!({ "metadata": { "b": 2.0, "a": 1 }, "agentId": AGENT });
    open_with(&caller, "a-key", same).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn retry_after_failure_at_openai_creates_the_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).status(503).should_retry(false).times(1));
    open(&caller, "a-key").await?.problem(503, "chatkit_unavailable")?;
    let created = open(&caller, "a-key").await?.expect(201)?;
    ensure!(
        created["status"] == "active" && created["chatkit"]["clientSecret"].is_string(),
        "expected an active session with a secret, found {created}"
    );
    Ok(())
}

#[tokio::test]
async fn replay_after_cancellation_returns_409() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = open(&caller, "a-key").await?.expect(201)?;
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    open(&caller, "a-key").await?.problem(409, "session_ended")?;
    Ok(())
}

#[tokio::test]
async fn request_of_an_ended_process_is_resumed_after_its_lease() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack
        .openai()
        .add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_secs(2)).times(1));
    let kill = async {
        wait_for_openai_session(&stack).await?;
        stack.lambda().function("create-session")?.kill();
        anyhow::Ok(())
    };
    let (interrupted, killed) = tokio::join!(open(&caller, "a-key"), kill);
    killed?;
    ensure!(
        interrupted.is_err() || interrupted.is_ok_and(|response| response.status.is_server_error()),
        "the request ended before its process was killed"
    );
    open(&caller, "a-key").await?.problem(409, "still_running")?;
    sqlx::query("update idempotency_keys set lease_until = now() - interval '1 second'")
        .execute(stack.database())
        .await?;
    let response = open(&caller, "a-key").await?;
    ensure!(response.status.is_success(), "expected a success, found {response:?}");
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from chat_sessions").fetch_one(stack.database()).await?;
    ensure!(sessions == 1, "expected 1 session, found {sessions}");
    expect_creations(&stack, 2)
}

/// The lease of the first attempt ends while it waits for OpenAI, so the second one takes the key.
#[tokio::test]
async fn late_response_of_a_replaced_attempt_is_discarded() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let delay = Duration::from_secs(3);
    stack.openai().add_fault(Fault::new(Operation::CreateSession).delay_response(delay).times(1));
    let replace = async {
        wait_for_openai_session(&stack).await?;
        sqlx::query("update idempotency_keys set lease_until = now() - interval '1 second'")
            .execute(stack.database())
            .await?;
        open(&caller, "a-key").await?.expect(200)
    };
    let (late, second) = tokio::join!(open(&caller, "a-key"), replace);
    let second = second?;
    late?.problem(409, "still_running")?;
    let replayed = open(&caller, "a-key").await?.expect(200)?;
    ensure!(replayed == second, "expected the response of the second attempt, {second}, found {replayed}");
    let secrets: i64 =
        sqlx::query_scalar("select count(*) from chatkit_sessions where sealed_secret is not null")
            .fetch_one(stack.database())
            .await?;
    ensure!(secrets == 1, "expected 1 stored secret, found {secrets}");
    let statuses: Vec<_> = stack.openai().sessions().into_iter().map(|session| session.status).collect();
    ensure!(
        statuses.len() == 2 && statuses.contains(&SessionStatus::Cancelled),
        "expected 2 ChatKit sessions, one of them cancelled, found {statuses:?}"
    );
    Ok(())
}

#[tokio::test]
async fn key_is_scoped_to_user_and_endpoint() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let colleague = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Member).await?;
    let own = open(&caller, "a-key").await?.expect(201)?;
    let of_colleague = open(&colleague, "a-key").await?.expect(201)?;
    ensure!(own["id"] != of_colleague["id"], "two users have the session {}", own["id"]);
    let cancel = format!("{}/cancel", session_path(&own));
    caller.send(Method::POST, &cancel, &[("idempotency-key", "a-key")], None).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn events_and_cancel_accept_keys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (session, other) = (caller.open_session_path().await?, caller.open_session_path().await?);
    let post = async |path: String, body: Option<Value>| {
        caller.send(Method::POST, &path, &[("idempotency-key", "b-key")], body).await
    };
    let event = json!({ "id": Uuid::new_v4(), "type": "custom_x" });
    let recorded = post(format!("{session}/events"), Some(event.clone())).await?.expect(201)?;
    let replayed = post(format!("{session}/events"), Some(event.clone())).await?.expect(201)?;
    ensure!(replayed == recorded, "expected {recorded:#}, found {replayed:#}");
    let changed = json!({ "id": Uuid::new_v4(), "type": "custom_x" });
    post(format!("{session}/events"), Some(changed)).await?.problem(422, "idempotency_key_reused")?;
    post(format!("{other}/events"), Some(event)).await?.problem(422, "idempotency_key_reused")?;
    let ended = post(format!("{session}/cancel"), None).await?.expect(200)?;
    let replayed = post(format!("{session}/cancel"), None).await?.expect(200)?;
    ensure!(replayed == ended, "expected {ended:#}, found {replayed:#}");
    post(format!("{other}/cancel"), None).await?.problem(422, "idempotency_key_reused")?;
    Ok(())
}

#[tokio::test]
async fn key_of_255_characters_is_accepted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let key = "x".repeat(255);
    let created = open(&caller, &key).await?.expect(201)?;
    let replayed = open(&caller, &key).await?.expect(200)?;
    ensure!(replayed == created, "expected {created}, found {replayed}");
    Ok(())
}

#[tokio::test]
async fn malformed_key_returns_400() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for key in ["two words", "", &"x".repeat(256)] {
        let response = open(&caller, key).await?;
        response.problem(400, "invalid_idempotency_key").with_context(|| format!("key {key:?}"))?;
    }
    expect_creations(&stack, 0)
}

async fn open(caller: &TestClient, key: &str) -> Result<TestResponse> {
    open_with(caller, key, json!({ "agentId": AGENT, "metadata": { "a": 1, "b": 2 } })).await
}

async fn open_with(caller: &TestClient, key: &str, body: Value) -> Result<TestResponse> {
    caller.send(Method::POST, "/chatkit/sessions", &[("idempotency-key", key)], Some(body)).await
}

fn expect_creations(stack: &LocalStack, expected: usize) -> Result<()> {
    let creations = stack.openai().calls(Operation::CreateSession).len();
    ensure!(creations == expected, "expected {expected} creations at OpenAI, found {creations}");
    Ok(())
}
