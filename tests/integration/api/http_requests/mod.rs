//! Unusual requests through every entry point, as documented in `docs/reference/requests.md`.

mod cases;
mod entry_points;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, ensure};
use axum::{body::Bytes, http::Method};
use local_stack::{LocalStack, http, lambda};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, send_request};
use crate::support::markdown;
use crate::support::project_files::{ensure_same, read_text};
use cases::Row;
use entry_points::EntryPoint;

#[tokio::test]
async fn function_urls_respond_as_documented() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    check_over_http(|function| stack.function_url(function), &caller, &session, true).await
}

#[tokio::test]
async fn documentation_lists_exactly_the_tested_requests() -> Result<()> {
    let page = read_text("docs/reference/requests.md")?;
    let mut documented = BTreeSet::new();
    for section in page.split("\n## ").skip(1) {
        let rows = markdown::table(section, "request");
        documented.extend(rows.into_iter().filter_map(|row| row.into_iter().next()));
    }
    let tested = cases::all().into_iter().map(|row| row.name.to_owned()).collect();
    ensure_same(("docs/reference/requests.md", &documented), ("the tests", &tested))
}

#[tokio::test]
async fn every_entry_point_responds_alike_and_logs_one_line() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let routes = &lambda::workspace().await?.routes;
    let (mut failures, mut requests) = (Vec::new(), Vec::new());
    for row in cases::all() {
        for entry_point in entry_points::ALL {
            // A REST API passes the decoded parameters instead of the query.
            if entry_point == EntryPoint::RestApi
                && row.name.starts_with("a query with a character that has to be")
            {
                continue;
            }
            let mut event = entry_point.event(routes, row.request(&caller, &session))?;
            if let Some(change) = row.change {
                change(&mut event);
            }
            let id = Uuid::new_v4();
            let response = invoke(&stack, row.function, id, event.to_string().as_bytes()).await;
            let path = row.path(&session);
            let instance = entry_point.path(path.split('?').next().unwrap_or_default());
            if let Err(error) = response.and_then(|response| check_response(&row, &response, &instance)) {
                failures.push(format!("{} {} ({entry_point:?}): {error:#}", row.name, row.path));
            }
            requests.push((id, row.status));
        }
    }
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), requests.len(), failures.join("\n"));
    expect_log_lines(&stack, &requests).await
}

#[tokio::test]
async fn malformed_event_returns_400_without_a_failed_invocation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut requests = Vec::new();
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let http_event = |http: Value| {
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
        &http_event(json!(null)),
        &http_event(json!({ "method": "GET /" })),
        &http_event(json!({ "method": 7 })),
    ] {
        let id = Uuid::new_v4();
        let name: String = event.chars().take(100).collect();
        let response = invoke(&stack, "list-agents", id, event.as_bytes()).await;
        let response = response.with_context(|| name.clone())?;
        let body = &response.body;
        ensure!(
            response.status == 400 && body["code"] == "malformed_request",
            "{name}: expected 400 malformed_request, found {} {body:#}",
            response.status
        );
        ensure!(
            body["instance"] == "/" && body["requestId"] == id.to_string(),
            "{name}: expected the instance / and the request id {id}, found {body:#}"
        );
        requests.push((id, 400));
    }
    let failures = stack.lambda().failures();
    ensure!(failures.is_empty(), "expected no failed invocations, found {failures:?}");
    expect_log_lines(&stack, &requests).await
}

/// Only format 2.0 has `requestContext.http`. A member `httpMethod` does not change that.
#[tokio::test]
async fn event_with_members_of_both_formats_is_read_as_format_2() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let routes = &lambda::workspace().await?.routes;
    let row = cases::all().into_iter().find(|row| row.status == 201 && row.change.is_none());
    let row = row.context("no request is accepted")?;
    let mut event = EntryPoint::HttpApi.event(routes, row.request(&caller, &session))?;
    event["httpMethod"] = "GET".into();
    event["path"] = "/chatkit/agents".into();
    let response = invoke(&stack, row.function, Uuid::new_v4(), event.to_string().as_bytes()).await?;
    check_response(&row, &response, &row.path(&session))
}

