//! Traces: whoever is called for a request is told which trace it belongs to.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use serde_json::json;

use super::{line, of_work, written};
use crate::support::client::{AGENT, TestClient, path};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The trace and the place in it, of a header.
fn parts(header: Option<&str>) -> Result<(String, String)> {
    let mut parts = header.context("no traceparent")?.split('-').skip(1).map(str::to_owned);
    Ok((parts.next().context("no trace")?, parts.next().context("no place")?))
}

// NAME: seen: a caller's trace goes on to Supabase and OpenAI, from a place of ours
#[tokio::test]
async fn passed_on() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let header = format!("00-{TRACE}-{PARENT}-01");
    let before = stack.supabase().requests().len();
    let body = Some(json!({ "agentId": AGENT }));
    caller.send(Method::POST, "/chatkit/sessions", &[("traceparent", &header)], body).await?.expect(201)?;
    let asked = stack.supabase().requests();
    let asked: Vec<_> = asked[before..].iter().filter(|entry| entry.path.contains("/rpc/")).collect();
    ensure!(asked.len() == 2, "{asked:?}");
    let opened = stack.openai().requests();
    ensure!(opened.len() == 1, "{opened:?}");
    let headers =
        asked.iter().map(|entry| entry.traceparent.as_deref()).chain([opened[0].header("traceparent")]);
    for header in headers {
        let (trace, place) = parts(header)?;
        ensure!(trace == TRACE && place != PARENT && place.len() == 16, "{header:?}");
    }
    let lines = written(&stack).await?;
    line(&lines, |line| line["trace_id"] == TRACE)?;
    Ok(())
}

// NAME: seen: a run's trace goes on to the agents
#[tokio::test]
async fn to_agents() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack
        .register_agent_tool(caller.user.org_id, AGENT, json!({ "idempotent": true, "policy": "auto" }))
        .await?;
    // The schedule finds it, and no second run is still at it when all are ended.
    stack.webhook().context("no webhook")?.cut(true);
    let session = caller.open().await?;
    let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
    caller.record(&path(&session), "button_click", payload).await?.expect(201)?;
    stack.run_job("route-events").await?;
    let calls = stack.agents().agent(AGENT).context("no agent")?.requests();
    ensure!(!calls.is_empty(), "nobody called");
    let mut traces: Vec<String> =
        calls.iter().map(|call| Ok(parts(call.header("traceparent"))?.0)).collect::<Result<_>>()?;
    traces.dedup();
    let lines = written(&stack).await?;
    let runs = of_work(&lines, |line| line["report"]["called"] == 1);
    ensure!(
        traces.len() == 1 && runs.iter().any(|line| line["trace_id"] == traces[0].as_str()),
        "{traces:?} {runs:#?}"
    );
    Ok(())
}

// NAME: seen: a trace that is none is not passed on
#[tokio::test]
async fn malformed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let bad = format!("00-{TRACE}-{PARENT}-01-more");
    let body = Some(json!({ "agentId": AGENT }));
    caller.send(Method::POST, "/chatkit/sessions", &[("traceparent", &bad)], body).await?.expect(201)?;
    let opened = stack.openai().requests();
    let (trace, _) = parts(opened[0].header("traceparent"))?;
    ensure!(trace != TRACE && trace.len() == 32, "{trace}");
    Ok(())
}
