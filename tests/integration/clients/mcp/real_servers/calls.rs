//! Calls of single tools, without a database.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use local_stack::agents::{RoundRobin, SdkServer};
use local_stack::http;
use local_stack::toolchain::{MCP_2025, MCP_2026, Tool};
use serde_json::{Map, Value, json};
use shared::clients::mcp::{CallError, Client, Completed, Risk, ToolCall, ToolResult};
use shared::platform::http_client::Deadline;

use super::super::{arguments, client, completed, target};
use super::{python_server, typescript_servers};
use crate::support::skip;

#[tokio::test]
async fn python_sdk_2025_server_is_called() -> Result<()> {
    skip::with_tools(check_calls(MCP_2025)).await
}

#[tokio::test]
async fn python_sdk_2026_server_is_called() -> Result<()> {
    skip::with_tools(check_calls(MCP_2026)).await
}

#[tokio::test]
async fn python_sdk_2025_results_are_parsed() -> Result<()> {
    skip::with_tools(check_results(MCP_2025)).await
}

#[tokio::test]
async fn python_sdk_2026_results_are_parsed() -> Result<()> {
    skip::with_tools(check_results(MCP_2026)).await
}

#[tokio::test]
async fn typescript_sdk_server_is_called() -> Result<()> {
    skip::with_tools(check_typescript_server()).await
}

/// The balancer sends each request to the other worker than the request before, and a worker does
/// not know the sessions of the other. The call is the second request after `initialize`, so it
/// reaches the worker of its session unless another request comes in between.
#[tokio::test]
async fn session_unknown_to_the_second_worker_is_reopened() -> Result<()> {
    skip::with_tools(check_two_workers()).await
}

async fn call(client: &Client, url: &str, tool: &str, arguments: Value) -> Result<ToolResult, CallError> {
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let deadline = Deadline::after(Duration::from_secs(30));
    let call = ToolCall { tool, arguments, meta: Map::new(), resume: None };
    client.call(&target(url), call, deadline).await
}

/// Calls tools that succeed and tools that fail.
async fn check_calls(sdk: Tool) -> Result<()> {
    let server = python_server(sdk).await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let call = async |tool, arguments| call(&client, &url, tool, arguments).await;
    let done = completed(call("handle_event", Value::Object(arguments("k1", &json!({})))).await)?;
    let message = "button_click of 019aab51-7c7e-7a52-b1a0-3f6c3f6f2a10 under k1";
    assert_eq!(done.message.as_deref(), Some(message), "{done:?}");
    assert_eq!(done.tasks[0].title, "Look at it");

    let done = completed(call("greet", json!({"name": "Ada"})).await)?;
    assert_eq!(done.message.as_deref(), Some("Hello, Ada!"), "{done:?}");

    for (tool, arguments) in [("fail", json!({})), ("greet", json!({"name": {"not": "text"}}))] {
        let outcome = call(tool, arguments).await;
        let Ok(ToolResult::Failed(failed)) = outcome else { return Err(anyhow!("{tool}: {outcome:?}")) };
        ensure!(failed.message.is_some_and(|message| message.contains(tool)));
    }
    Ok(())
}

/// Returns whether an output is this value, or contains it in the `result` that SDKs add.
fn has_output(completed: &Completed, expected: &Value) -> bool {
    let Some(output) = &completed.output else { return expected.is_null() };
    let text = output["result"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let is_expected = |value: &Value| {
        let mut value = value.clone();
        // Models serialise missing fields as null.
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, field| !field.is_null());
        }
        value == *expected
    };
    is_expected(output) || is_expected(&output["result"]) || text.is_some_and(|text| is_expected(&text))
}

/// Calls tools with every return type, with results of the contract (`ours`) and other results.
async fn check_results(sdk: Tool) -> Result<()> {
    let server = python_server(sdk).await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let own = json!({"status": "success", "paid": true});
    for tool in ["union", "optional", "bare_dict", "typed_dict", "model", "text", "untyped", "untyped_model"]
    {
        let outcome = call(&client, &url, tool, json!({"ours": true})).await;
        let Ok(ToolResult::NeedsHuman(request)) = outcome else { return Err(anyhow!("{tool}: {outcome:?}")) };
        assert_eq!(
            (request.message.as_deref(), request.ask.reason.as_str()),
            (Some("May I?"), "Large."),
            "{tool}"
        );
        assert_eq!((request.ask.risk, request.ask.approver), (Some(Risk::Medium), None), "{tool}");

        let done = completed(call(&client, &url, tool, json!({"ours": false})).await).context(tool)?;
        ensure!(
            done.message.is_none() && has_output(&done, &own) && done.notices.is_empty(),
            "{tool}: {done:?}"
        );
    }
    let ours =
        json!({"status": "needs_hitl", "message": "May I?", "ask": {"reason": "Large.", "risk": "medium"}});
    for (tool, message, output) in [
        ("as_list", None, json!([own, ours])),
        ("list_of_text", Some("7\nb"), json!(["7", "b"])),
        ("optional_none", None, Value::Null),
        ("plain_text", Some("All is well."), json!("All is well.")),
        ("number", None, json!(42)),
        ("untyped_list", None, json!([own, {"n": 1}])),
        ("untyped_text", Some("All is well."), Value::Null),
        ("untyped_none", None, Value::Null),
    ] {
        let done = completed(call(&client, &url, tool, json!({})).await).context(tool)?;
        assert_eq!(done.message.as_deref(), message, "{tool}: {done:?}");
        ensure!(has_output(&done, &output) && done.notices.is_empty(), "{tool}: {done:?}");
    }
    for levels in [64, 65, 110] {
        let done = completed(call(&client, &url, "deep", json!({"levels": levels})).await)?;
        let output = done.output.context("no output")?;
        assert_eq!((output.is_array(), done.notices.is_empty()), (levels == 64, levels == 64), "{levels}");
        let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
        assert_eq!(text.matches('[').count(), levels, "{levels}");
    }
    Ok(())
}

