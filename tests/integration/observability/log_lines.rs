//! One log line for each unit of work: its subject, duration, upstream calls, and the cause of a
//! failure.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::openai::Operation;
use local_stack::{LocalStack, openai, supabase};
use serde_json::{Value, json};

use super::{logged_lines, work_line, work_lines};
use crate::support::client::{AGENT, TestClient, TestResponse, session_path};
use crate::support::project_files::is_time;

#[tokio::test]
async fn request_has_one_line_with_subject_duration_and_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let opened = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    let (open_id, session_id) = (request_id(&opened)?, opened.expect(201)?["id"].clone());
    let read = caller.get(&format!("/chatkit/sessions/{}", session_id.as_str().context("no id")?)).await?;
    let read_id = request_id(&read)?;
    let lines = logged_lines(&stack).await?;
    // The stack logs at DEBUG, which adds a line for each call.
    let is_reported = |line: &&Value| line["request_id"] == open_id.as_str() && line["level"] != "DEBUG";
    let reported: Vec<_> = lines.iter().filter(is_reported).collect();
    ensure!(reported.len() == 1, "expected 1 line, found {reported:#?}");

    let line = line_of_request(&lines, &open_id)?;
    let expected = [
        ("level", json!("INFO")),
        ("message", json!("answered")),
        ("function", json!("create-session")),
        ("method", json!("POST")),
        ("route", json!("/chatkit/sessions")),
        ("status", json!(201)),
        ("cold_start", json!(true)),
        ("org_id", json!(caller.user.org_id)),
        ("session_id", session_id.clone()),
    ];
    expect_fields(line, expected)?;
    let timestamp = line["timestamp"].as_str().context("no timestamp")?;
    ensure!(is_time(timestamp), "{timestamp} does not have microseconds");
    ensure!(line["trace_id"].as_str().is_some_and(|id| id.len() == 32), "no trace id: {line:#}");
    let calls = line["upstream"].as_array().context("no upstream calls")?;
    let systems: Vec<_> = calls.iter().map(|call| &call["system"]).collect();
    let in_order = systems.ends_with(&[&json!("supabase"), &json!("openai"), &json!("supabase")]);
    ensure!(in_order, "expected supabase, openai, supabase, found {systems:?}");
    let call_ms: f64 = calls.iter().filter_map(|call| call["ms"].as_f64()).sum();
    let duration_ms = line["duration_ms"].as_f64().context("no duration")?;
    ensure!(call_ms > 0.0 && call_ms <= duration_ms + 1.0, "{call_ms} of {duration_ms} ms: {line:#}");
    ensure!(calls_of(line, "openai")[0]["status"] == 200, "expected the status 200: {line:#}");

    let line = line_of_request(&lines, &read_id)?;
    expect_fields(line, [("route", json!("/chatkit/sessions/{id}")), ("session_id", session_id)])
}

#[tokio::test]
async fn failed_request_has_code_cause_and_attempts() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().add_fault(openai::Fault::new(Operation::CreateSession).status(503));
    let response = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    let id = request_id(&response)?;
    response.problem(503, "chatkit_unavailable")?;
    let lines = logged_lines(&stack).await?;
    let line = line_of_request(&lines, &id)?;
    let expected = [
        ("level", json!("ERROR")),
        ("message", json!("failed")),
        ("status", json!(503)),
        ("code", json!("chatkit_unavailable")),
    ];
    expect_fields(line, expected)?;
    ensure!(line["cause"].as_str().is_some_and(|cause| cause.contains("503")), "no cause: {line:#}");
    ensure!(line["session_id"].is_string(), "no session id: {line:#}");
    let attempts: Vec<_> =
        calls_of(line, "openai").iter().map(|call| (&call["attempt"], &call["status"])).collect();
    let expected = [(&json!(1), &json!(503)), (&json!(2), &json!(503)), (&json!(3), &json!(503))];
    ensure!(attempts == expected, "expected {expected:?}, found {attempts:?}");
    Ok(())
}

