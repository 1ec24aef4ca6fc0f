//! The lines: one a unit of work, that answers who, what, how long, whom it asked, and why it failed.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::openai::Operation;
use local_stack::{LocalStack, openai, supabase};
use serde_json::{Value, json};

use super::{line, of_work, written};
use crate::support::client::{AGENT, TestClient, TestResponse, path};
use crate::support::project_files::is_time;

fn id(reply: &TestResponse) -> Result<String> {
    Ok(reply.headers.get("x-request-id").context("no id")?.to_str()?.to_owned())
}

/// The calls of one system in a line.
fn calls<'a>(line: &'a Value, system: &str) -> Vec<&'a Value> {
    let all = line["upstream"].as_array().into_iter().flatten();
    all.filter(|call| call["system"] == system).collect()
}

fn is_about(line: &Value, id: &str) -> bool {
    line["request_id"] == id
}

// NAME: seen: a request has one line, with who, what, how long, and whom it asked
#[tokio::test]
async fn whole() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let opened = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    let (request, session) = (id(&opened)?, opened.expect(201)?["id"].clone());
    let read = caller.get(&format!("/chatkit/sessions/{}", session.as_str().context("no id")?)).await?;
    let lines = written(&stack).await?;
    // Worlds are heard at DEBUG, which adds a line for each call.
    let said = |line: &&Value| is_about(line, &request) && line["level"] != "DEBUG";
    let of_opening: Vec<_> = lines.iter().filter(said).collect();
    ensure!(of_opening.len() == 1, "more than one line: {of_opening:#?}");
    let opening = line(&lines, |line| is_about(line, &request))?;
    for (field, value) in [
        ("level", json!("INFO")),
        ("message", json!("answered")),
        ("function", json!("create-session")),
        ("method", json!("POST")),
        ("route", json!("/chatkit/sessions")),
        ("status", json!(201)),
        ("cold_start", json!(true)),
        ("org_id", json!(caller.user.org_id)),
        ("session_id", session.clone()),
    ] {
        ensure!(opening[field] == value, "{field} is {} and not {value}: {opening:#}", opening[field]);
    }
    let time = opening["timestamp"].as_str().context("no time")?;
    ensure!(is_time(time), "{time} is no time with six digits of a second");
    ensure!(opening["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{opening:#}");
    // Recorded, opened at OpenAI, recorded: in this order, each with its time, which together are no longer than the whole.
    let systems: Vec<_> =
        opening["upstream"].as_array().into_iter().flatten().map(|call| &call["system"]).collect();
    ensure!(systems.ends_with(&[&json!("supabase"), &json!("openai"), &json!("supabase")]), "{opening:#}");
    let times: f64 =
        opening["upstream"].as_array().into_iter().flatten().filter_map(|call| call["ms"].as_f64()).sum();
    let whole = opening["duration_ms"].as_f64().context("no duration")?;
    ensure!(times > 0.0 && times <= whole + 1.0, "{times} of {whole} ms: {opening:#}");
    ensure!(calls(opening, "openai")[0]["status"] == 200, "{opening:#}");
    let reading = line(&lines, |line| line["request_id"] == id(&read).unwrap_or_default())?;
    ensure!(reading["route"] == "/chatkit/sessions/{id}" && reading["session_id"] == session, "{reading:#}");
    Ok(())
}

// NAME: seen: a failed request's line names its code and the chain of its causes
#[tokio::test]
async fn failed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.openai().fault(openai::Fault::new(Operation::CreateSession).status(503));
    let reply = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    let request = id(&reply)?;
    reply.problem(503, "chatkit_unavailable")?;
    let lines = written(&stack).await?;
    let failed = line(&lines, |line| is_about(line, &request))?;
    ensure!(failed["level"] == "ERROR" && failed["message"] == "failed", "{failed:#}");
    ensure!(failed["status"] == 503 && failed["code"] == "chatkit_unavailable", "{failed:#}");
    ensure!(failed["cause"].as_str().is_some_and(|cause| cause.contains("503")), "no cause: {failed:#}");
    ensure!(failed["session_id"].is_string(), "{failed:#}");
    let tries: Vec<_> =
        calls(failed, "openai").iter().map(|call| (&call["attempt"], &call["status"])).collect();
    ensure!(
        tries == [(&json!(1), &json!(503)), (&json!(2), &json!(503)), (&json!(3), &json!(503))],
        "{failed:#}"
    );
    Ok(())
}

// NAME: seen: a refused request's line is no error
#[tokio::test]
async fn refused() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let reply = caller.get("/chatkit/sessions?limit=1000").await?;
    let request = id(&reply)?;
    ensure!(reply.status == 422, "{reply:?}");
    let lines = written(&stack).await?;
    let refused = line(&lines, |line| is_about(line, &request))?;
    ensure!(refused["level"] == "INFO" && refused["message"] == "refused", "{refused:#}");
    ensure!(refused["code"] == "invalid_request" && refused["status"] == 422, "{refused:#}");
    ensure!(calls(refused, "supabase").is_empty(), "{refused:#}");
    Ok(())
}

