//! A scene in which every function does its work, refuses, and fails, so that it writes all the metrics that it ever does.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use http_client::Method;
use local_stack::supabase::{Canned, Fault, OrgRole};
use local_stack::{LocalStack, agents, openai};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::emitted_metrics;
use super::emitted_metrics::Line;
use crate::support::client::{AGENT, TestClient, path};

static LINES: OnceCell<Result<Vec<Line>>> = OnceCell::const_new();

/// The lines of the scene, which is played once.
pub async fn lines() -> Result<&'static Vec<Line>> {
    let played = LINES.get_or_init(play).await;
    played.as_ref().map_err(|error| anyhow!("{error:#}")).context("playing the scene")
}

async fn play() -> Result<Vec<Line>> {
    let (well, refused) = tokio::try_join!(open_for_business(), without_a_key())?;
    Ok(well.into_iter().chain(refused).collect())
}

/// Everything works, until OpenAI does not.
async fn open_for_business() -> Result<Vec<Line>> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = path(&caller.open().await?);
    for read in ["/chatkit/sessions", &session, &format!("{session}/messages"), "/chatkit/agents"] {
        caller.get(read).await?.expect(200)?;
    }
    decide(&stack, &caller, &session).await?;
    deliver(&stack, &caller).await.context("deliveries")?;
    refuse(&stack, &caller).await.context("refusals")?;
    break_openai(&stack, &caller).await.context("OpenAI's failures")?;
    break_supabase(&stack, &caller).await.context("Supabase's failures")?;
    caller.cancel(&session).await?.expect(200)?;
    for function in ["expire-sessions", "route-events"] {
        stack.run_job(function).await?;
    }
    order(&stack, &caller).await.context("orders")?;
    Ok(emitted_metrics::lines(&stack).await)
}

/// A person is asked, and decides.
async fn decide(stack: &LocalStack, caller: &TestClient, session: &str) -> Result<()> {
    let question = json!({ "reason": "Is it right?", "decisions": ["approve", "reject"] });
    caller.record(session, "hitl_escalation", question).await?.expect(201)?;
    let approver = TestClient::joining(stack, caller.user.org_id, OrgRole::Approver).await?;
    let open = approver.get("/chatkit/escalations").await?.expect(200)?;
    let asked = &open["escalations"][0];
    let id = asked["id"].as_str().with_context(|| format!("nobody is asked: {open}"))?;
    let decision = json!({ "decision": "approve", "subjectHash": asked["subjectHash"] });
    approver.post(&format!("/chatkit/escalations/{id}/decision"), decision).await?.expect(200)?;
    approver.get("/chatkit/metrics").await?.expect(200)?;
    Ok(())
}

/// A click for each end that a delivery can come to.
async fn deliver(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    let refused = agents::Fault::on_calls().status(400).times(1);
    let lost = agents::Fault::on_calls().drop_after().times(1);
    for (fault, ends) in [(None, "done"), (Some(refused), "dead"), (Some(lost), "unknown")] {
        let tool = json!({ "idempotent": false, "policy": "auto" });
        stack.register_agent_tool(caller.user.org_id, AGENT, tool).await?;
        let session = path(&caller.open().await?);
        fault.map(|fault| agent.fault(fault));
        let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
        caller.record(&session, "button_click", payload).await?.expect(201)?;
        until(stack, ends).await?;
    }
    Ok(())
}

/// Waits until a delivery has come to this end.
async fn until(stack: &LocalStack, status: &str) -> Result<()> {
    for _ in 0..600 {
        let found = "select count(*) from public.deliveries where status = $1";
        let found: i64 = sqlx::query_scalar(found).bind(status).fetch_one(stack.database()).await?;
        if found > 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(anyhow!("no delivery is {status}"))
}

/// What callers do wrong, and too often.
async fn refuse(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    caller.get(&format!("/chatkit/sessions/{}", Uuid::new_v4())).await?.problem(404, "session_not_found")?;
    let elsewhere = [("origin", "https://elsewhere.example"), ("access-control-request-method", "GET")];
    caller
        .send(Method::OPTIONS, "/chatkit/agents", &elsewhere, None)
        .await?
        .problem(403, "origin_forbidden")?;
    let limits = json!({ "p_org_id": caller.user.org_id, "p_secrets_per_minute_user": 1 });
    let (status, answer) = stack.rpc("set_org_limits", limits).await?;
    ensure!(status.is_success(), "set_org_limits answered {status}: {answer}");
    open(caller).await?.problem(429, "rate_limited")?;
    stack.raise_limits(caller.user.org_id).await
}

/// An operator's orders, and one that nobody understands.
async fn order(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    stack.invoke_admin("doctor", &json!({})).await?;
    let who = json!({ "orgId": caller.user.org_id, "userId": caller.user.id, "requestedBy": "ops", "reason": "asked" });
    stack.invoke_admin("erase-user", &who).await?;
    ensure!(
        stack.invoke_admin("erase-user", &json!({ "who": "everybody" })).await.is_err(),
        "it was understood"
    );
    Ok(())
}

/// OpenAI is down, refuses the key, and refuses the project.
async fn break_openai(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    for (status, answered, code) in [
        (503, 503, "chatkit_unavailable"),
        (401, 502, "chatkit_key_refused"),
        (403, 502, "chatkit_project_refused"),
    ] {
        stack.openai().fault(openai::Fault::everywhere().status(status));
        open(caller).await?.problem(answered, code)?;
        stack.openai().clear_faults();
    }
    let quota = openai::Fault::everywhere().status(429).code("insufficient_quota");
    let blocked = openai::Fault::everywhere().page(403, "text/html", "<html><p>Access denied.");
    for (fault, code) in [(quota, "chatkit_quota_exhausted"), (blocked, "chatkit_request_blocked")] {
        stack.openai().fault(fault);
        open(caller).await?.problem(502, code)?;
        stack.openai().clear_faults();
    }
    Ok(())
}

/// Supabase is there, and something keeps it from its work.
async fn break_supabase(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    for (canned, status, code) in [
        (Canned::gateway(540, "Project paused"), 503, "supabase_paused"),
        (
            Canned::postgrest(405, "25006", "cannot execute INSERT in a read-only transaction"),
            503,
            "supabase_read_only",
        ),
        (
            Canned::postgrest(504, "PGRST003", "Timed out acquiring connection from connection pool."),
            503,
            "supabase_overloaded",
        ),
        (Canned::postgrest(404, "PGRST202", "Could not find the function"), 503, "supabase_schema_mismatch"),
        (Canned::html(403), 502, "supabase_request_blocked"),
    ] {
        stack.supabase().fault(Fault::Canned(canned)).await;
        open(caller).await?.problem(status, code)?;
    }
    stack.supabase().fault(Fault::None).await;
    Ok(())
}

/// Supabase does not know the secret key: nothing is written, and runs fail.
async fn without_a_key() -> Result<Vec<Line>> {
    let revoked = format!("sb_secret_{}", Uuid::new_v4().simple());
    let stack = LocalStack::builder().env("SUPABASE_SECRET_KEY", &revoked).start().await?;
    let caller = TestClient::new(&stack).await?;
    open(&caller).await?.problem(502, "supabase_key_refused")?;
    for function in ["expire-sessions", "route-events"] {
        ensure!(stack.run_job(function).await.is_err(), "{function} went well without a key");
    }
    Ok(emitted_metrics::lines(&stack).await)
}

async fn open(caller: &TestClient) -> Result<crate::support::client::TestResponse> {
    caller.post("/chatkit/sessions", Value::from_iter([("agentId", AGENT)])).await
}
