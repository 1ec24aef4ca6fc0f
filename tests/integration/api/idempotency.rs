//! A retry is always safe: one key, one session, one creation at OpenAI, whatever happens in between.

use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse, path};

async fn open(caller: &TestClient, key: &str) -> Result<TestResponse> {
    open_with(caller, key, json!({ "agentId": AGENT, "metadata": { "a": 1, "b": 2 } })).await
}

async fn open_with(caller: &TestClient, key: &str, body: Value) -> Result<TestResponse> {
    caller.send(http_client::Method::POST, "/chatkit/sessions", &[("idempotency-key", key)], Some(body)).await
}

fn creations(stack: &LocalStack) -> usize {
    stack.openai().calls(On::CreateSession).len()
}

// NAME: idempotency: thirty duplicates at once open one session with one creation
#[tokio::test]
async fn duplicates_at_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_millis(300)));
    let replies = futures_util::future::join_all((0..30).map(|_| open(&caller, "a-key"))).await;
    let mut opened = Vec::new();
    for reply in replies {
        let reply = reply?;
        match reply.status.as_u16() {
            409 => {
                ensure!(reply.headers.contains_key("retry-after"), "{reply:?}");
                reply.problem(409, "still_running")?;
            }
            _ => opened.push((reply.status.as_u16(), reply.body["id"].clone())),
        }
    }
    let ids: std::collections::HashSet<_> = opened.iter().map(|(_, id)| id.to_string()).collect();
    ensure!(ids.len() == 1, "{} sessions: {opened:?}", ids.len());
    ensure!(opened.iter().filter(|(status, _)| *status == 201).count() == 1, "{opened:?}");
    ensure!(creations(&stack) == 1, "{} creations at OpenAI", creations(&stack));
    Ok(())
}

// NAME: idempotency: a replay has the live secret, and later a fresh one
#[tokio::test]
async fn replays() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let first = open(&caller, "a-key").await?.expect(201)?;
    let again = open(&caller, "a-key").await?.expect(200)?;
    ensure!(again == first, "{again} instead of {first}");
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '10 seconds'")
        .execute(stack.database())
        .await?;
    let later = open(&caller, "a-key").await?.expect(200)?;
    ensure!(
        later["id"] == first["id"] && later["chatkit"] != first["chatkit"],
        "a secret that runs out is replayed"
    );
    ensure!(later["lastActivityAt"] == first["lastActivityAt"], "a retry is no sign of a person");
    Ok(())
}

// NAME: idempotency: the same key with another body is refused
#[tokio::test]
async fn another_body() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    open(&caller, "a-key").await?.expect(201)?;
    let other = json!({ "agentId": AGENT, "metadata": { "a": 1, "b": 3 } });
    open_with(&caller, "a-key", other).await?.problem(422, "idempotency_key_reused")?;
    // The same body in another order and spelling is the same body.
    let same = json!({ "metadata": { "b": 2.0, "a": 1 }, "agentId": AGENT });
    open_with(&caller, "a-key", same).await?.expect(200)?;
    Ok(())
}

// NAME: idempotency: a failed opening is driven to completion by the next attempt
#[tokio::test]
async fn driven_to_completion() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).status(503).should_retry(false).times(1));
    open(&caller, "a-key").await?.problem(503, "chatkit_unavailable")?;
    let opened = open(&caller, "a-key").await?.expect(201)?;
    ensure!(opened["status"] == "active" && opened["chatkit"]["clientSecret"].is_string(), "{opened}");
    Ok(())
}

// NAME: idempotency: a key whose session was cancelled stays so
#[tokio::test]
async fn cancelled_since() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = open(&caller, "a-key").await?.expect(201)?;
    caller.cancel(&path(&session)).await?.expect(200)?;
    open(&caller, "a-key").await?.problem(409, "session_ended")?;
    Ok(())
}

// NAME: idempotency: an attempt that died is taken over when its lease ends
#[tokio::test]
async fn taken_over() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_secs(2)).times(1));
    let dying = open(&caller, "a-key");
    let killing = async {
        tokio::time::sleep(Duration::from_millis(1000)).await;
        stack.lambda().function("create-session")?.kill();
        anyhow::Ok(())
    };
    let (dead, killed) = tokio::join!(dying, killing);
    killed?;
    ensure!(
        dead.is_err() || dead.is_ok_and(|reply| reply.status.is_server_error()),
        "it was not killed in time"
    );
    open(&caller, "a-key").await?.problem(409, "still_running")?;
    sqlx::query("update idempotency_keys set lease_until = now() - interval '1 second'")
        .execute(stack.database())
        .await?;
    let session = open(&caller, "a-key").await?;
    ensure!(session.status.is_success(), "{session:?}");
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from chat_sessions").fetch_one(stack.database()).await?;
    ensure!(sessions == 1 && creations(&stack) == 2, "{sessions} sessions, {} creations", creations(&stack));
    Ok(())
}

// NAME: idempotency: a key belongs to one user and one endpoint
#[tokio::test]
async fn scoped() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let colleague =
        TestClient::joining(&stack, caller.user.org_id, local_stack::supabase::OrgRole::Member).await?;
    let mine = open(&caller, "a-key").await?.expect(201)?;
    let theirs = open(&colleague, "a-key").await?.expect(201)?;
    ensure!(mine["id"] != theirs["id"]);
    let cancel = format!("{}/cancel", path(&mine));
    caller
        .send(http_client::Method::POST, &cancel, &[("idempotency-key", "a-key")], None)
        .await?
        .expect(200)?;
    Ok(())
}

// NAME: idempotency: events and cancels take keys too
#[tokio::test]
async fn every_post() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (session, other) = (caller.open_path().await?, caller.open_path().await?);
    let post = async |path: String, body: Option<Value>| {
        caller.send(http_client::Method::POST, &path, &[("idempotency-key", "b-key")], body).await
    };
    let event = json!({ "id": Uuid::new_v4(), "type": "custom_x" });
    let recorded = post(format!("{session}/events"), Some(event.clone())).await?.expect(201)?;
    ensure!(post(format!("{session}/events"), Some(event.clone())).await?.expect(201)? == recorded);
    let changed = json!({ "id": Uuid::new_v4(), "type": "custom_x" });
    post(format!("{session}/events"), Some(changed)).await?.problem(422, "idempotency_key_reused")?;
    post(format!("{other}/events"), Some(event)).await?.problem(422, "idempotency_key_reused")?;
    let ended = post(format!("{session}/cancel"), None).await?.expect(200)?;
    ensure!(post(format!("{session}/cancel"), None).await?.expect(200)? == ended);
    post(format!("{other}/cancel"), None).await?.problem(422, "idempotency_key_reused")?;
    Ok(())
}

// NAME: idempotency: what is no key is refused
#[tokio::test]
async fn no_key() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for key in ["two words", "", &"x".repeat(256)] {
        open(&caller, key).await?.problem(400, "invalid_idempotency_key")?;
    }
    ensure!(creations(&stack) == 0);
    Ok(())
}
