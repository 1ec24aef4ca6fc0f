//! Odd requests, at every door: `docs/reference/requests.md` says what becomes of them.

mod cases;
mod entry_points;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, ensure};
use axum::{body::Bytes, http::Method};
use local_stack::{LocalStack, http, lambda};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, reply};
use crate::support::markdown;
use crate::support::project_files::{same, text};
use cases::Row;
use entry_points::Door;

// NAME: requests: the same over HTTP, at each function's own URL
#[tokio::test]
async fn function_urls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    over_http(|function| stack.function_url(function), &caller, &session, true).await
}

// NAME: requests: docs/reference/requests.md lists those that are tried, and no others
#[tokio::test]
async fn listed() -> Result<()> {
    let page = text("docs/reference/requests.md")?;
    let mut said = BTreeSet::new();
    for section in page.split("\n## ").skip(1) {
        said.extend(markdown::table(section, "request").into_iter().filter_map(|row| row.into_iter().next()));
    }
    let tried = cases::all().into_iter().map(|row| row.said.to_owned()).collect();
    same(("docs/reference/requests.md", &said), ("the tests", &tried))
}

/// What a function answered an event with.
struct Answer {
    status: u64,
    headers: BTreeMap<String, Value>,
    body: Value,
}

/// Gives an event to a function, as Lambda does.
async fn invoke(stack: &LocalStack, function: &str, id: Uuid, event: &[u8]) -> Result<Answer> {
    let event = Bytes::copy_from_slice(event);
    let answer = stack.lambda().function(function)?.invoke(&id.to_string(), "Root=1-0-0", event).await;
    let answer = answer.map_err(|failure| anyhow!("the invocation failed: {failure:?}"))?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let body = answer["body"].as_str().map(serde_json::from_str).transpose()?.unwrap_or_default();
    let headers = serde_json::from_value(answer["headers"].clone())?;
    Ok(Answer { status: answer["statusCode"].as_u64().context("no status")?, headers, body })
}

// NAME: requests: each odd one has the same answer at every door, and its line
#[tokio::test]
async fn same_everywhere() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let routes = &lambda::workspace().await?.routes;
    let (mut wrong, mut answered) = (Vec::new(), Vec::new());
    for row in cases::all() {
        for door in entry_points::ALL {
            // A REST API hands the query over decoded, so that no character in it is wrong.
            if door == Door::RestApi && row.said.starts_with("a query with a character that has to be") {
                continue;
            }
            let mut event = door.event(routes, row.request(&caller, &session))?;
            if let Some(change) = row.change {
                change(&mut event);
            }
            let id = Uuid::new_v4();
            let answer = invoke(&stack, row.function, id, event.to_string().as_bytes()).await;
            let path = row.path(&session);
            let instance = door.path(path.split('?').next().unwrap_or_default());
            if let Err(error) = answer.and_then(|answer| judge(&row, &answer, &instance)) {
                wrong.push(format!("{} {} ({door:?}): {error:#}", row.said, row.path));
            }
            answered.push((id, row.status));
        }
    }
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), answered.len(), wrong.join("\n"));
    have_lines(&stack, &answered).await
}

