//! Results of calls to OpenAI and agents, which are recorded even if Supabase or the webhook fails
//! for a while.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::Operation;
use local_stack::supabase::{CannedResponse, Fault};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{EscalationFixture, decide};

#[tokio::test]
async fn create_session_records_secret_after_supabase_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    // More errors than the attempts of one call.
    let fault = CannedResponse::html(522).at("/rest/v1/rpc/record_chatkit_session").times(8);
    stack.supabase().set_fault(Fault::Canned(fault)).await;
    let session = caller.open_session().await?;
    ensure!(session["chatkit"]["clientSecret"].is_string(), "{session:#}");
    ensure!(stack.openai().calls(Operation::CreateSession).len() == 1, "OpenAI received a second request");
    Ok(())
}

#[tokio::test]
async fn finish_delivery_is_retried_until_supabase_accepts_it() -> Result<()> {
    let stack = LocalStack::start().await?;
    disable_webhook(&stack)?;
    let (caller, session) = open_with_tool(&stack, "auto").await?;
    for (number, canned) in [
        CannedResponse::postgrest(401, "PGRST303", "JWT issued at future"),
        CannedResponse::html(503),
        CannedResponse::gateway(401, "Invalid API key"),
        CannedResponse::postgrest(405, "25006", "cannot execute UPDATE in a read-only transaction"),
        CannedResponse::postgrest(500, "57014", "canceling statement due to statement timeout"),
        CannedResponse::html(200),
    ]
    .into_iter()
    .enumerate()
    {
        click(&caller, &session).await?;
        let fault = canned.clone().at("/rest/v1/rpc/finish_delivery").times(4);
        stack.supabase().set_fault(Fault::Canned(fault)).await;
        let report = stack.run_job("route-events").await?;
        ensure!(report["done"] == 1 && report["unknown"] == 0, "{canned:?}: {report}");
        let states = delivery_states(&stack).await?;
        ensure!(
            states.len() == number + 1 && states.iter().all(|(status, _)| status == "done"),
            "{states:?}"
        );
    }
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    ensure!(agent.calls().len() == 6, "expected 6 payments, found {}", agent.calls().len());
    Ok(())
}

/// One claim is made of more requests than the attempts of one call. All of them have one id, so a
/// claim whose response was lost returns the same deliveries again.
#[tokio::test]
async fn claim_deliveries_is_retried_until_supabase_responds() -> Result<()> {
    let stack = LocalStack::start().await?;
    disable_webhook(&stack)?;
    let (caller, session) = open_with_tool(&stack, "auto").await?;
    let responses = [
        CannedResponse::html(503),
        CannedResponse::gateway(401, "Invalid API key"),
        CannedResponse::postgrest(500, "57014", "canceling statement due to statement timeout"),
        CannedResponse::html(200),
        CannedResponse::html(502).after_execution(),
        CannedResponse::html(200).after_execution(),
    ];
    for (number, canned) in responses.iter().enumerate() {
        click(&caller, &session).await?;
        let before = claims(&stack);
        let fault = canned.clone().at(CLAIM).times(4);
        stack.supabase().set_fault(Fault::Canned(fault)).await;
        let report = stack.run_job("route-events").await.with_context(|| format!("{canned:?}"))?;
        ensure!(report["done"] == 1 && report["called"] == 1, "{canned:?}: {report}");
        // Four lost responses, the first one that arrives, and a last claim without deliveries.
        let claims = claims(&stack) - before;
        ensure!(claims >= 6, "{canned:?}: expected at least 6 claims, found {claims}");
        let states = delivery_states(&stack).await?;
        ensure!(
            states.len() == number + 1 && states.iter().all(|(status, _)| status == "done"),
            "{canned:?}: {states:?}"
        );
    }
    let attempts: Vec<i32> =
        sqlx::query_scalar("select attempts from public.deliveries").fetch_all(stack.database()).await?;
    ensure!(attempts == vec![1; responses.len()], "a claim began a call again: {attempts:?}");
    Ok(())
}

