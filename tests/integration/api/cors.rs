//! Pages of configured origins may call the API, and no others; every answer says so, the unwelcome ones too.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use http_client::{Method, header::HeaderMap};
use local_stack::{Builder, LocalStack, http, lambda};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, TestResponse, reply};
use crate::support::{markdown, project_files};

const APP: &str = "https://app.example.com";
const LOCAL: &str = "http://localhost:3000";

/// Every path, with the methods that are behind it, and the function that its preflight reaches.
const PATHS: [(&str, &[&str], &str); 9] = [
    ("/chatkit/agents", &["GET"], "list-agents"),
    ("/chatkit/metrics", &["GET"], "get-metrics"),
    ("/chatkit/escalations", &["GET"], "list-escalations"),
    ("/chatkit/escalations/01981d3c-0000-7000-8000-000000000000/decision", &["POST"], "decide-escalation"),
    ("/chatkit/sessions", &["GET", "POST"], "list-sessions"),
    ("{session}", &["GET"], "get-session"),
    ("{session}/messages", &["GET"], "list-messages"),
    ("{session}/events", &["POST"], "record-events"),
    ("{session}/cancel", &["POST"], "cancel-session"),
];

fn two() -> Builder {
    LocalStack::builder().env("CORS_ALLOWED_ORIGINS", &format!("{APP}, {LOCAL}"))
}

// NAME: cors: each function's own URL answers a preflight
#[tokio::test]
async fn own_url() -> Result<()> {
    let stack = two().start().await?;
    let session = TestClient::new(&stack).await?.open_path().await?;
    let reached = PATHS.iter().map(|(path, methods, function)| (*path, methods[0], *function));
    for (path, method, function) in reached.chain([("/chatkit/sessions", "POST", "create-session")]) {
        let url = format!("{}{}", stack.function_url(function), path.replace("{session}", &session));
        granted(&preflight(&url, APP, method).await?, APP)?;
        preflight(&url, "https://evil.example.com", method).await?.problem(403, "origin_forbidden")?;
    }
    Ok(())
}