#[tokio::test]
async fn rejected_request_has_level_info_and_no_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let response = caller.get("/chatkit/sessions?limit=1000").await?;
    let id = request_id(&response)?;
    ensure!(response.status == 422, "expected 422, found {response:?}");
    let lines = logged_lines(&stack).await?;
    let line = line_of_request(&lines, &id)?;
    let expected = [
        ("level", json!("INFO")),
        ("message", json!("refused")),
        ("code", json!("invalid_request")),
        ("status", json!(422)),
    ];
    expect_fields(line, expected)?;
    ensure!(calls_of(line, "supabase").is_empty(), "expected no calls, found {line:#}");
    Ok(())
}

#[tokio::test]
async fn unreachable_supabase_is_logged_with_chain_of_causes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.get("/chatkit/sessions").await?.expect(200)?;
    stack.supabase().set_fault(supabase::Fault::Down).await;
    let response = caller.get("/chatkit/sessions").await?;
    let id = request_id(&response)?;
    ensure!(response.status == 503, "expected 503, found {response:?}");
    let lines = logged_lines(&stack).await?;
    let line = line_of_request(&lines, &id)?;
    expect_fields(line, [("code", json!("supabase_unavailable"))])?;
    let cause = line["cause"].as_str().unwrap_or_default();
    let is_chain = cause.contains("could not be reached") && cause.matches(": ").count() >= 1;
    ensure!(is_chain, "expected a chain of causes, found {cause:?}");
    let attempts = calls_of(line, "supabase");
    // The first attempt may use the connection of the request before, which breaks.
    let failures: Vec<_> = attempts.iter().map(|call| call["failure"].as_str().unwrap_or_default()).collect();
    let is_expected = |failure: &&str| ["could not be reached", "broke the connection"].contains(failure);
    let all_failed = failures.iter().all(is_expected) && failures.last() == Some(&"could not be reached");
    ensure!(all_failed, "expected failed attempts, found {attempts:#?}");
    Ok(())
}

#[tokio::test]
async fn only_the_first_line_of_a_process_is_a_cold_start() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for _ in 0..3 {
        caller.get("/chatkit/agents").await?.expect(200)?;
    }
    let lines = logged_lines(&stack).await?;
    let cold_starts: Vec<_> = work_lines(&lines, |line| line["function"] == "list-agents")
        .iter()
        .map(|line| (line["cold_start"] == true, line["ColdStarts"].clone()))
        .collect();
    let expected = [(true, json!(1)), (false, json!(0)), (false, json!(0))];
    ensure!(cold_starts == expected, "expected {expected:?}, found {cold_starts:?}");
    Ok(())
}

#[tokio::test]
async fn run_has_a_report_and_each_delivery_a_line() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    register_automatic_tool(&stack, &caller).await?;
    let session = caller.open_session().await?;
    let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
    caller.record_event(&session_path(&session), "button_click", payload).await?.expect(201)?;
    stack.run_job("route-events").await?;
    stack.run_job("expire-sessions").await?;
    let lines = logged_lines(&stack).await?;
    let expiry = work_line(&lines, |line| line["function"] == "expire-sessions")?;
    expect_fields(expiry, [("message", json!("run completed"))])?;
    ensure!(expiry["report"]["expiredSessions"] == 0, "expected no expired session: {expiry:#}");
    let runs = work_lines(&lines, |line| line["function"] == "route-events");
    let with_call: Vec<_> = runs.iter().filter(|line| line["report"]["called"] == 1).collect();
    ensure!(with_call.len() == 1, "expected 1 run with the call, found {}: {runs:#?}", with_call.len());
    let run = with_call[0];
    ensure!(run["report"]["done"] == 1 && calls_of(run, "agent").len() == 1, "expected 1 call: {run:#}");
    let delivered: Vec<_> = lines.iter().filter(|line| line["message"] == "delivered").collect();
    ensure!(delivered.len() == 1, "expected 1 delivery, found {delivered:#?}");
    let expected = [
        ("session_id", session["id"].clone()),
        ("org_id", json!(caller.user.org_id)),
        ("agent_id", json!(AGENT)),
        ("attempt", json!(1)),
        ("status", json!("done")),
        ("request_id", run["request_id"].clone()),
        ("trace_id", run["trace_id"].clone()),
    ];
    expect_fields(delivered[0], expected)
}