// NAME: seen: a request that never reached Supabase says so
#[tokio::test]
async fn unreachable() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.get("/chatkit/sessions").await?.expect(200)?;
    stack.supabase().fault(supabase::Fault::Down).await;
    let reply = caller.get("/chatkit/sessions").await?;
    let request = id(&reply)?;
    ensure!(reply.status == 503, "{reply:?}");
    let lines = written(&stack).await?;
    let failed = line(&lines, |line| is_about(line, &request))?;
    ensure!(failed["code"] == "supabase_unavailable", "{failed:#}");
    let cause = failed["cause"].as_str().unwrap_or_default();
    ensure!(
        cause.contains("could not be reached") && cause.matches(": ").count() >= 1,
        "no chain: {failed:#}"
    );
    let tries = calls(failed, "supabase");
    ensure!(
        !tries.is_empty() && tries.iter().all(|call| call["failure"] == "could not be reached"),
        "{failed:#}"
    );
    Ok(())
}

// NAME: seen: only the first line of a process is of a cold start
#[tokio::test]
async fn cold() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for _ in 0..3 {
        caller.get("/chatkit/agents").await?.expect(200)?;
    }
    let lines = written(&stack).await?;
    let colds: Vec<_> = of_work(&lines, |line| line["function"] == "list-agents")
        .iter()
        .map(|line| (line["cold_start"] == true, line["ColdStarts"].clone()))
        .collect();
    ensure!(colds == [(true, json!(1)), (false, json!(0)), (false, json!(0))], "{colds:?}");
    Ok(())
}

// NAME: seen: a run's line has its report, and each call of an agent its own
#[tokio::test]
async fn runs() -> Result<()> {
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
    stack.run_job("expire-sessions").await?;
    let lines = written(&stack).await?;
    let expiry = line(&lines, |line| line["function"] == "expire-sessions")?;
    ensure!(expiry["message"] == "run completed" && expiry["report"]["expiredSessions"] == 0, "{expiry:#}");
    let runs = of_work(&lines, |line| line["function"] == "route-events");
    let calling: Vec<_> = runs.iter().filter(|line| line["report"]["called"] == 1).collect();
    ensure!(calling.len() == 1, "the call is in {} runs: {runs:#?}", calling.len());
    ensure!(calling[0]["report"]["done"] == 1 && calls(calling[0], "agent").len() == 1, "{calling:#?}");
    let delivered: Vec<_> = lines.iter().filter(|line| line["message"] == "delivered").collect();
    ensure!(delivered.len() == 1, "{delivered:#?}");
    for (field, value) in [
        ("session_id", session["id"].clone()),
        ("org_id", json!(caller.user.org_id)),
        ("agent_id", json!(AGENT)),
        ("attempt", json!(1)),
        ("status", json!("done")),
        ("request_id", calling[0]["request_id"].clone()),
        ("trace_id", calling[0]["trace_id"].clone()),
    ] {
        ensure!(delivered[0][field] == value, "{field} is not {value}: {:#}", delivered[0]);
    }
    Ok(())
}

// NAME: seen: a run that failed says why
#[tokio::test]
async fn failed_round() -> Result<()> {
    let stack = LocalStack::start().await?;
    stack.supabase().fault(supabase::Fault::Down).await;
    ensure!(stack.run_job("expire-sessions").await.is_err(), "a run without a database");
    let lines = written(&stack).await?;
    let failed = line(&lines, |line| line["function"] == "expire-sessions")?;
    ensure!(failed["level"] == "ERROR" && failed["message"] == "run failed", "{failed:#}");
    ensure!(failed["code"] == "supabase_unavailable" && failed["cause"].is_string(), "{failed:#}");
    ensure!(failed["RunFailures"] == 1 && failed["Runs"] == 1, "{failed:#}");
    Ok(())
}

// NAME: seen: no line holds what people and agents say, or a token
#[tokio::test]
async fn unsaid() -> Result<()> {
    let stack = LocalStack::start().await?;
    const SAID: &str = "Kx7-nobody-but-us";
    let caller = TestClient::new(&stack).await?;
    stack
        .register_agent_tool(caller.user.org_id, AGENT, json!({ "idempotent": true, "policy": "auto" }))
        .await?;
    stack.webhook().context("no webhook")?.cut(true);
    let opening = json!({ "agentId": AGENT, "metadata": { "note": SAID } });
    let session = caller.post("/chatkit/sessions", opening).await?.expect(201)?;
    let payload = json!({ "action": "pay", "data": { "invoice": SAID, "amount": 900 } });
    caller.record(&path(&session), "button_click", payload).await?.expect(201)?;
    stack.run_job("route-events").await?;
    let said = caller.get(&format!("{}/messages", path(&session))).await?.expect(200)?;
    ensure!(said.to_string().contains(SAID), "nothing was said that could be seen: {said:#}");
    // What is wrong is not repeated either.
    let wrong = json!({ "agentId": SAID, "other": SAID });
    caller.send(Method::POST, "/chatkit/sessions", &[], Some(wrong)).await?;
    caller.get(&format!("/chatkit/sessions/{SAID}")).await?;
    caller.get(&format!("/chatkit/sessions?cursor={SAID}")).await?;
    let lines = written(&stack).await?;
    ensure!(of_work(&lines, |_| true).len() > 5, "{lines:#?}");
    for line in &lines {
        let text = line.to_string();
        for secret in
            [SAID, caller.token.as_str(), "ek_", stack.supabase().secret_key(), &caller.user.id.to_string()]
        {
            ensure!(!text.contains(secret), "a line says {secret}: {line:#}");
        }
    }
    Ok(())
}
