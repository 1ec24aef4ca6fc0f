//! A client secret that OpenAI kills before its time: the page says so and gets another, and many that say so at once get one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::{Fault, On, SessionStatus};
use serde_json::{Value, json};

use crate::support::client::{TestClient, TestResponse, path};

// NAME: sessions: a rejected secret is replaced, once for all who reject it
/// One after the other in one stack, each with a caller and a ledger of its own.
#[tokio::test]
async fn replaced() -> Result<()> {
    let stack = LocalStack::start().await?;
    alone(&stack).await.context("a rejected secret is replaced, however much life it had")?;
    at_once(&stack).await.context("eight tabs that reject one secret at once share one new one")?;
    near_expiry(&stack).await.context("eight refreshes of a secret that runs out share one new one")?;
    again(&stack)
        .await
        .context("a secret that was made just now is shared, and a later one is rejected too")?;
    under_a_key(&stack).await.context("a rejection under a key rejects once")
}

// NAME: sessions: what may be rejected, when, and at what cost
/// The same.
#[tokio::test]
async fn rules() -> Result<()> {
    let stack = LocalStack::start().await?;
    process_died(&stack)
        .await
        .context("a refresh whose process died is not waited for longer than it may run")?;
    openai_down(&stack)
        .await
        .context("a rejected secret is not handed out again, also while OpenAI is down")?;
    ended(&stack).await.context("a session that has ended is answered with how to begin anew")?;
    counted(&stack).await.context("secrets made for rejected ones are counted by the throttle")?;
    refused(&stack).await.context("what cannot be rejected is refused")
}

/// A caller of whose doing only OpenAI's stand-in remembers.
async fn caller(stack: &LocalStack) -> Result<TestClient> {
    stack.openai().clear_ledger();
    stack.openai().clear_faults();
    TestClient::new(stack).await
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

/// Makes all secrets older than those that are shared.
async fn later(stack: &LocalStack) -> Result<()> {
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(stack.database())
        .await?;
    Ok(())
}

fn creations(stack: &LocalStack) -> usize {
    stack.openai().calls(On::CreateSession).len()
}

/// The ids of the ChatKit sessions that are to be cancelled.
async fn retired(stack: &LocalStack, session: &Value) -> Result<Value> {
    let id: uuid::Uuid = session["id"].as_str().context("no id")?.parse()?;
    Ok(sqlx::query_scalar("select chatkit_private.uncancelled_chatkit_session_ids($1)")
        .bind(id)
        .fetch_one(stack.database())
        .await?)
}

async fn alone(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    later(stack).await?;
    // That it does not work is for the caller to say; without it the same one is handed out.
    let same = json!({ "sessionId": session["id"], "purpose": "refresh", "rejected": false });
    let same = caller.post("/chatkit/sessions", same).await?.expect(200)?;
    ensure!(same["chatkit"] == session["chatkit"], "{same:#}");
    let next = reject(&caller, &session).await?.expect(200)?;
    ensure!(
        next["chatkit"]["clientSecret"] != session["chatkit"]["clientSecret"],
        "the dead one was handed out again"
    );
    ensure!(next["id"] == session["id"] && next["lastActivityAt"] == session["lastActivityAt"], "{next:#}");
    ensure!(refresh(&caller, &session).await?.expect(200)?["chatkit"] == next["chatkit"], "not the new one");
    ensure!(creations(stack) == 2, "{} creations", creations(stack));
    // The old one has a row that knows it, and a run cancels it.
    let old = session["chatkit"]["sessionId"].as_str().context("no ChatKit session")?;
    ensure!(retired(stack, &session).await? == json!([old]), "{}", retired(stack, &session).await?);
    stack.run_job("expire-sessions").await?;
    let live =
        stack.openai().sessions().into_iter().filter(|session| session.status == SessionStatus::Active);
    let live: Vec<Value> = live.map(|session| json!(session.id)).collect();
    ensure!(live == [next["chatkit"]["sessionId"].clone()], "live: {live:?}");
    Ok(())
}

/// Sends it from eight tabs at once, and from those that are told to wait again after it.
async fn from_eight_tabs(caller: &TestClient, body: &Value) -> Result<Vec<Value>> {
    let tab = async || loop {
        let reply = caller.post("/chatkit/sessions", body.clone()).await?;
        if reply.status != 409 {
            return Ok(reply.expect(200)?["chatkit"].clone());
        }
        ensure!(reply.headers["retry-after"] == "1", "{reply:?}");
        reply.problem(409, "still_running")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    try_join_all((0..8).map(|_| tab())).await
}

async fn at_once(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    later(stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_millis(500)));
    let secrets = from_eight_tabs(&caller, &rejection(&session)).await?;
    ensure!(
        secrets.iter().all(|secret| *secret == secrets[0] && *secret != session["chatkit"]),
        "{secrets:#?}"
    );
    ensure!(creations(stack) == 2, "{} creations at OpenAI", creations(stack));
    Ok(())
}

async fn near_expiry(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds'")
        .execute(stack.database())
        .await?;
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_millis(500)));
    let body = json!({ "sessionId": session["id"], "purpose": "refresh" });
    let secrets = from_eight_tabs(&caller, &body).await?;
    ensure!(secrets.iter().all(|secret| *secret == secrets[0]), "{secrets:#?}");
    ensure!(creations(stack) == 2, "{} creations at OpenAI", creations(stack));
    Ok(())
}