/// A preflight as a browser sends it: without a token.
async fn preflight(url: &str, origin: &str, method: &str) -> Result<TestResponse> {
    let request = http::client().request(Method::OPTIONS, url).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    let headers = "authorization,content-type,idempotency-key";
    reply(request.header("access-control-request-headers", headers)).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What a browser needs to go on.
fn granted(reply: &TestResponse, origin: &str) -> Result<()> {
    let of = |name| header(&reply.headers, name);
    ensure!(reply.status == 204 && reply.body.is_null(), "{reply:?}");
    ensure!(of("access-control-allow-origin") == origin, "{reply:?}");
    let methods: Vec<_> = of("access-control-allow-methods").split(", ").collect();
    ensure!(methods.contains(&"GET") && methods.contains(&"POST"), "{methods:?}");
    let headers = of("access-control-allow-headers").to_ascii_lowercase();
    for needed in ["authorization", "content-type", "idempotency-key", "if-none-match"] {
        ensure!(headers.split(", ").any(|name| name == needed), "{needed} is missing: {headers}");
    }
    ensure!((1..=7200).contains(&of("access-control-max-age").parse::<u32>()?), "{reply:?}");
    varies(reply)
}

/// A cache must not hand one origin's answer to another; and tokens come in a header, so credentials are nobody's business.
fn varies(reply: &TestResponse) -> Result<()> {
    let of = |name| header(&reply.headers, name);
    ensure!(of("vary").split(',').any(|name| name.trim().eq_ignore_ascii_case("origin")), "{reply:?}");
    ensure!(of("access-control-allow-origin") != "*", "anybody: {reply:?}");
    ensure!(!reply.headers.contains_key("access-control-allow-credentials"), "{reply:?}");
    ensure!(reply.headers.get_all("access-control-allow-origin").iter().count() <= 1, "{reply:?}");
    Ok(())
}

/// Nothing that a browser could read as leave.
fn unmarked(reply: &TestResponse) -> Result<()> {
    let leave = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
    ensure!(leave.is_none(), "{leave:?} in {reply:?}");
    varies(reply)
}

// NAME: cors: a preflight of a configured origin is answered
#[tokio::test]
async fn preflights() -> Result<()> {
    let stack = two().start().await?;
    let session = TestClient::new(&stack).await?.open_path().await?;
    for (path, methods, _) in PATHS {
        let url = format!("{}{}", stack.api_url(), path.replace("{session}", &session));
        for (method, origin) in methods.iter().flat_map(|method| [(method, APP), (method, LOCAL)]) {
            granted(&preflight(&url, origin, method).await?, origin)?;
        }
    }
    Ok(())
}

const OTHERS: [&str; 9] = [
    "https://evil.example.com",
    "https://app.example.com.evil.example.com",
    "https://evil-app.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://APP.example.com",
    "http://localhost",
    "null",
    "*",
];

// NAME: cors: a preflight of any other origin is refused
#[tokio::test]
async fn refused() -> Result<()> {
    let stack = two().start().await?;
    let session = TestClient::new(&stack).await?.open_path().await?;
    for (path, methods, _) in PATHS {
        let url = format!("{}{}", stack.api_url(), path.replace("{session}", &session));
        for origin in OTHERS {
            let reply = preflight(&url, origin, methods[0]).await?;
            unmarked(&reply)?;
            reply.problem(403, "origin_forbidden")?;
        }
    }
    Ok(())
}

/// The headers that say something to a page are for it to read.
fn readable(reply: &TestResponse) -> Result<()> {
    let readable = header(&reply.headers, "access-control-expose-headers");
    for needed in ["etag", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"] {
        ensure!(readable.split(", ").any(|name| name == needed), "{needed} cannot be read: {readable}");
    }
    Ok(())
}

// NAME: cors: what a page is told to wait for it can read
/// A page that sends a key and is told of its limit, until that is reached.
#[tokio::test]
async fn throttled() -> Result<()> {
    let stack = two().start().await?;
    let caller = TestClient::new(&stack).await?;
    let limits = json!({ "p_org_id": caller.user.org_id, "p_secrets_per_minute_user": 1 });
    let (status, answer) = stack.rpc("set_org_limits", limits).await?;
    ensure!(status.is_success(), "{answer}");
    for (key, status) in [("1", 201), ("2", 429)] {
        let headers = [("origin", APP), ("idempotency-key", key)];
        let body = json!({ "agentId": AGENT });
        let reply = caller.send(Method::POST, "/chatkit/sessions", &headers, Some(body)).await?;
        ensure!(reply.status == status, "{reply:?} instead of {status}");
        ensure!(header(&reply.headers, "access-control-allow-origin") == APP, "{reply:?}");
        for told in ["ratelimit", "ratelimit-policy"] {
            ensure!(!header(&reply.headers, told).is_empty(), "no {told}: {reply:?}");
        }
        ensure!(reply.headers.contains_key("retry-after") == (status == 429), "{reply:?}");
        readable(&reply)?;
        varies(&reply)?;
    }
    Ok(())
}

// NAME: cors: every function with a door is among these
/// Whatever has a route is in the list above; what has none has nobody to answer.
#[tokio::test]
async fn every_door() -> Result<()> {
    let workspace = lambda::workspace().await?;
    let listed: BTreeSet<_> =
        PATHS.iter().map(|(_, _, function)| *function).chain(["create-session"]).collect();
    for function in &workspace.functions {
        let has_routes = !workspace.template.function(function)?.routes.is_empty();
        ensure!(listed.contains(function.as_str()) == has_routes, "{function} has routes: {has_routes}");
        let has_no_callers =
            ["doctor", "erase-user", "expire-sessions", "route-events"].contains(&function.as_str());
        ensure!(has_routes != has_no_callers, "{function} has routes: {has_routes}");
    }
    Ok(())
}

// NAME: cors: every answer is marked for its origin, problems too
/// An answer, a 304, and problems from before and behind the token.
#[tokio::test]
async fn marked() -> Result<()> {
    let stack = two().start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let etag = header(&caller.get(&session).await?.headers, "etag").to_owned();
    let nameless = |origin: &str| {
        let request = http::client().get(format!("{}{session}", stack.api_url())).header("origin", origin);
        reply(request)
    };
    for (origin, is_ours) in
        [(APP, true), (LOCAL, true), ("https://evil.example.com", false), ("null", false)]
    {
        let with = [("origin", origin)];
        let known = [("origin", origin), ("if-none-match", &etag)];
        for (reply, status) in [
            (caller.send(Method::GET, &session, &with, None).await?, 200),
            (caller.send(Method::GET, &session, &known, None).await?, 304),
            (caller.send(Method::GET, "/chatkit/sessions/7", &with, None).await?, 400),
            (caller.send(Method::POST, "/chatkit/sessions", &with, None).await?, 415),
            (nameless(origin).await?, 401),
            (caller.at(stack.function_url("get-session")).send(Method::GET, "/", &with, None).await?, 404),
            (
                caller.at(stack.function_url("get-session")).send(Method::PUT, &session, &with, None).await?,
                405,
            ),
        ] {
            ensure!(reply.status == status, "{reply:?} instead of {status}");
            if !is_ours {
                unmarked(&reply)?;
                continue;
            }
            ensure!(header(&reply.headers, "access-control-allow-origin") == origin, "{reply:?}");
            readable(&reply)?;
            varies(&reply)?;
        }
    }
    // Who is no page names no origin.
    unmarked(&caller.get(&session).await?)
}

// NAME: cors: without configured origins no page may call
#[tokio::test]
async fn nobody() -> Result<()> {
    let stack = LocalStack::builder().env("CORS_ALLOWED_ORIGINS", "").start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    for origin in [APP, LOCAL, "null", "*", ""] {
        let reply = preflight(&format!("{}{session}", stack.api_url()), origin, "GET").await?;
        unmarked(&reply)?;
        reply.problem(403, "origin_forbidden")?;
        let reply = caller.send(Method::GET, &session, &[("origin", origin)], None).await?;
        unmarked(&reply)?;
        reply.expect(200)?;
    }
    Ok(())
}

/// Origins of apps, and of every name below a domain; and a header of the page's own.
fn others() -> Builder {
    let origins = format!("{APP},{},https://*.preview.example.com:8443,{LOCAL}", OF_APPS.join(","));
    LocalStack::builder()
        .env("CORS_ALLOWED_ORIGINS", &origins)
        .env("CORS_ALLOWED_HEADERS", "X-Tenant, x-app-version")
}

const OF_APPS: [&str; 4] = [
    "capacitor://localhost",
    "ionic://localhost",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "http://localhost:5173",
];

// NAME: cors: apps, extensions and names below a domain may call
#[tokio::test]
async fn other_origins() -> Result<()> {
    let stack = others().start().await?;
    let url = format!("{}/chatkit/sessions", stack.api_url());
    let below = ["https://pr-7.preview.example.com:8443", "https://a.b.preview.example.com:8443"];
    for origin in OF_APPS.into_iter().chain(below) {
        granted(&preflight(&url, origin, "POST").await?, origin)?;
    }
    for origin in [
        "https://preview.example.com:8443",
        "https://pr-7.preview.example.com",
        "http://pr-7.preview.example.com:8443",
        "https://pr-7.preview.example.com:8443.evil.example",
        "https://evil-preview.example.com:8443",
        "capacitor://localhost:1",
        "ionic://localhost2",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnoq",
        "null",
    ] {
        let reply = preflight(&url, origin, "POST").await?;
        unmarked(&reply)?;
        reply.problem(403, "origin_forbidden")?;
    }
    Ok(())
}

// NAME: cors: headers of tracing libraries and of the configuration are allowed
#[tokio::test]
async fn headers() -> Result<()> {
    let stack = others().start().await?;
    let reply = preflight(&format!("{}/chatkit/sessions", stack.api_url()), APP, "POST").await?;
    granted(&reply, APP)?;
    let allowed: BTreeSet<&str> =
        header(&reply.headers, "access-control-allow-headers").split(", ").collect();
    for name in
        ["baggage", "sentry-trace", "traceparent", "tracestate", "x-client-info", "x-tenant", "x-app-version"]
    {
        ensure!(allowed.contains(name), "{name} is not among {allowed:?}");
    }
    // The page says of which libraries.
    let page = project_files::text("docs/reference/configuration.md")?;
    let listed = markdown::table(&page, "headers");
    let listed: BTreeSet<&str> = listed.iter().flat_map(|row| markdown::quoted(&row[0])).collect();
    let ours =
        ["authorization", "content-type", "idempotency-key", "if-none-match", "x-tenant", "x-app-version"];
    let listed = listed.into_iter().chain(ours).collect();
    project_files::same(("docs/reference/configuration.md", &listed), ("a preflight", &allowed))
}

// NAME: cors: a preflight's line says what it was refused for
#[tokio::test]
async fn refusals_in_lines() -> Result<()> {
    let stack = others().start().await?;
    let url = format!("{}/chatkit/agents", stack.api_url());
    let long = format!("https://{}.example", "a".repeat(1000));
    let begin = long[..100].to_owned();
    let mut expected = Vec::new();
    for (origin, method, names, status, refused) in [
        (APP, "GET", "authorization,baggage,x-tenant", 204, None),
        (
            "https://elsewhere.example",
            "GET",
            "authorization",
            403,
            Some("origin https://elsewhere.example".to_owned()),
        ),
        (&long, "GET", "authorization", 403, Some(format!("origin {begin}"))),
        (APP, "PUT", "authorization", 204, Some("method PUT".to_owned())),
        (APP, "POST", "authorization,x-other,x-more", 204, Some("header x-other".to_owned())),
    ] {
        let request = http::client().request(Method::OPTIONS, &url).header("origin", origin);
        let request = request.header("access-control-request-method", method);
        let reply = reply(request.header("access-control-request-headers", names)).await?;
        ensure!(reply.status == status, "{reply:?}");
        expected.push((header(&reply.headers, "x-request-id").to_owned(), refused));
    }
    let lines = stack.final_logs().await;
    let lines = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    for (id, refused) in expected {
        let line = lines.iter().find(|line| line["request_id"] == id && line["status"].is_number());
        let line = line.with_context(|| format!("no line of {id}"))?;
        ensure!(line["preflight_refused"].as_str() == refused.as_deref(), "{refused:?}: {line:#}");
    }
    Ok(())
}
