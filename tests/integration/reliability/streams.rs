//! Streams of events: failures before, in and after them, and their log line.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::{LocalStack, http};
use serde_json::{Value, json};

use crate::support::client::send_request;
use crate::support::streaming::{
    self, APP, FAILURE, FUNCTION, body_of_steps, post_steps, send, urls, wait, wait_until,
};

const TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn failed_stream_ends_with_the_error_event_and_its_process_goes_on() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    for url in urls(&stack) {
        for (steps, expected) in [
            (vec![], FAILURE.to_owned()),
            (vec![wait(50)], FAILURE.to_owned()),
            (vec![json!({ "do": "panic" })], FAILURE.to_owned()),
            (vec![json!({ "do": "fail" })], FAILURE.to_owned()),
            (vec![send(1), wait(50), json!({ "do": "panic" })], format!("data: 1\n\n{FAILURE}")),
            (vec![send(1), json!({ "do": "fail" })], format!("data: 1\n\n{FAILURE}")),
            (
                vec![json!({ "do": "send last", "event": "over" }), json!({ "do": "panic" })],
                "data: \"over\"\n\n".to_owned(),
            ),
        ] {
            let body = body_of_steps(&url, &steps).await?;
            ensure!(body == expected, "{url} {steps:?}: expected {expected:?}, found {body:?}");
        }
    }
    ensure!(stack.lambda().failures().is_empty(), "{:?}", stack.lambda().failures());
    Ok(())
}

#[tokio::test]
async fn stream_has_ended_before_lambda_kills_the_function() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), Duration::from_secs(1)).await?;
    for url in urls(&stack) {
        let body = body_of_steps(&url, &[send(1), wait(60_000)]).await?;
        ensure!(body == format!("data: 1\n\n{FAILURE}"), "{url}: {body:?}");
    }
    ensure!(stack.lambda().failures().is_empty(), "{:?}", stack.lambda().failures());
    let lines = metric_lines(&stack).await?;
    ensure!(lines.len() == 2, "expected 2 lines, found {lines:#?}");
    for line in lines {
        ensure!(line["code"] == "deadline_exceeded" && line["ServerErrors"] == 1.0, "{line:#}");
    }
    Ok(())
}

#[tokio::test]
async fn part_does_not_wait_until_lambda_acknowledges_the_previous_one() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    let [url, _] = urls(&stack);
    // Linux acknowledges the first parts of a connection at once, and later ones after 40 ms.
    let pair = [send("first"), wait(10), send("second"), wait(60)];
    let steps: Vec<_> = std::iter::repeat_n(pair, 30).flatten().collect();
    let mut response = post_steps(&url, &steps).await?;
    let (mut first, mut gaps) = (None, Vec::new());
    while let Some(part) = response.chunk().await? {
        let received = String::from_utf8_lossy(&part).into_owned();
        let first: Option<Instant> =
            std::mem::replace(&mut first, received.contains("first").then(Instant::now));
        // On a busy machine, both may arrive together, which shows nothing.
        if let Some(first) = first.filter(|_| received.contains("second")) {
            gaps.push(first.elapsed());
        }
    }
    let later = gaps.iter().skip(gaps.len() / 2).min().context("no two parts arrived one by one")?;
    ensure!(*later < Duration::from_millis(30), "parts with 10 ms between them arrive after {gaps:?}");
    Ok(())
}

