//! Cross-origin requests: which origins may call the API, and the headers of the responses.

mod preflight;
mod responses;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use http_client::{Method, header::HeaderMap};
use local_stack::{Builder, LocalStack, http, lambda};

use crate::support::client::{TestClient, TestResponse, send_request};

const APP: &str = "https://app.example.com";
const LOCAL: &str = "http://localhost:3000";

/// Every path, its methods, and the function that answers its preflight at the HTTP API.
const PATHS: [(&str, &[&str], &str); 14] = [
    ("/chatkit/agents", &["GET"], "list-agents"),
    ("/chatkit/changes", &["GET"], "list-changes"),
    ("/chatkit/metrics", &["GET"], "get-metrics"),
    ("/chatkit/escalations", &["GET"], "list-escalations"),
    ("/chatkit/escalations/01981d3c-0000-7000-8000-000000000000", &["GET"], "get-escalation"),
    ("/chatkit/escalations/01981d3c-0000-7000-8000-000000000000/claim", &["POST"], "claim-escalation"),
    ("/chatkit/escalations/01981d3c-0000-7000-8000-000000000000/release", &["POST"], "release-escalation"),
    ("/chatkit/escalations/01981d3c-0000-7000-8000-000000000000/decision", &["POST"], "decide-escalation"),
    ("/chatkit/sessions", &["GET", "POST"], "list-sessions"),
    ("{session}", &["GET"], "get-session"),
    ("{session}/messages", &["GET"], "list-messages"),
    ("{session}/events", &["GET", "POST"], "list-events"),
    ("{session}/cancel", &["POST"], "cancel-session"),
    ("{session}/stop", &["POST"], "stop-response"),
];

/// Functions without a route of the HTTP API.
const WITHOUT_ROUTES: [&str; 6] =
    ["doctor", "erase-user", "expire-sessions", "receive-webhook", "route-events", "serve-chatkit"];

#[tokio::test]
async fn every_function_with_a_route_is_covered() -> Result<()> {
    let workspace = lambda::workspace().await?;
    let covered: BTreeSet<_> =
        PATHS.iter().map(|(_, _, function)| *function).chain(["create-session", "record-events"]).collect();
    for function in &workspace.functions {
        let has_routes = !workspace.template.function(function)?.routes.is_empty();
        let is_covered = covered.contains(function.as_str());
        ensure!(is_covered == has_routes, "{function}: has routes: {has_routes}, covered: {is_covered}");
        let expected = !WITHOUT_ROUTES.contains(&function.as_str());
        ensure!(has_routes == expected, "{function}: has routes: expected {expected}, found {has_routes}");
    }
    Ok(())
}

#[tokio::test]
async fn empty_configuration_allows_no_origin() -> Result<()> {
    let stack = LocalStack::builder().env("CORS_ALLOWED_ORIGINS", "").start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    for origin in [APP, LOCAL, "null", "*", ""] {
        let response = send_preflight(&format!("{}{session}", stack.api_url()), origin, "GET").await?;
        expect_no_cors_headers(&response)?;
        response.problem(403, "origin_forbidden")?;
        let response = caller.send(Method::GET, &session, &[("origin", origin)], None).await?;
        expect_no_cors_headers(&response)?;
        response.expect(200)?;
    }
    Ok(())
}

fn with_two_origins() -> Builder {
    LocalStack::builder().env("CORS_ALLOWED_ORIGINS", &format!("{APP}, {LOCAL}"))
}

/// Sends a preflight as a browser does, without a token.
async fn send_preflight(url: &str, origin: &str, method: &str) -> Result<TestResponse> {
    let request = http::client().request(Method::OPTIONS, url).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    let headers = "authorization,content-type,idempotency-key";
    send_request(request.header("access-control-request-headers", headers)).await
}

/// The value of a header, or an empty string.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Checks that the preflight permits the browser to send the request.
fn expect_allowed(response: &TestResponse, origin: &str) -> Result<()> {
    let value = |name| header(&response.headers, name);
    ensure!(response.status == 204 && response.body.is_null(), "expected an empty 204, found {response:?}");
    ensure!(
        value("access-control-allow-origin") == origin,
        "expected the origin {origin}, found {response:?}"
    );
    let methods: Vec<_> = value("access-control-allow-methods").split(", ").collect();
    ensure!(
        methods.contains(&"GET") && methods.contains(&"POST"),
        "expected GET and POST, found {methods:?}"
    );
    let headers = value("access-control-allow-headers").to_ascii_lowercase();
    for needed in ["authorization", "content-type", "idempotency-key", "if-none-match"] {
        ensure!(headers.split(", ").any(|name| name == needed), "expected {needed}, found {headers}");
    }
    let max_age = value("access-control-max-age").parse::<u32>()?;
    ensure!((1..=7200).contains(&max_age), "expected a maximum age of 1 to 7200, found {max_age}");
    expect_vary_origin(response)
}

/// Checks that caches keep the responses of origins apart, and that `*` is not allowed. Tokens are
/// sent in a header, so browsers do not need to send credentials.
fn expect_vary_origin(response: &TestResponse) -> Result<()> {
    let value = |name| header(&response.headers, name);
    ensure!(
        value("vary").split(',').any(|name| name.trim().eq_ignore_ascii_case("origin")),
        "expected Vary: origin, found {response:?}"
    );
    ensure!(value("access-control-allow-origin") != "*", "every origin is allowed: {response:?}");
    ensure!(
        !response.headers.contains_key("access-control-allow-credentials"),
        "credentials are allowed: {response:?}"
    );
    let origins = response.headers.get_all("access-control-allow-origin").iter().count();
    ensure!(origins <= 1, "expected at most one origin, found {response:?}");
    Ok(())
}

/// Checks that a page of another origin cannot read the response.
fn expect_no_cors_headers(response: &TestResponse) -> Result<()> {
    let found = response.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
    ensure!(found.is_none(), "expected no Access-Control headers, found {found:?}: {response:?}");
    expect_vary_origin(response)
}
