//! Servers that are not ours, by MCP's own SDKs: Python's of 2025 and of today, and TypeScript's with one process and with two behind
//! one address. Each is started once.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use local_stack::LocalStack;
use local_stack::agents::{Reference, RoundRobin};
use local_stack::http;
use local_stack::toolchain::{MCP_2025, MCP_2026, Tool, ToolError};
use serde_json::{Map, Value, json};
use shared::clients::mcp::{CallError, Client, Completed, Risk, ToolCall, ToolResult};
use shared::platform::http_client::Deadline;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{arguments, client, completed, target};
use crate::support::client::{TestClient, path};
use local_stack::supabase::OrgRole;

// NAME: mcp: a server of 2025 that is not ours is called and answers
#[tokio::test]
async fn sdk_of_2025() -> Result<()> {
    answers(MCP_2025).await
}

// NAME: mcp: a server of 2026 that is not ours is called and answers
#[tokio::test]
async fn sdk_of_2026() -> Result<()> {
    answers(MCP_2026).await
}

// NAME: mcp: what Python's SDK of 2025 makes of a tool's result is read
#[tokio::test]
async fn results_of_sdk_of_2025() -> Result<()> {
    tools(MCP_2025).await
}

// NAME: mcp: what Python's SDK of 2026 makes of a tool's result is read
#[tokio::test]
async fn results_of_sdk_of_2026() -> Result<()> {
    tools(MCP_2026).await
}

/// A server by that SDK, for all tests of this process.
async fn python(sdk: Tool) -> Result<&'static Reference, ToolError> {
    static SERVERS: [OnceCell<Reference>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
    SERVERS[usize::from(sdk == MCP_2026)].get_or_try_init(|| Reference::start(sdk)).await
}

/// Two servers by the TypeScript SDK. Each says in a way of its own that it does not know a session.
async fn workers() -> Result<[&'static Reference; 2], ToolError> {
    static SERVERS: [OnceCell<Reference>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
    let started =
        async |place: usize, status| SERVERS[place].get_or_try_init(|| Reference::start_node(status)).await;
    let (first, second) = tokio::try_join!(started(0, 404), started(1, 400))?;
    Ok([first, second])
}

async fn call(client: &Client, url: &str, tool: &str, arguments: Value) -> Result<ToolResult, CallError> {
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let deadline = Deadline::after(Duration::from_secs(30));
    client.call(&target(url), ToolCall { tool, arguments, resume: None }, deadline).await
}

async fn answers(sdk: Tool) -> Result<()> {
    let server = python(sdk).await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let call = async |tool, arguments| call(&client, &url, tool, arguments).await;
    let contract = completed(call("handle_event", Value::Object(arguments("k1", &json!({})))).await)?;
    let message = "button_click of 019aab51-7c7e-7a52-b1a0-3f6c3f6f2a10 under k1";
    assert_eq!(contract.message.as_deref(), Some(message), "{contract:?}");
    assert_eq!(contract.tasks[0].title, "Look at it");

    let any = completed(call("greet", json!({"name": "Ada"})).await)?;
    assert_eq!(any.message.as_deref(), Some("Hello, Ada!"), "{any:?}");

    for (tool, arguments) in [("fail", json!({})), ("greet", json!({"name": {"not": "text"}}))] {
        let outcome = call(tool, arguments).await;
        let Ok(ToolResult::Failed(failed)) = outcome else { return Err(anyhow!("{tool}: {outcome:?}")) };
        ensure!(failed.message.is_some_and(|message| message.contains(tool)));
    }
    Ok(())
}

/// What is in an output, however deep servers have wrapped it.
fn holds(completed: &Completed, expected: &Value) -> bool {
    let Some(output) = &completed.output else { return expected.is_null() };
    let text = output["result"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let is = |value: &Value| {
        let mut value = value.clone();
        // A model says what it does not know.
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, field| !field.is_null());
        }
        value == *expected
    };
    is(output) || is(&output["result"]) || text.is_some_and(|text| is(&text))
}