#[tokio::test]
async fn problem_before_the_stream_can_be_read_by_the_page() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    for url in urls(&stack) {
        let request = || http::client().post(&url).header("origin", APP);
        let with_secret = || request().bearer_auth("a-client-secret");
        for (request, status, code) in [
            (with_secret().json(&json!({ "steps": [{ "do": "refuse" }] })), 404, "session_not_found"),
            (request().json(&json!({})), 401, "missing_client_secret"),
            (with_secret().header("content-type", "application/json").body("{"), 400, "malformed_body"),
            (with_secret().body("{}"), 415, "unsupported_media_type"),
        ] {
            let response = send_request(request).await?;
            let allowed = response.headers.get("access-control-allow-origin");
            ensure!(allowed.is_some_and(|origin| origin == APP), "{url} {code}: {response:?}");
            response.problem(status, code).with_context(|| url.clone())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn preflight_allows_what_chatkit_sends() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    for url in urls(&stack) {
        let names = "accept-language,authorization,chatkit-frame-instance-id,content-type,idempotency-key";
        let request = http::client().request(Method::OPTIONS, &url).header("origin", APP);
        let request = request.header("access-control-request-method", "POST");
        let response = request.header("access-control-request-headers", names).send().await?;
        ensure!(response.status() == 200, "{url}: {response:?}");
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        ensure!(header("access-control-allow-origin") == Some(APP), "{url}: {response:?}");
        let allowed: Vec<_> =
            header("access-control-allow-headers").unwrap_or_default().split(", ").collect();
        let missing = names.split(',').find(|name| !allowed.contains(name));
        ensure!(missing.is_none(), "{url} does not allow {missing:?}: {allowed:?}");
        ensure!(!response.text().await?.is_empty(), "{url}: expected a body");
    }
    let lines = metric_lines(&stack).await?;
    ensure!(lines.iter().all(|line| line["preflight_refused"].is_null()), "{lines:#?}");
    Ok(())
}

#[tokio::test]
async fn request_has_one_line_when_its_stream_has_ended() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    let [url, _] = urls(&stack);
    let steps = [send(1), wait(100), json!({ "do": "measure" }), wait(200), send(2)];
    let mut response = post_steps(&url, &steps).await?;
    let id = response.headers()["x-request-id"].to_str()?.to_owned();
    ensure!(response.chunk().await?.is_some(), "expected the first event");
    let lines_now = || stack.logs().iter().filter(|line| line.contains(&id)).count();
    ensure!(lines_now() == 0, "expected no line while the stream runs");
    drop(response.text().await?);
    // Lambda may freeze the process when the response has ended, so the line is there already. It
    // arrives through a pipe.
    wait_until("the line arrives", || lines_now() == 1).await?;
    post_steps(&url, &[send(1), json!({ "do": "panic" })]).await?.text().await?;
    streaming::post(&url, &json!({})).await?.text().await?;

    let lines = metric_lines(&stack).await?;
    ensure!(lines.len() == 3, "expected 3 lines, found {lines:#?}");
    let [line, failed, buffered] = &lines[..] else { unreachable!() };
    for (name, expected) in [
        ("request_id", json!(id)),
        ("message", json!("answered")),
        ("status", json!(200)),
        ("function", json!(FUNCTION)),
        ("route", json!("/chatkit")),
        ("InputTokens", json!(12.0)),
        ("OutputTokens", json!(34.0)),
        ("StoppedResponses", json!(1.0)),
        ("Requests", json!(1.0)),
    ] {
        let found = &line[name];
        let is_equal =
            found == &expected || found.as_f64().is_some_and(|found| Some(found) == expected.as_f64());
        ensure!(is_equal, "{name}: expected {expected}, found {found} in {line:#}");
    }
    let first_token = line["TimeToFirstToken"].as_f64().context("no time to the first token")?;
    let duration = line["duration_ms"].as_f64().context("no duration")?;
    ensure!((100.0..duration - 190.0).contains(&first_token), "{first_token} of {duration} ms");
    ensure!(failed["code"] == "internal_error" && failed["status"] == 500, "{failed:#}");
    ensure!(
        failed.get("TimeToFirstToken").is_none() && failed.get("StoppedResponses").is_none(),
        "{failed:#}"
    );
    ensure!(buffered["status"] == 200 && buffered.get("code").is_none(), "{buffered:#}");
    Ok(())
}

/// Ends the functions and returns the lines of requests. Fails if a request has another line beside
/// those of panics.
async fn metric_lines(stack: &LocalStack) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for line in stack.final_logs().await {
        let line: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        match line["_aws"].is_object() {
            true => found.push(line),
            false => ensure!(
                line["request_id"].is_null() || line["message"] == "panicked",
                "expected one line a request, found {line:#}"
            ),
        }
    }
    Ok(found)
}
