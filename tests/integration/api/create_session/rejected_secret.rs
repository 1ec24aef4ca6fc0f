//! `POST /chatkit/sessions` with `rejected: true`: a page reports that OpenAI does not accept its
//! client secret any more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation, SessionStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse, session_path};

#[tokio::test]
async fn rejected_secret_is_replaced_and_its_session_cancelled() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    let not_rejected = json!({ "sessionId": session["id"], "purpose": "refresh", "rejected": false });
    let same = caller.post("/chatkit/sessions", not_rejected).await?.expect(200)?;
    ensure!(same["chatkit"] == session["chatkit"], "expected the live secret, found {same:#}");
    let renewed = reject(&caller, &session).await?.expect(200)?;
    ensure!(
        renewed["chatkit"]["clientSecret"] != session["chatkit"]["clientSecret"],
        "the rejected secret was returned"
    );
    ensure!(
        renewed["id"] == session["id"] && renewed["lastActivityAt"] == session["lastActivityAt"],
        "expected {session:#}, found {renewed:#}"
    );
    let refreshed = refresh(&caller, &session).await?.expect(200)?;
    ensure!(
        refreshed["chatkit"] == renewed["chatkit"],
        "expected the new secret {}, found {}",
        renewed["chatkit"],
        refreshed["chatkit"]
    );
    expect_creations(&stack, 2)?;
    // The replaced ChatKit session is recorded, and the next maintenance run cancels it.
    let replaced = session["chatkit"]["sessionId"].as_str().context("no ChatKit session")?;
    let uncancelled = uncancelled_chatkit_sessions(&stack, &session).await?;
    ensure!(uncancelled == json!([replaced]), "expected [{replaced}], found {uncancelled}");
    stack.run_job("expire-sessions").await?;
    let at_openai = stack.openai().sessions().into_iter();
    let active: Vec<Value> = at_openai
        .filter(|session| session.status == SessionStatus::Active)
        .map(|session| json!(session.id))
        .collect();
    let expected = [renewed["chatkit"]["sessionId"].clone()];
    ensure!(active == expected, "expected the active sessions {expected:?}, found {active:?}");
    Ok(())
}

#[tokio::test]
async fn eight_concurrent_rejections_share_one_new_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_millis(500)));
    let secrets = post_from_eight_tabs(&caller, &rejection(&session)).await?;
    ensure!(
        secrets.iter().all(|secret| *secret == secrets[0] && *secret != session["chatkit"]),
        "expected one new secret, found {secrets:#?}"
    );
    expect_creations(&stack, 2)
}

#[tokio::test]
async fn eight_concurrent_refreshes_near_expiry_share_one_new_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds'")
        .execute(stack.database())
        .await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_millis(500)));
    let body = json!({ "sessionId": session["id"], "purpose": "refresh" });
    let secrets = post_from_eight_tabs(&caller, &body).await?;
    ensure!(
        secrets.iter().all(|secret| *secret == secrets[0]),
        "expected one secret in all tabs, found {secrets:#?}"
    );
    expect_creations(&stack, 2)
}

#[tokio::test]
async fn rejection_of_a_secret_just_created_returns_the_same_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    let second = reject(&caller, &session).await?.expect(200)?;
    let shared = reject(&caller, &session).await?.expect(200)?;
    ensure!(shared["chatkit"] == second["chatkit"], "expected {second:#}, found {shared:#}");
    expect_creations(&stack, 2)?;
    age_secrets(&stack).await?;
    let third = reject(&caller, &session).await?.expect(200)?;
    ensure!(third["chatkit"] != second["chatkit"], "expected a third secret, found {third:#}");
    expect_creations(&stack, 3)
}

#[tokio::test]
async fn rejection_with_an_idempotency_key_rejects_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    let reject_with_key = async || {
        let headers = [("idempotency-key", "a-rejection")];
        caller.send(Method::POST, "/chatkit/sessions", &headers, Some(rejection(&session))).await
    };
    stack.openai().add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_millis(500)));
    let mut first = None;
    for response in join_all((0..8).map(|_| reject_with_key())).await {
        let response = response?;
        match response.status.as_u16() {
            409 => drop(response.problem(409, "still_running")?),
            _ => first = Some(response.expect(200)?),
        }
    }
    let first = first.context("none of 8 requests was answered with 200")?;
    ensure!(first["chatkit"] != session["chatkit"], "the rejected secret was returned: {first:#}");
    expect_creations(&stack, 2)?;
    age_secrets(&stack).await?;
    let replayed = reject_with_key().await?.expect(200)?;
    ensure!(replayed["chatkit"] == first["chatkit"], "expected {first:#}, found {replayed:#}");
    expect_creations(&stack, 2)
}

#[tokio::test]
async fn refresh_whose_process_ended_blocks_others_for_30_seconds() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    let arguments = json!({
        "p_org_id": caller.user.org_id, "p_user_id": caller.user.id, "p_session_id": session["id"],
        "p_purpose": "refresh", "p_min_life_seconds": 120, "p_chatkit_request_id": Uuid::now_v7(),
        "p_providers": ["openai_hosted"], "p_rejected": true,
    });
    // A repeated call with the same request id is the same refresh.
    for _ in 0..2 {
        let (status, answer) = stack.rpc("renew_chatkit_session", arguments.clone()).await?;
        ensure!(status.is_success(), "{status}: {answer}");
    }
    reject(&caller, &session).await?.problem(409, "still_running")?;
    refresh(&caller, &session).await?.problem(409, "still_running")?;
    sqlx::query(
        "update chatkit_sessions set requested_at = now() - interval '31 seconds' where recorded_at is null",
    )
    .execute(stack.database())
    .await?;
    reject(&caller, &session).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn rejected_secret_is_not_returned_while_openai_is_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).status(503).should_retry(false).times(2));
    reject(&caller, &session).await?.problem(503, "chatkit_unavailable")?;
    refresh(&caller, &session).await?.problem(503, "chatkit_unavailable")?;
    let renewed = refresh(&caller, &session).await?.expect(200)?;
    ensure!(renewed["chatkit"] != session["chatkit"], "the rejected secret was returned");
    Ok(())
}

