//! The life of a client secret of a self-hosted agent: until its session ends, its user loses
//! access or ten minutes have passed. No function asks OpenAI about it.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::self_hosted::{
    OWN, count, expect_no_request_to_openai, expect_rejected, expect_usable, member, open, renew, set_life,
};
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn cancel_makes_every_secret_useless_at_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let first = open(&caller, OWN).await?;
    set_life(&stack, 60).await?;
    let second = renew(&caller, &first, "refresh").await?;
    let other = open(&caller, OWN).await?;
    caller.cancel(&session_path(&first)).await?.expect(200)?;
    for secret in [&first, &second] {
        expect_rejected(&stack, secret, "client_secret_rejected").await?;
    }
    expect_usable(&stack, &other).await?;
    let left = "select count(*) from chatkit_sessions
        where cancelled_at is null or secret_hash is not null or sealed_secret is not null";
    let left = count(&stack, left).await?;
    ensure!(left == 1, "expected 1 ChatKit session that is not cancelled, found {left}");
    stack.run_job("expire-sessions").await?;
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn secret_recorded_after_the_cancel_is_useless() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    let request = Uuid::now_v7();
    let renewal = json!({
        "p_org_id": caller.user.org_id, "p_user_id": caller.user.id, "p_session_id": session["id"],
        "p_purpose": "resume", "p_min_life_seconds": 3600, "p_chatkit_request_id": request,
        "p_providers": ["self_hosted"],
    });
    let (status, response) = stack.rpc("renew_chatkit_session", renewal).await?;
    ensure!(status.is_success(), "{status}: {response}");
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    let result = json!({
        "p_org_id": caller.user.org_id, "p_session_id": session["id"], "p_chatkit_request_id": request,
        "p_chatkit_session_id": "cksess_late", "p_sealed_secret": "sealed",
        "p_sealing_key_id": "k1", "p_secret_hash": "0".repeat(64),
    });
    let (status, response) = stack.rpc("record_chatkit_session", result).await?;
    ensure!(status == 200 && response["recorded"] == false, "{status}: {response}");
    let stored = "select count(*) from chatkit_sessions where secret_hash is not null";
    let stored = count(&stack, stored).await?;
    ensure!(stored == 0, "expected no stored hash, found {stored}");
    let uncancelled =
        count(&stack, "select count(*) from chatkit_sessions where cancelled_at is null").await?;
    ensure!(uncancelled == 0, "expected no ChatKit session to cancel, found {uncancelled}");
    Ok(())
}

