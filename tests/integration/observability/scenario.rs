//! A scenario in which every function succeeds, rejects and fails, so that it emits each of its
//! metrics.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use http_client::Method;
use local_stack::model::{Gate, Script};
use local_stack::supabase::{CannedResponse, Fault, OrgRole};
use local_stack::{LocalStack, agents, http, openai};
use serde_json::json;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::emitted_metrics::{self, MetricLine};
use crate::chat::fixture::ChatPage;
use crate::support::client::{AGENT, TestClient, TestResponse, session_path};

static LINES: OnceCell<Result<Vec<MetricLine>>> = OnceCell::const_new();

/// The lines with metrics of the scenario, which runs once.
pub async fn metric_lines() -> Result<&'static Vec<MetricLine>> {
    let lines = LINES.get_or_init(run).await;
    lines.as_ref().map_err(|error| anyhow!("{error:#}")).context("running the scenario")
}

async fn run() -> Result<Vec<MetricLine>> {
    let (lines, with_revoked_key) = tokio::try_join!(run_all_functions(), run_with_revoked_key())?;
    Ok(lines.into_iter().chain(with_revoked_key).collect())
}

async fn run_all_functions() -> Result<Vec<MetricLine>> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = session_path(&caller.open_session().await?);
    let [events, messages] = ["/events", "/messages"].map(|list| format!("{session}{list}"));
    for read in ["/chatkit/sessions", &session, &events, &messages, "/chatkit/changes", "/chatkit/agents"] {
        caller.get(read).await?.expect(200)?;
    }
    decide(&stack, &caller, &session).await.context("a decision")?;
    chat(&stack).await.context("a chat")?;
    deliver(&stack, &caller).await.context("deliveries")?;
    send_invalid_requests(&stack, &caller).await.context("rejected requests")?;
    fail_webhook(&stack).await.context("a webhook that starts nothing")?;
    fail_openai(&stack, &caller).await.context("failures of OpenAI")?;
    fail_supabase(&stack, &caller).await.context("failures of Supabase")?;
    caller.cancel(&session).await?.expect(200)?;
    for function in ["expire-sessions", "route-events"] {
        stack.run_job(function).await?;
    }
    invoke_admin_functions(&stack, &caller).await.context("admin functions")?;
    Ok(emitted_metrics::metric_lines(&stack).await)
}

/// Supabase does not know the secret key: nothing is written, and runs fail.
async fn run_with_revoked_key() -> Result<Vec<MetricLine>> {
    let revoked = format!("sb_secret_{}", Uuid::new_v4().simple());
    let stack = LocalStack::builder().env("SUPABASE_SECRET_KEY", &revoked).start().await?;
    let caller = TestClient::new(&stack).await?;
    open(&caller).await?.problem(502, "supabase_key_refused")?;
    for function in ["expire-sessions", "route-events"] {
        ensure!(stack.run_job(function).await.is_err(), "{function} succeeded with a revoked key");
    }
    Ok(emitted_metrics::metric_lines(&stack).await)
}

async fn open(caller: &TestClient) -> Result<TestResponse> {
    caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await
}

/// An answer, one that is stopped, and a failure of the model.
async fn chat(stack: &LocalStack) -> Result<()> {
    let page = ChatPage::open(stack).await?;
    page.chat.create_thread("Is invoice 42 paid?").await?.finish().await?;
    let gate = Gate::new();
    stack.model().script(Script::new().deltas(["One moment."]).wait(&gate).text("Never said."));
    let mut stream = page.chat.create_thread("Tell me everything.").await?;
    stream.until("thread.item.updated").await?;
    let stop = format!("/chatkit/sessions/{}/stop", page.session_id);
    page.user.send(Method::POST, &stop, &[], None).await?.expect(200)?;
    stream.finish().await?;
    stack.model().script(Script::new().failed("server_error", "x"));
    page.chat.create_thread("And invoice 43?").await?.finish().await?;
    Ok(())
}

async fn decide(stack: &LocalStack, caller: &TestClient, session: &str) -> Result<()> {
    let payload = json!({ "reason": "Is it right?", "decisions": ["approve", "reject"] });
    caller.record_event(session, "hitl_escalation", payload).await?.expect(201)?;
    let approver = TestClient::in_organisation(stack, caller.user.org_id, OrgRole::Approver).await?;
    let list = approver.get("/chatkit/escalations").await?.expect(200)?;
    let escalation = &list["escalations"][0];
    let id = escalation["id"].as_str().with_context(|| format!("expected an escalation, found {list}"))?;
    let path = format!("/chatkit/escalations/{id}");
    approver.get(&path).await?.expect(200)?;
    for verb in ["claim", "release"] {
        approver.post(&format!("{path}/{verb}"), json!({})).await?.expect(200)?;
    }
    let decision = json!({ "decision": "approve", "subjectHash": escalation["subjectHash"] });
    approver.post(&format!("/chatkit/escalations/{id}/decision"), decision).await?.expect(200)?;
    approver.get("/chatkit/metrics").await?.expect(200)?;
    Ok(())
}

