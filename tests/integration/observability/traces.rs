//! Trace context: every upstream call of a request carries the trace of the request.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use serde_json::json;

use super::{logged_lines, work_line, work_lines};
use crate::support::client::{AGENT, TestClient, session_path};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn trace_of_request_is_passed_to_supabase_and_openai() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let header = format!("00-{TRACE}-{PARENT}-01");
    let before = stack.supabase().requests().len();
    let body = Some(json!({ "agentId": AGENT }));
    caller.send(Method::POST, "/chatkit/sessions", &[("traceparent", &header)], body).await?.expect(201)?;
    let requests = stack.supabase().requests();
    let rpcs: Vec<_> = requests[before..].iter().filter(|entry| entry.path.contains("/rpc/")).collect();
    ensure!(rpcs.len() == 2, "expected 2 RPCs, found {rpcs:?}");
    let openai_calls = stack.openai().requests();
    ensure!(openai_calls.len() == 1, "expected 1 call of OpenAI, found {openai_calls:?}");
    let headers = rpcs.iter().map(|entry| entry.traceparent.as_deref());
    for header in headers.chain([openai_calls[0].header("traceparent")]) {
        let (trace, span) = trace_and_span(header)?;
        ensure!(trace == TRACE, "expected the trace {TRACE}, found {header:?}");
        ensure!(span != PARENT && span.len() == 16, "expected a new span, found {header:?}");
    }
    let lines = logged_lines(&stack).await?;
    work_line(&lines, |line| line["trace_id"] == TRACE)?;
    Ok(())
}

#[tokio::test]
async fn trace_of_scheduled_run_is_passed_to_agents() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let tool = json!({ "idempotent": true, "policy": "auto" });
    stack.register_agent_tool(caller.user.org_id, AGENT, tool).await?;
    // Without the webhook, one run of the schedule makes the call, and no other run is active.
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    let session = caller.open_session().await?;
    let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
    caller.record_event(&session_path(&session), "button_click", payload).await?.expect(201)?;
    stack.run_job("route-events").await?;
    let calls = stack.agents().agent(AGENT).context("the stack has no agent server")?.requests();
    ensure!(!calls.is_empty(), "the agent was not called");
    let mut traces: Vec<String> =
        calls.iter().map(|call| Ok(trace_and_span(call.header("traceparent"))?.0)).collect::<Result<_>>()?;
    traces.dedup();
    ensure!(traces.len() == 1, "expected 1 trace, found {traces:?}");
    let lines = logged_lines(&stack).await?;
    let runs = work_lines(&lines, |line| line["report"]["called"] == 1);
    let has_line = runs.iter().any(|line| line["trace_id"] == traces[0].as_str());
    ensure!(has_line, "expected the trace {traces:?} in {runs:#?}");
    Ok(())
}

#[tokio::test]
async fn malformed_trace_is_replaced() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let malformed = format!("00-{TRACE}-{PARENT}-01-more");
    let headers = [("traceparent", malformed.as_str())];
    let body = Some(json!({ "agentId": AGENT }));
    caller.send(Method::POST, "/chatkit/sessions", &headers, body).await?.expect(201)?;
    let openai_calls = stack.openai().requests();
    let (trace, _) = trace_and_span(openai_calls[0].header("traceparent"))?;
    ensure!(trace != TRACE && trace.len() == 32, "expected a new trace, found {trace}");
    Ok(())
}

/// The ids of the trace and of the span in a `traceparent` header.
fn trace_and_span(header: Option<&str>) -> Result<(String, String)> {
    let mut parts = header.context("no traceparent")?.split('-').skip(1).map(str::to_owned);
    Ok((parts.next().context("no trace id")?, parts.next().context("no span id")?))
}