#[tokio::test]
async fn secret_is_recorded_only_with_its_hash() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    for (agent, provider, hash) in [
        (OWN, "self_hosted", None),
        (OWN, "self_hosted", Some("F".repeat(64))),
        ("accounts_payable", "openai_hosted", Some("0".repeat(64))),
    ] {
        let (session, request) = (Uuid::now_v7(), Uuid::now_v7());
        let opening = json!({
            "p_org_id": caller.user.org_id, "p_user_id": caller.user.id, "p_session_id": session,
            "p_agent_id": agent, "p_channel": "web", "p_metadata": {}, "p_chatkit_request_id": request,
            "p_providers": [provider],
        });
        let (status, opened) = stack.rpc("open_session", opening).await?;
        ensure!(status.is_success(), "{status}: {opened}");
        let mut result = json!({
            "p_org_id": caller.user.org_id, "p_session_id": session, "p_chatkit_request_id": request,
            "p_chatkit_session_id": format!("cksess_{request}"), "p_expires_at": jiff::Timestamp::now(),
            "p_sealed_secret": "sealed", "p_sealing_key_id": "k1",
        });
        if let Some(hash) = &hash {
            result["p_secret_hash"] = json!(hash);
        }
        let (status, response) = stack.rpc("record_chatkit_session", result).await?;
        let code = &response["message"];
        ensure!(
            status == 422 && code == "invalid_chatkit_session",
            "{provider} with {hash:?}: expected 422 invalid_chatkit_session, found {status} {response}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn secret_of_a_user_without_access_is_refused() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    let (org_id, user_id) = (caller.user.org_id, caller.user.id);
    for (query, code) in [
        ("update agents set enabled = false where org_id = $1 and $2 = $2", "agent_forbidden"),
        ("update agents set allowed_org_roles = '{owner}' where org_id = $1 and $2 = $2", "agent_forbidden"),
        (
            "update auth.users set banned_until = now() + interval '1 day' where $1 = $1 and id = $2",
            "not_a_member",
        ),
        ("update auth.users set deleted_at = now() where $1 = $1 and id = $2", "not_a_member"),
        ("update auth.users set raw_app_meta_data = '{}' where $1 = $1 and id = $2", "not_a_member"),
    ] {
        expect_usable(&stack, &session).await?;
        sqlx::query(query).bind(org_id).bind(user_id).execute(stack.database()).await?;
        expect_rejected(&stack, &session, code).await.with_context(|| query)?;
        let restore = "update agents set enabled = true, allowed_org_roles = null";
        sqlx::query(restore).execute(stack.database()).await?;
        let restore = "update auth.users set banned_until = null, deleted_at = null";
        sqlx::query(restore).execute(stack.database()).await?;
        stack.upsert_user(&caller.user).await?;
    }
    Ok(())
}

/// The ways in which maintenance ends a session, and the clean-up of expired secrets.
#[tokio::test]
async fn expired_secrets_and_sessions_need_no_request_to_openai() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let (idle, expired) = (open(&caller, OWN).await?, open(&caller, OWN).await?);
    set_life(&stack, -1).await?;
    for session in [&idle, &expired] {
        expect_rejected(&stack, session, "client_secret_rejected").await?;
    }
    let renewed = renew(&caller, &idle, "refresh").await?;
    expect_usable(&stack, &renewed).await?;
    let make_idle = "update chat_sessions set last_activity_at = now() - interval '2 days' where id = $1";
    let id: Uuid = idle["id"].as_str().context("no session id")?.parse()?;
    sqlx::query(make_idle).bind(id).execute(stack.database()).await?;
    stack.run_job("expire-sessions").await?;
    expect_rejected(&stack, &renewed, "client_secret_rejected").await?;
    let read = caller.get(&session_path(&idle)).await?.expect(200)?;
    ensure!(read["endReason"] == "expired", "{read:#}");
    let left =
        "select count(*) from chatkit_sessions where cancelled_at is null or sealed_secret is not null";
    let left = count(&stack, left).await?;
    ensure!(left == 0, "expected 0 ChatKit sessions that are not cancelled, found {left}");
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn retention_erases_self_hosted_sessions_at_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    stack.rpc("set_retention", json!({ "p_org_id": caller.user.org_id, "p_keep_days": 1 })).await?;
    let backdate = "begin; set local session_replication_role = replica;
        update chat_sessions set ended_at = now() - interval '2 days'; commit";
    sqlx::raw_sql(backdate).execute(stack.database()).await?;
    stack.run_job("expire-sessions").await?;
    let left = count(
        &stack,
        "select (select count(*) from chat_sessions) + (select count(*) from session_model_settings)
           + (select count(*) from chatkit_sessions)",
    )
    .await?;
    ensure!(left == 0, "expected no rows, found {left}");
    expect_no_request_to_openai(&stack)
}

/// A deployment without OpenAI can erase a user who had only self-hosted sessions.
#[tokio::test]
async fn erasure_of_self_hosted_sessions_needs_no_openai_key() -> Result<()> {
    let stack = LocalStack::builder().env("OPENAI_CHATKIT_SECRET", "").start().await?;
    let caller = member(&stack).await?;
    open(&caller, OWN).await?;
    let request = json!({
        "orgId": caller.user.org_id, "userId": caller.user.id, "requestedBy": "ops", "reason": "a test",
    });
    let erase_user = stack.lambda().function("erase-user")?;
    let invocation_id = Uuid::new_v4().to_string();
    let response = erase_user.invoke(&invocation_id, "Root=1-0-0", request.to_string().into()).await;
    ensure!(response.is_ok(), "the erasure failed");
    let left = count(&stack, "select count(*) from chat_sessions").await?;
    ensure!(left == 0, "expected no sessions, found {left}");
    Ok(())
}

#[tokio::test]
async fn other_users_cannot_renew_a_self_hosted_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    let stranger = TestClient::new(&stack).await?;
    let resume: Value = json!({ "sessionId": session["id"], "purpose": "resume" });
    stranger.post("/chatkit/sessions", resume).await?.problem(404, "session_not_found")?;
    Ok(())
}