#[tokio::test]
async fn webhook_rejects_every_event_without_its_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut requests = Vec::new();
    for event in [
        json!({ "httpMethod": "POST", "path": "/", "headers": {}, "requestContext": { "stage": "prod" } }),
        json!({ "httpMethod": "POST", "path": "/", "headers": {}, "requestContext": { "elb": {} } }),
        json!({ "requestContext": { "http": null } }),
        json!({ "rawPath": "/", "routeKey": "$default" }),
        json!({ "headers": { "x-webhook-secret": ["a", "b"] } }),
        json!({}),
        json!({ "version": "0", "source": "aws.scheduler", "detail": {} }),
    ] {
        let id = Uuid::new_v4();
        let response = invoke(&stack, "receive-webhook", id, event.to_string().as_bytes()).await?;
        ensure!(
            response.status == 401 && response.body["code"] == "webhook_secret_refused",
            "{event}: expected 401 webhook_secret_refused, found {} {:#}",
            response.status,
            response.body
        );
        requests.push((id, 401));
    }
    // Any event starts a run of the function that the webhook starts.
    for event in ["{}", "null", r#"{"a":1e999}"#] {
        let payload = Bytes::copy_from_slice(event.as_bytes());
        let id = Uuid::new_v4().to_string();
        let run = stack.lambda().function("route-events")?.invoke(&id, "Root=1-0-0", payload).await;
        ensure!(run.is_ok(), "{event}: {run:?}");
    }
    expect_log_lines(&stack, &requests).await
}

/// Sends the rows that an HTTP client can send to functions' own URLs. Without
/// `keeps_repeated_headers`, rows that repeat a header are skipped.
pub async fn check_over_http(
    url: impl Fn(&str) -> String,
    caller: &TestClient,
    session: &str,
    keeps_repeated_headers: bool,
) -> Result<()> {
    let mut failures = Vec::new();
    for row in cases::all().into_iter().filter(|row| row.change.is_none()) {
        let (parts, body) = row.request(caller, session).into_parts();
        if !keeps_repeated_headers && parts.headers.len() > parts.headers.keys_len() {
            continue;
        }
        let url = format!("{}{}", url(row.function), parts.uri);
        let request = http::client().request(parts.method.clone(), url);
        let response = send_request(request.headers(parts.headers).body(body)).await;
        // A response to HEAD does not have a body.
        let code = row.code.filter(|_| parts.method != Method::HEAD);
        match response {
            Ok(response) if response.status == row.status && response.body["code"].as_str() == code => {}
            other => failures.push(format!(
                "{} {}: expected {} {code:?}, found {other:?}",
                row.name, row.path, row.status
            )),
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// The response of a function to an event.
struct FunctionResponse {
    status: u64,
    headers: BTreeMap<String, Value>,
    body: Value,
}

/// Passes an event to a function, as Lambda does.
async fn invoke(stack: &LocalStack, function: &str, id: Uuid, event: &[u8]) -> Result<FunctionResponse> {
    let event = Bytes::copy_from_slice(event);
    let response = stack.lambda().function(function)?.invoke(&id.to_string(), "Root=1-0-0", event).await;
    let response = response.map_err(|failure| anyhow!("the invocation failed: {failure:?}"))?;
    let response: Value = serde_json::from_slice(&response)?;
    let body = response["body"].as_str().map(serde_json::from_str).transpose()?.unwrap_or_default();
    let headers = serde_json::from_value(response["headers"].clone())?;
    let status = response["statusCode"].as_u64().context("the response has no status")?;
    Ok(FunctionResponse { status, headers, body })
}

fn check_response(row: &Row, response: &FunctionResponse, instance: &str) -> Result<()> {
    let (headers, body) = (&response.headers, &response.body);
    ensure!(
        response.status == u64::from(row.status),
        "expected {}, found {} {body:#}",
        row.status,
        response.status
    );
    ensure!(body["code"].as_str() == row.code, "expected the code {:?}, found {body:#}", row.code);
    if let Some((name, value)) = row.response_header {
        ensure!(headers.get(name) == Some(&json!(value)), "expected {name}: {value}, found {headers:?}");
    }
    if row.code.is_some() {
        ensure!(headers["content-type"] == "application/problem+json", "expected a problem: {headers:?}");
        ensure!(body["instance"] == instance, "expected the instance {instance}, found {}", body["instance"]);
    }
    Ok(())
}

/// Checks that each response has one log line with its metrics.
async fn expect_log_lines(stack: &LocalStack, requests: &[(Uuid, u16)]) -> Result<()> {
    let lines = stack.final_logs().await;
    let lines = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    for (id, status) in requests {
        let found: Vec<_> = lines
            .iter()
            .filter(|line| line["request_id"] == id.to_string() && line["Requests"].is_number())
            .collect();
        ensure!(
            found.len() == 1 && found[0]["status"] == *status && found[0]["level"] == "INFO",
            "expected one line with the status {status} and the level INFO, found {found:#?}"
        );
    }
    ensure!(!lines.iter().any(|line| line["message"] == "panicked"), "a function panicked");
    Ok(())
}