/// Tools × what they answer, ours and their own.
async fn tools(sdk: Tool) -> Result<()> {
    let server = python(sdk).await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let own = json!({"status": "success", "paid": true});
    for tool in ["union", "optional", "bare_dict", "typed_dict", "model", "text", "untyped", "untyped_model"]
    {
        let outcome = call(&client, &url, tool, json!({"ours": true})).await;
        let Ok(ToolResult::Asked(asked)) = outcome else { return Err(anyhow!("{tool}: {outcome:?}")) };
        assert_eq!(
            (asked.message.as_deref(), asked.ask.reason.as_str()),
            (Some("May I?"), "Large."),
            "{tool}"
        );
        assert_eq!((asked.ask.risk, asked.ask.approver), (Some(Risk::Medium), None), "{tool}");

        let done = completed(call(&client, &url, tool, json!({"ours": false})).await).context(tool)?;
        ensure!(done.message.is_none() && holds(&done, &own) && done.notices.is_empty(), "{tool}: {done:?}");
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
        ensure!(holds(&done, &output) && done.notices.is_empty(), "{tool}: {done:?}");
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

// NAME: mcp: a server by the TypeScript SDK is called and answers
#[tokio::test]
async fn typescript() -> Result<()> {
    let [server, _] = workers().await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let answer = async |with: &str| call(&client, &url, "answer", json!({"with": with})).await;
    for with in ["structured", "text"] {
        let outcome = answer(with).await;
        let Ok(ToolResult::Asked(asked)) = outcome else { return Err(anyhow!("{with}: {outcome:?}")) };
        assert_eq!((asked.message.as_deref(), asked.ask.risk), (Some("May I?"), Some(Risk::Medium)));
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

/// How often the tool of both workers was called, and how many sessions they have open.
async fn counts(workers: [&Reference; 2]) -> Result<(u64, u64)> {
    let mut sum = (0, 0);
    for worker in workers {
        let url = format!("http://{}/calls", worker.address());
        let counts: Value = http::client().get(url).send().await?.json().await?;
        sum =
            (sum.0 + counts["calls"].as_u64().unwrap_or(0), sum.1 + counts["sessions"].as_u64().unwrap_or(0));
    }
    Ok(sum)
}

// NAME: mcp: a session that one of two workers does not know is begun anew
/// Every request goes to the other worker than the one before, and neither knows the sessions of the other. The handshake takes as many
/// requests as there are workers, so a call that is alone finds its own; one that does not begins anew.
#[tokio::test]
async fn two_workers() -> Result<()> {
    // Their own, since calls and sessions are counted.
    let (first, second) = tokio::try_join!(Reference::start_node(404), Reference::start_node(400))?;
    let workers = [&first, &second];
    let balancer = RoundRobin::start(workers.map(Reference::address)).await?;
    let (client, url) = (client(&[balancer.address()], "{}")?, balancer.url());
    let plain = json!({"data": {"answer": "plain"}});
    // One call at a time: the balancer is pushed on by a request in between, so that all orders are tried.
    for shift in 0..4 {
        for _ in 0..shift {
            http::client().get(format!("http://{}/calls", balancer.address())).send().await?;
        }
        let (before, _) = counts(workers).await?;
        balancer.forget();
        let outcome = call(&client, &url, "handle_event", Value::Object(arguments("k1", &plain))).await;
        let made = counts(workers).await?.0 - before;
        let initialized = balancer.seen().iter().filter(|rpc| *rpc == "initialize").count();
        assert_eq!(completed(outcome)?.message.as_deref(), Some("All is well."));
        assert_eq!((made, initialized), (1, 1), "shift {shift}: {:?}", balancer.seen());
    }
    assert_eq!(counts(workers).await?.1, 0, "a session is still open");
    // Where the balancer sends the call to the wrong one first, it is made in the session that is begun anew.
    balancer.forget();
    balancer.repeat_after("notifications/initialized");
    let outcome = call(&client, &url, "handle_event", Value::Object(arguments("k2", &plain))).await;
    let seen = balancer.seen();
    assert_eq!(completed(outcome)?.message.as_deref(), Some("All is well."), "{seen:?}");
    let of = |name: &str| seen.iter().filter(|rpc| *rpc == name).count();
    assert_eq!((of("server/discover"), of("initialize"), of("tools/call")), (1, 2, 2), "{seen:?}");
    Ok(())
}

// NAME: mcp: deliveries to servers that are not ours come to their ends
/// The whole way, from a click to what is shown, with one server of each kind.
#[tokio::test]
async fn deliveries() -> Result<()> {
    let (old, new, workers) = tokio::try_join!(python(MCP_2025), python(MCP_2026), workers())?;
    let balancer = RoundRobin::start(workers.map(Reference::address)).await?;
    let servers = [
        ("python_2025", old.url(), old.address()),
        ("python_2026", new.url(), new.address()),
        ("typescript", workers[0].url(), workers[0].address()),
        ("two_workers", balancer.url(), balancer.address()),
    ];
    let hosts: Vec<String> = servers.iter().map(|(_, _, address)| address.to_string()).collect();
    let stack = LocalStack::builder().env("AGENT_LOOPBACK_ALLOWLIST", &hosts.join(",")).start().await?;
    let org_id = Uuid::new_v4();
    for (agent, url, _) in &servers {
        stack.register_agent(org_id, agent, agent).await?;
        let tool = json!({ "idempotent": false, "policy": "auto" });
        stack.register_agent_server(org_id, agent, url, None, tool).await?;
    }
    let caller = TestClient::joining(&stack, org_id, OrgRole::Member).await?;
    let delivered = servers.iter().map(|(agent, ..)| delivered(&caller, agent));
    futures_util::future::try_join_all(delivered).await?;
    Ok(())
}

/// What a tool answers is in its session: a result of its own as output, text as a message, and a question as an escalation.
async fn delivered(caller: &TestClient, agent: &str) -> Result<()> {
    let session = caller.post("/chatkit/sessions", json!({ "agentId": agent })).await?.expect(201)?;
    let (at, structured) = (path(&session), if agent.starts_with("python") { "ours" } else { "structured" });
    for answer in ["own", if structured == "ours" { "text" } else { "plain" }, structured] {
        caller
            .record(&at, "button_click", json!({ "action": "pay", "data": { "answer": answer } }))
            .await?
            .expect(201)?;
    }
    let waiting = async {
        loop {
            let shown = caller.get(&format!("{at}?include=none")).await?.expect(200)?;
            if shown["escalations"].as_array().is_some_and(|open| !open.is_empty()) {
                return anyhow::Ok(shown);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    let shown = shown.with_context(|| format!("{agent}: nobody was asked"))??;
    let events = shown["events"].as_array().context("no events")?;
    let results: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "agent_result")
        .map(|event| &event["payload"])
        .collect();
    let output = &results.first().context("no result")?["output"];
    let own = json!({ "status": "success", "paid": true });
    ensure!(*output == own || output["result"] == own, "{agent}: {shown:#}");
    ensure!(
        results.len() == 2 && !events.iter().any(|event| event["type"] == "agent_failed"),
        "{agent}: {shown:#}"
    );
    ensure!(shown["escalations"][0]["reason"] == "Large.", "{agent}: {shown:#}");
    let messages = caller.get(&format!("{at}/messages")).await?.expect(200)?;
    let said: Vec<&str> = messages["messages"]
        .as_array()
        .context("no messages")?
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    ensure!(said == ["All is well.", "May I?"], "{agent}: {said:?}");
    Ok(())
}