#[tokio::test]
async fn failed_run_has_code_and_cause() -> Result<()> {
    let stack = LocalStack::start().await?;
    stack.supabase().set_fault(supabase::Fault::Down).await;
    ensure!(stack.run_job("expire-sessions").await.is_err(), "a run without a database succeeded");
    let lines = logged_lines(&stack).await?;
    let line = work_line(&lines, |line| line["function"] == "expire-sessions")?;
    let expected = [
        ("level", json!("ERROR")),
        ("message", json!("run failed")),
        ("code", json!("supabase_unavailable")),
        ("RunFailures", json!(1)),
        ("Runs", json!(1)),
    ];
    expect_fields(line, expected)?;
    ensure!(line["cause"].is_string(), "no cause: {line:#}");
    Ok(())
}

#[tokio::test]
async fn lines_contain_no_content_and_no_tokens() -> Result<()> {
    const CONTENT: &str = "Kx7-only-for-us";
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    register_automatic_tool(&stack, &caller).await?;
    let opening = json!({ "agentId": AGENT, "metadata": { "note": CONTENT } });
    let session = caller.post("/chatkit/sessions", opening).await?.expect(201)?;
    let payload = json!({ "action": "pay", "data": { "invoice": CONTENT, "amount": 900 } });
    caller.record_event(&session_path(&session), "button_click", payload).await?.expect(201)?;
    stack.run_job("route-events").await?;
    let messages = caller.get(&format!("{}/messages", session_path(&session))).await?.expect(200)?;
    ensure!(messages.to_string().contains(CONTENT), "the messages do not contain the content: {messages:#}");
    // Invalid requests are not quoted either.
    let invalid = json!({ "agentId": CONTENT, "other": CONTENT });
    caller.send(Method::POST, "/chatkit/sessions", &[], Some(invalid)).await?;
    caller.get(&format!("/chatkit/sessions/{CONTENT}")).await?;
    caller.get(&format!("/chatkit/sessions?cursor={CONTENT}")).await?;
    let lines = logged_lines(&stack).await?;
    ensure!(work_lines(&lines, |_| true).len() > 5, "expected more than 5 lines, found {lines:#?}");
    let user_id = caller.user.id.to_string();
    for line in &lines {
        let text = line.to_string();
        for secret in [CONTENT, caller.token.as_str(), "ek_", stack.supabase().secret_key(), &user_id] {
            ensure!(!text.contains(secret), "a line contains {secret}: {line:#}");
        }
    }
    Ok(())
}

/// Registers a tool that is called without a decision, by runs of the schedule only.
async fn register_automatic_tool(stack: &LocalStack, caller: &TestClient) -> Result<()> {
    let tool = json!({ "idempotent": true, "policy": "auto" });
    stack.register_agent_tool(caller.user.org_id, AGENT, tool).await?;
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    Ok(())
}

fn request_id(response: &TestResponse) -> Result<String> {
    Ok(response.headers.get("x-request-id").context("no request id")?.to_str()?.to_owned())
}

fn line_of_request<'a>(lines: &'a [Value], id: &str) -> Result<&'a Value> {
    work_line(lines, |line| line["request_id"] == id)
}

fn expect_fields<const N: usize>(line: &Value, expected: [(&str, Value); N]) -> Result<()> {
    for (field, value) in expected {
        ensure!(line[field] == value, "expected {field} {value}, found {}: {line:#}", line[field]);
    }
    Ok(())
}

fn calls_of<'a>(line: &'a Value, system: &str) -> Vec<&'a Value> {
    let calls = line["upstream"].as_array().into_iter().flatten();
    calls.filter(|call| call["system"] == system).collect()
}