async fn check_typescript_server() -> Result<()> {
    let [server, _] = typescript_servers().await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let answer = async |with: &str| call(&client, &url, "answer", json!({"with": with})).await;
    for with in ["structured", "text"] {
        let outcome = answer(with).await;
        let Ok(ToolResult::NeedsHuman(request)) = outcome else { return Err(anyhow!("{with}: {outcome:?}")) };
        assert_eq!((request.message.as_deref(), request.ask.risk), (Some("May I?"), Some(Risk::Medium)));
    }
    for with in ["own", "own_structured"] {
        let done = completed(answer(with).await)?;
        assert_eq!(
            (done.message, done.output),
            (None, Some(json!({"status": "success", "paid": true}))),
            "{with}"
        );
    }
    assert_eq!(completed(answer("plain").await)?.message.as_deref(), Some("All is well."));
    let outcome = answer("failed").await;
    let Ok(ToolResult::Failed(failed)) = outcome else { return Err(anyhow!("{outcome:?}")) };
    assert_eq!(failed.message.as_deref(), Some("The books are closed."));
    let files = completed(answer("files").await)?;
    assert_eq!(files.message.as_deref(), Some("Two files."));
    let (link, left_out) = (json!("https://example.com/42.pdf"), json!([5, 3]));
    assert_eq!((&files.notices[0]["uri"], files.notices.len()), (&link, 3));
    assert_eq!(json!([files.notices[1]["size"], files.notices[2]["size"]]), left_out, "{files:?}");
    Ok(())
}

/// Returns the number of tool calls and of open sessions of both workers.
async fn counts(workers: [&SdkServer; 2]) -> Result<(u64, u64)> {
    let mut sum = (0, 0);
    for worker in workers {
        let url = format!("http://{}/calls", worker.address());
        let counts: Value = http::client().get(url).send().await?.json().await?;
        sum =
            (sum.0 + counts["calls"].as_u64().unwrap_or(0), sum.1 + counts["sessions"].as_u64().unwrap_or(0));
    }
    Ok(sum)
}

async fn check_two_workers() -> Result<()> {
    // Not the shared servers, because the test counts calls and sessions.
    let (first, second) = tokio::try_join!(SdkServer::start_node(404), SdkServer::start_node(400))?;
    let workers = [&first, &second];
    let balancer = RoundRobin::start(workers.map(SdkServer::address)).await?;
    let (client, url) = (client(&[balancer.address()], "{}")?, balancer.url());
    let plain = json!({"data": {"answer": "plain"}});
    // Requests before each call shift the balancer, so that calls begin at either worker.
    for shift in 0..4 {
        for _ in 0..shift {
            http::client().get(format!("http://{}/calls", balancer.address())).send().await?;
        }
        let (before, _) = counts(workers).await?;
        balancer.clear_methods();
        let outcome = call(&client, &url, "handle_event", Value::Object(arguments("k1", &plain))).await;
        let calls = counts(workers).await?.0 - before;
        let initialized = balancer.methods().iter().filter(|rpc| *rpc == "initialize").count();
        assert_eq!(completed(outcome)?.message.as_deref(), Some("All is well."));
        assert_eq!((calls, initialized), (1, 1), "shift {shift}: {:?}", balancer.methods());
    }
    assert_eq!(counts(workers).await?.1, 0, "a session is still open");
    // A repeated request makes the call reach the wrong worker, so the client opens a new session.
    balancer.clear_methods();
    balancer.repeat_after("notifications/initialized");
    let outcome = call(&client, &url, "handle_event", Value::Object(arguments("k2", &plain))).await;
    let requests = balancer.methods();
    assert_eq!(completed(outcome)?.message.as_deref(), Some("All is well."), "{requests:?}");
    let count = |name: &str| requests.iter().filter(|rpc| *rpc == name).count();
    let counts = ["server/discover", "initialize", "tools/call"].map(count);
    assert_eq!(counts, [1, 2, 2], "{requests:?}");
    Ok(())
}