/// One event for each final status of a delivery.
async fn deliver(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    let agent = stack.agents().agent(AGENT).context("the stack has no agent server")?;
    let rejected = agents::Fault::on_calls().status(400).times(1);
    let lost = agents::Fault::on_calls().drop_after().times(1);
    for (fault, status) in [(None, "done"), (Some(rejected), "dead"), (Some(lost), "unknown")] {
        let tool = json!({ "idempotent": false, "policy": "auto" });
        stack.register_agent_tool(caller.user.org_id, AGENT, tool).await?;
        let session = session_path(&caller.open_session().await?);
        fault.map(|fault| agent.add_fault(fault));
        let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
        caller.record_event(&session, "button_click", payload).await?.expect(201)?;
        wait_for_delivery(stack, status).await?;
    }
    Ok(())
}

/// Lambda does not accept the event that the webhook sends.
async fn fail_webhook(stack: &LocalStack) -> Result<()> {
    stack.lambda().invoke_api().reject(1, 403, "UnrecognizedClientException");
    let secret = stack.environment().all_variables()["DATABASE_WEBHOOK_SECRET"].clone();
    let url = stack.function_url("receive-webhook");
    let response = http::client().post(url).header("x-webhook-secret", secret).send().await?;
    ensure!(response.status() == 503, "expected 503 from receive-webhook, found {}", response.status());
    Ok(())
}

async fn wait_for_delivery(stack: &LocalStack, status: &str) -> Result<()> {
    for _ in 0..600 {
        let count = "select count(*) from public.deliveries where status = $1";
        let count: i64 = sqlx::query_scalar(count).bind(status).fetch_one(stack.database()).await?;
        if count > 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("no delivery has the status {status} after 30 seconds")
}

/// Includes a request above a rate limit.
async fn send_invalid_requests(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    caller.get(&format!("/chatkit/sessions/{}", Uuid::new_v4())).await?.problem(404, "session_not_found")?;
    let headers = [("origin", "https://elsewhere.example"), ("access-control-request-method", "GET")];
    let preflight = caller.send(Method::OPTIONS, "/chatkit/agents", &headers, None).await?;
    preflight.problem(403, "origin_forbidden")?;
    let limits = json!({ "p_org_id": caller.user.org_id, "p_secrets_per_minute_user": 1 });
    let (status, body) = stack.rpc("set_org_limits", limits).await?;
    ensure!(status.is_success(), "set_org_limits returned {status}: {body}");
    open(caller).await?.problem(429, "rate_limited")?;
    stack.raise_limits(caller.user.org_id).await
}

/// Invokes each function that operators call, also with an invalid input.
async fn invoke_admin_functions(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    stack.invoke_admin("doctor", &json!({})).await?;
    let erasure = json!({
        "orgId": caller.user.org_id, "userId": caller.user.id, "requestedBy": "ops", "reason": "asked",
    });
    stack.invoke_admin("erase-user", &erasure).await?;
    let invalid = stack.invoke_admin("erase-user", &json!({ "who": "everybody" })).await;
    ensure!(invalid.is_err(), "erase-user accepted an invalid input: {invalid:?}");
    Ok(())
}

async fn fail_openai(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    let status = |status| openai::Fault::everywhere().status(status);
    let quota = openai::Fault::everywhere().status(429).code("insufficient_quota");
    let firewall = openai::Fault::everywhere().replace_response(403, "text/html", "<html><p>Access denied.");
    for (fault, expected, code) in [
        (status(503), 503, "chatkit_unavailable"),
        (status(401), 502, "chatkit_key_refused"),
        (status(403), 502, "chatkit_project_refused"),
        (quota, 502, "chatkit_quota_exhausted"),
        (firewall, 502, "chatkit_request_blocked"),
    ] {
        stack.openai().add_fault(fault);
        open(caller).await?.problem(expected, code)?;
        stack.openai().clear_faults();
    }
    Ok(())
}

async fn fail_supabase(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    let read_only = "cannot execute INSERT in a read-only transaction";
    let overloaded = "Timed out acquiring connection from connection pool.";
    for (canned, status, code) in [
        (CannedResponse::gateway(540, "Project paused"), 503, "supabase_paused"),
        (CannedResponse::postgrest(405, "25006", read_only), 503, "supabase_read_only"),
        (CannedResponse::postgrest(504, "PGRST003", overloaded), 503, "supabase_overloaded"),
        (
            CannedResponse::postgrest(404, "PGRST202", "Could not find the function"),
            503,
            "supabase_schema_mismatch",
        ),
        (CannedResponse::html(403), 502, "supabase_request_blocked"),
    ] {
        stack.supabase().set_fault(Fault::Canned(canned)).await;
        open(caller).await?.problem(status, code)?;
    }
    stack.supabase().set_fault(Fault::None).await;
    Ok(())
}