#[tokio::test]
async fn deliveries_ended_by_the_database_are_counted_and_logged() -> Result<()> {
    let stack = LocalStack::start().await?;
    disable_webhook(&stack)?;
    let (caller, session) = open_with_tool(&stack, "never").await?;
    click(&caller, &session).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["dead"] == 1 && report["called"] == 0, "policy never: {report}");

    let (caller, session) = open_with_tool(&stack, "ask").await?;
    click(&caller, &session).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["asked"] == 1 && report["called"] == 0, "policy ask: {report}");

    let (caller, session) = open_with_tool(&stack, "auto").await?;
    click(&caller, &session).await?;
    let expired = "update public.deliveries set status = 'running', attempts = 1, lease_until = now() - interval '1 second'
                where status = 'pending'";
    ensure!(sqlx::query(expired).execute(stack.database()).await?.rows_affected() == 1);
    let due = "update public.delivery_queues set due_at = now()";
    sqlx::query(due).execute(stack.database()).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["unknown"] == 1 && report["called"] == 0, "expired lease: {report}");

    let lines: Vec<Value> =
        stack.final_logs().await.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (status, error) in
        [("dead", json!("policy_never")), ("asked", Value::Null), ("unknown", json!("lease_over"))]
    {
        let is_log_line = |line: &&Value| {
            line["message"] == "delivered"
                && line["status"] == status
                && line["error"] == error
                && line["delivery_id"].is_string()
                && line["session_id"].is_string()
                && line["agent_id"] == AGENT
        };
        ensure!(lines.iter().filter(is_log_line).count() == 1, "expected 1 log line of {status}, {error}");
    }
    Ok(())
}

#[tokio::test]
async fn record_events_succeeds_if_the_webhook_fails() -> Result<()> {
    let stack = LocalStack::start().await?;
    let (caller, session) = open_with_tool(&stack, "auto").await?;
    for broken in [
        FAILING_HTTP_POST,
        "drop function net.http_post",
        "drop schema net",
        "delete from vault.secrets",
        "drop schema vault cascade",
    ] {
        sqlx::raw_sql(broken).execute(stack.database()).await?;
        click(&caller, &session).await.context(broken)?;
        let report = stack.run_job("route-events").await?;
        ensure!(report["done"] == 1, "{broken}: {report}");
    }
    Ok(())
}

#[tokio::test]
async fn decide_escalation_succeeds_if_the_webhook_fails() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut held = Vec::new();
    for decision in ["approve", "reject"] {
        let fixture = EscalationFixture::new(&stack, json!({})).await?;
        held.push((fixture.hold_payment(900).await?, fixture.approver, decision));
    }
    sqlx::raw_sql(FAILING_HTTP_POST).execute(stack.database()).await?;
    for (escalation, approver, decision) in &held {
        decide(approver, escalation, decision).await?.expect(200).context(*decision)?;
    }
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"].as_u64() > Some(0), "the approved call is not made: {report}");
    Ok(())
}

/// OpenAI cancelled the ChatKit session. Without the record, every later run would cancel it again.
#[tokio::test]
async fn cancel_session_records_the_cancellation_after_supabase_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let fault = CannedResponse::gateway(401, "Invalid API key");
    let fault = fault.at("/rest/v1/rpc/confirm_chatkit_cancelled").times(4);
    stack.supabase().set_fault(Fault::Canned(fault)).await;
    caller.cancel(&session).await?.expect(200)?;
    let unrecorded: i64 =
        sqlx::query_scalar("select count(*) from public.chatkit_sessions where cancelled_at is null")
            .fetch_one(stack.database())
            .await?;
    ensure!(unrecorded == 0, "{unrecorded} cancelled ChatKit sessions are not recorded");
    Ok(())
}

/// The webhook's request raises an error in the transaction that records an event or a decision.
const FAILING_HTTP_POST: &str = "
    create or replace function net.http_post(
      url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
      timeout_milliseconds integer default 5000
    ) returns bigint language plpgsql as $$ begin raise 'the worker is not running'; end $$";

/// Opens a session whose agent has a tool with this policy that is not idempotent.
async fn open_with_tool(stack: &LocalStack, policy: &str) -> Result<(TestClient, String)> {
    let caller = TestClient::new(stack).await?;
    let tool = json!({ "idempotent": false, "policy": policy, "risk": "low", "approver": "self" });
    stack.register_agent_tool(caller.user.org_id, AGENT, tool).await?;
    let session = caller.open_session_path().await?;
    Ok((caller, session))
}

async fn click(caller: &TestClient, session: &str) -> Result<()> {
    let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
    caller.record_event(session, "button_click", payload).await?.expect(201).map(drop)
}

fn disable_webhook(stack: &LocalStack) -> Result<()> {
    stack.webhook().context("no webhook")?.set_disconnected(true);
    Ok(())
}

const CLAIM: &str = "/rest/v1/rpc/claim_deliveries";

/// The number of requests to claim deliveries.
fn claims(stack: &LocalStack) -> usize {
    stack.supabase().requests().iter().filter(|request| request.path == CLAIM).count()
}

async fn delivery_states(stack: &LocalStack) -> Result<Vec<(String, Option<String>)>> {
    let query = "select status, error from public.deliveries order by id";
    Ok(sqlx::query_as(query).fetch_all(stack.database()).await?)
}