#[tokio::test]
async fn rejection_in_an_ended_session_returns_409_with_instructions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    let problem = reject(&caller, &session).await?.problem(409, "session_ended")?;
    let detail = problem["detail"].as_str().context("no detail")?;
    for part in ["POST /chatkit/sessions", "agentId", "new Idempotency-Key"] {
        ensure!(detail.contains(part), "expected {part:?} in the detail, found {detail:?}");
    }
    expect_creations(&stack, 1)
}

#[tokio::test]
async fn secrets_created_for_rejections_count_towards_the_rate_limit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let limits = json!({ "p_org_id": caller.user.org_id, "p_secrets_per_minute_session": 2 });
    let (status, answer) = stack.rpc("set_org_limits", limits).await?;
    ensure!(status.is_success(), "{status}: {answer}");
    let session = caller.open_session().await?;
    age_secrets(&stack).await?;
    let second = reject(&caller, &session).await?;
    ensure!(second.headers["ratelimit"].to_str()?.starts_with("\"minute\";r=0;t="), "{:?}", second.headers);
    let second = second.expect(200)?;
    // The shared secret is not counted.
    reject(&caller, &session).await?.expect(200)?;
    age_secrets(&stack).await?;
    reject(&caller, &session).await?.problem(429, "rate_limited")?;
    expect_creations(&stack, 2)?;
    // The request that exceeded the limit did not mark the secret as rejected.
    let refreshed = refresh(&caller, &session).await?.expect(200)?;
    ensure!(
        refreshed["chatkit"] == second["chatkit"],
        "expected the secret {}, found {}",
        second["chatkit"],
        refreshed["chatkit"]
    );
    Ok(())
}

#[tokio::test]
async fn rejected_without_refresh_of_a_session_returns_422() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let id = &session["id"];
    let mut failures = Vec::new();
    for (body, pointer) in [
        (json!({ "sessionId": id, "purpose": "resume", "rejected": true }), "/rejected"),
        (json!({ "sessionId": id, "purpose": "resume", "rejected": false }), "/rejected"),
        (json!({ "agentId": "accounts_payable", "rejected": true }), "/rejected"),
        (json!({ "purpose": "refresh", "rejected": true }), "/rejected"),
        (json!({ "sessionId": id, "rejected": true }), "/rejected"),
        (json!({ "rejected": true }), "/rejected"),
        (json!({ "sessionId": id, "purpose": "refresh", "rejected": "yes" }), "/rejected"),
        (json!({ "sessionId": id, "purpose": "refresh", "rejected": true, "channel": "web" }), "/channel"),
    ] {
        let response = caller.post("/chatkit/sessions", body.clone()).await?;
        match response.problem(422, "invalid_request") {
            Ok(problem) if problem["errors"][0]["pointer"] == pointer => {}
            Ok(problem) => failures.push(format!("{body}: expected {pointer}, found {problem:#}")),
            Err(error) => failures.push(format!("{body}: {error:#}")),
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    expect_creations(&stack, 1)
}

#[tokio::test]
async fn rejection_without_chatkit_returns_no_secret() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let response = reject(&caller, &session).await?.expect(200)?;
    ensure!(response["chatkit"].is_null(), "expected null in chatkit, found {response:#}");
    Ok(())
}

async fn reject(caller: &TestClient, session: &Value) -> Result<TestResponse> {
    caller.post("/chatkit/sessions", rejection(session)).await
}

fn rejection(session: &Value) -> Value {
    json!({ "sessionId": session["id"], "purpose": "refresh", "rejected": true })
}

async fn refresh(caller: &TestClient, session: &Value) -> Result<TestResponse> {
    caller.post("/chatkit/sessions", json!({ "sessionId": session["id"], "purpose": "refresh" })).await
}

/// Makes all secrets older than those that concurrent rejections share.
async fn age_secrets(stack: &LocalStack) -> Result<()> {
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(stack.database())
        .await?;
    Ok(())
}

fn expect_creations(stack: &LocalStack, expected: usize) -> Result<()> {
    let creations = stack.openai().calls(Operation::CreateSession).len();
    ensure!(creations == expected, "expected {expected} creations at OpenAI, found {creations}");
    Ok(())
}

async fn uncancelled_chatkit_sessions(stack: &LocalStack, session: &Value) -> Result<Value> {
    let id: Uuid = session["id"].as_str().context("no session id")?.parse()?;
    Ok(sqlx::query_scalar("select chatkit_private.uncancelled_chatkit_session_ids($1)")
        .bind(id)
        .fetch_one(stack.database())
        .await?)
}

/// Sends the body eight times at once, and again after each 409 `still_running`. Returns the
/// `chatkit` members of the responses.
async fn post_from_eight_tabs(caller: &TestClient, body: &Value) -> Result<Vec<Value>> {
    let tab = async || loop {
        let response = caller.post("/chatkit/sessions", body.clone()).await?;
        if response.status != 409 {
            return Ok(response.expect(200)?["chatkit"].clone());
        }
        ensure!(response.headers["retry-after"] == "1", "expected Retry-After: 1, found {response:?}");
        response.problem(409, "still_running")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    try_join_all((0..8).map(|_| tab())).await
}