/// The rows that a program can send over HTTP, at functions' own URLs. `keeps_all`: of a header that is given several times.
pub async fn over_http(
    url: impl Fn(&str) -> String,
    caller: &TestClient,
    session: &str,
    keeps_all: bool,
) -> Result<()> {
    let mut wrong = Vec::new();
    for row in cases::all().into_iter().filter(|row| row.change.is_none()) {
        let (parts, body) = row.request(caller, session).into_parts();
        if !keeps_all && parts.headers.len() > parts.headers.keys_len() {
            continue;
        }
        let url = format!("{}{}", url(row.function), parts.uri);
        let reply =
            reply(http::client().request(parts.method.clone(), url).headers(parts.headers).body(body)).await;
        // An answer to HEAD has no body.
        let code = row.code.filter(|_| parts.method != Method::HEAD);
        match reply {
            Ok(reply) if reply.status == row.status && reply.body["code"].as_str() == code => {}
            other => wrong.push(format!("{} {}: {other:?}", row.said, row.path)),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn judge(row: &Row, answer: &Answer, instance: &str) -> Result<()> {
    ensure!(answer.status == u64::from(row.status), "{} {:#}", answer.status, answer.body);
    ensure!(answer.body["code"].as_str() == row.code, "{:#}", answer.body);
    if let Some((name, value)) = row.answer_header {
        ensure!(answer.headers.get(name) == Some(&json!(value)), "{name} in {:?}", answer.headers);
    }
    if row.code.is_some() {
        ensure!(answer.headers["content-type"] == "application/problem+json", "{:?}", answer.headers);
        ensure!(answer.body["instance"] == instance, "{} instead of {instance}", answer.body["instance"]);
    }
    Ok(())
}

/// That each answer has one line, with its metrics.
async fn have_lines(stack: &LocalStack, answered: &[(Uuid, u16)]) -> Result<()> {
    let lines = stack.final_logs().await;
    let lines = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    for (id, status) in answered {
        let of = |line: &&Value| line["request_id"] == id.to_string() && line["Requests"].is_number();
        let found: Vec<_> = lines.iter().filter(of).collect();
        ensure!(found.len() == 1 && found[0]["status"] == *status, "{status}: {found:#?}");
        ensure!(found[0]["level"] == "INFO", "{found:#?}");
    }
    ensure!(!lines.iter().any(|line| line["message"] == "panicked"), "a panic");
    Ok(())
}

// NAME: requests: an event that is no request is answered, and is no fault of the function
#[tokio::test]
async fn no_request() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut answered = Vec::new();
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let http = |http: Value| {
        json!({ "version": "2.0", "rawPath": "/", "requestContext": { "http": http } }).to_string()
    };
    for event in [
        "",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        &nested,
        r#"{"headers":{"a":"\ud800"}}"#,
        r#"{"a":1e999}"#,
        r#"{"source":"aws.scheduler"}"#,
        r#"{"Records":[{"body":"{}"}]}"#,
        &http(json!(null)),
        &http(json!({ "method": "GET /" })),
        &http(json!({ "method": 7 })),
    ] {
        let id = Uuid::new_v4();
        let answer = invoke(&stack, "list-agents", id, event.as_bytes()).await;
        let answer = answer.with_context(|| event.chars().take(100).collect::<String>())?;
        ensure!(
            answer.status == 400 && answer.body["code"] == "malformed_request",
            "{event}: {:#}",
            answer.body
        );
        ensure!(
            answer.body["instance"] == "/" && answer.body["requestId"] == id.to_string(),
            "{:#}",
            answer.body
        );
        answered.push((id, 400));
    }
    ensure!(stack.lambda().failures().is_empty(), "{:?}", stack.lambda().failures());
    have_lines(&stack, &answered).await
}

// NAME: requests: no request wakes the orchestrator as if it were the schedule
#[tokio::test]
async fn no_schedule() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut answered = Vec::new();
    for event in [
        json!({ "httpMethod": "POST", "path": "/", "headers": {}, "requestContext": { "stage": "prod" } }),
        json!({ "httpMethod": "POST", "path": "/", "headers": {}, "requestContext": { "elb": {} } }),
        json!({ "requestContext": { "http": null } }),
        json!({ "rawPath": "/", "routeKey": "$default" }),
        json!({ "headers": { "x-webhook-secret": ["a", "b"] } }),
    ] {
        let id = Uuid::new_v4();
        let answer = invoke(&stack, "route-events", id, event.to_string().as_bytes()).await?;
        ensure!(
            answer.status == 401 && answer.body["code"] == "webhook_secret_refused",
            "{event}: {:#}",
            answer.body
        );
        answered.push((id, 401));
    }
    // What says nothing of HTTP is the schedule's, whatever it is.
    for event in ["{}", "null", r#"{"a":1e999}"#] {
        let event = Bytes::copy_from_slice(event.as_bytes());
        let id = Uuid::new_v4().to_string();
        let run = stack.lambda().function("route-events")?.invoke(&id, "Root=1-0-0", event).await;
        ensure!(run.is_ok(), "{run:?}");
    }
    have_lines(&stack, &answered).await
}
