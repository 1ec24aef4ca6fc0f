//! A stack with the example program that streams, and its responses part by part.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_client::{Method, Response};
use local_stack::lambda::{DeployedFunction, Profile, Route, example};
use local_stack::{Builder, LocalStack, http};
use serde_json::{Value, json};

/// The function that runs the example.
pub const FUNCTION: &str = "stream";

/// The page that may call the function.
pub const APP: &str = "https://app.example.com";

/// The event of a failed stream.
pub const FAILURE: &str = "data: {\"type\":\"error\",\"code\":\"stream.error\",\"allow_retry\":true}\n\n";

/// The deployment of a function that streams, with its URL and a REST API.
pub fn deployment(timeout: Duration) -> DeployedFunction {
    let route =
        |method| Route { function: FUNCTION.to_owned(), method: Some(method), path: "/chatkit".to_owned() };
    DeployedFunction {
        variables: ["SUPABASE_URL", "CORS_ALLOWED_ORIGINS"].map(str::to_owned).into(),
        timeout,
        streams: true,
        rest_routes: vec![route(Method::POST), route(Method::OPTIONS)],
        ..DeployedFunction::default()
    }
}

/// Starts a stack with only the example.
pub async fn start(stack: Builder, timeout: Duration) -> Result<LocalStack> {
    let program = example("baseline-functions", "stream", "streaming", Profile::Dev).await?;
    let stack = stack.binaries([(FUNCTION.to_owned(), program)].into()).env("CORS_ALLOWED_ORIGINS", APP);
    stack.deployment(FUNCTION, deployment(timeout)).start().await
}

/// The URLs under which the function streams.
pub fn urls(stack: &LocalStack) -> [String; 2] {
    [format!("{}/chatkit", stack.function_url(FUNCTION)), format!("{}/chatkit", stack.rest_api_url())]
}

/// Sends a request as ChatKit.js does.
pub async fn post(url: &str, body: &Value) -> Result<Response> {
    let request = http::client().post(url).bearer_auth("a-client-secret").header("origin", APP);
    let request = request.header("accept-language", "de").header("chatkit-frame-instance-id", "frame-1");
    request.json(body).send().await.with_context(|| format!("calling {url}"))
}

/// Sends the steps of a stream.
pub async fn post_steps(url: &str, steps: &[Value]) -> Result<Response> {
    post(url, &json!({ "steps": steps })).await
}

/// A step that sends an event.
pub fn send(event: impl Into<Value>) -> Value {
    json!({ "do": "send", "event": event.into() })
}

/// A step that waits.
pub fn wait(ms: u64) -> Value {
    json!({ "do": "wait", "ms": ms })
}

/// Sends steps, requires status 200, and returns the whole body.
pub async fn body_of_steps(url: &str, steps: &[Value]) -> Result<String> {
    let response = post_steps(url, steps).await?;
    ensure!(response.status() == 200, "expected the status 200, found {response:?}");
    response.text().await.context("reading the body")
}

/// Waits until a condition holds.
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !condition() {
        ensure!(started.elapsed() < Duration::from_secs(10), "waited 10 seconds until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