async fn process_died(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    later(stack).await?;
    let (asked, user) = (json!(uuid::Uuid::now_v7()), caller.user.clone());
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": session["id"], "p_purpose": "refresh",
        "p_min_life_seconds": 120, "p_chatkit_request_id": asked, "p_rejected": true,
    });
    // Its own call again, because the first answer was lost, is no other refresh.
    for _ in 0..2 {
        let (status, answer) = stack.rpc("renew_chatkit_session", arguments.clone()).await?;
        ensure!(status.is_success(), "{answer}");
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

async fn again(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    later(stack).await?;
    let second = reject(&caller, &session).await?.expect(200)?;
    let shared = reject(&caller, &session).await?.expect(200)?;
    ensure!(shared["chatkit"] == second["chatkit"] && creations(stack) == 2, "{shared:#}");
    later(stack).await?;
    let third = reject(&caller, &session).await?.expect(200)?;
    ensure!(third["chatkit"] != second["chatkit"] && creations(stack) == 3, "{third:#}");
    Ok(())
}

async fn openai_down(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    later(stack).await?;
    stack.openai().fault(Fault::new(On::CreateSession).status(503).should_retry(false).times(2));
    reject(&caller, &session).await?.problem(503, "chatkit_unavailable")?;
    refresh(&caller, &session).await?.problem(503, "chatkit_unavailable")?;
    let next = refresh(&caller, &session).await?.expect(200)?;
    ensure!(next["chatkit"] != session["chatkit"], "the dead one was handed out again");
    Ok(())
}

async fn ended(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    caller.cancel(&path(&session)).await?.expect(200)?;
    let problem = reject(&caller, &session).await?.problem(409, "session_ended")?;
    let detail = problem["detail"].as_str().context("no detail")?;
    for part in ["POST /chatkit/sessions", "agentId", "new Idempotency-Key"] {
        ensure!(detail.contains(part), "{detail} does not say {part}");
    }
    ensure!(creations(stack) == 1, "{} creations", creations(stack));
    Ok(())
}

async fn under_a_key(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    later(stack).await?;
    let keyed = async || {
        let headers = [("idempotency-key", "a-rejection")];
        caller.send(Method::POST, "/chatkit/sessions", &headers, Some(rejection(&session))).await
    };
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_millis(500)));
    let mut first = None;
    for reply in join_all((0..8).map(|_| keyed())).await {
        let reply = reply?;
        match reply.status.as_u16() {
            409 => drop(reply.problem(409, "still_running")?),
            _ => first = Some(reply.expect(200)?),
        }
    }
    let first = first.context("none came through")?;
    ensure!(first["chatkit"] != session["chatkit"] && creations(stack) == 2, "{first:#}");
    later(stack).await?;
    let replayed = keyed().await?.expect(200)?;
    ensure!(replayed["chatkit"] == first["chatkit"], "the replay rejected what the first was given");
    ensure!(creations(stack) == 2, "{} creations", creations(stack));
    Ok(())
}

async fn counted(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let limits = json!({ "p_org_id": caller.user.org_id, "p_secrets_per_minute_session": 2 });
    ensure!(stack.rpc("set_org_limits", limits).await?.0.is_success());
    let session = caller.open().await?;
    later(stack).await?;
    let second = reject(&caller, &session).await?;
    ensure!(second.headers["ratelimit"].to_str()?.starts_with("\"minute\";r=0;t="), "{:?}", second.headers);
    let second = second.expect(200)?;
    // The shared one costs nothing.
    reject(&caller, &session).await?.expect(200)?;
    later(stack).await?;
    reject(&caller, &session).await?.problem(429, "rate_limited")?;
    ensure!(creations(stack) == 2, "OpenAI was asked for what was refused");
    // What is refused rejects nothing.
    ensure!(refresh(&caller, &session).await?.expect(200)?["chatkit"] == second["chatkit"]);
    Ok(())
}

async fn refused(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let session = caller.open().await?;
    let id = &session["id"];
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
        let problem =
            caller.post("/chatkit/sessions", body.clone()).await?.problem(422, "invalid_request")?;
        ensure!(problem["errors"][0]["pointer"] == pointer, "{body}: {problem:#}");
    }
    ensure!(creations(stack) == 1, "{} creations", creations(stack));
    Ok(())
}

// NAME: sessions: without ChatKit there is no secret to reject
#[tokio::test]
async fn without_chatkit() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let reply = reject(&caller, &session).await?.expect(200)?;
    ensure!(reply["chatkit"].is_null(), "{reply:#}");
    Ok(())
}
