use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::{Builder, LocalStack, http};
use serde_json::Value;

use super::{
    APP, LOCAL, PATHS, expect_allowed, expect_no_cors_headers, header, send_preflight, with_two_origins,
};
use crate::support::client::{TestClient, send_request};
use crate::support::{markdown, project_files};

/// Similar to the configured origins.
const UNKNOWN_ORIGINS: [&str; 9] = [
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

/// Origins of mobile apps, browser extensions and a development server.
const APP_ORIGINS: [&str; 4] = [
    "capacitor://localhost",
    "ionic://localhost",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "http://localhost:5173",
];

#[tokio::test]
async fn configured_origin_is_allowed_at_the_http_api() -> Result<()> {
    let stack = with_two_origins().start().await?;
    let session = TestClient::new(&stack).await?.open_session_path().await?;
    for (path, methods, _) in PATHS {
        let url = format!("{}{}", stack.api_url(), path.replace("{session}", &session));
        for (method, origin) in methods.iter().flat_map(|method| [(method, APP), (method, LOCAL)]) {
            expect_allowed(&send_preflight(&url, origin, method).await?, origin).context(path)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn unknown_origin_is_rejected_at_the_http_api() -> Result<()> {
    let stack = with_two_origins().start().await?;
    let session = TestClient::new(&stack).await?.open_session_path().await?;
    for (path, methods, _) in PATHS {
        let url = format!("{}{}", stack.api_url(), path.replace("{session}", &session));
        for origin in UNKNOWN_ORIGINS {
            let response = send_preflight(&url, origin, methods[0]).await?;
            expect_no_cors_headers(&response)?;
            response.problem(403, "origin_forbidden").with_context(|| format!("{path} from {origin}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn function_url_allows_configured_and_rejects_unknown_origin() -> Result<()> {
    let stack = with_two_origins().start().await?;
    let session = TestClient::new(&stack).await?.open_session_path().await?;
    let of_paths = PATHS.iter().map(|(path, methods, function)| (*path, methods[0], *function));
    for (path, method, function) in of_paths.chain([("/chatkit/sessions", "POST", "create-session")]) {
        let url = format!("{}{}", stack.function_url(function), path.replace("{session}", &session));
        expect_allowed(&send_preflight(&url, APP, method).await?, APP).context(function)?;
        let response = send_preflight(&url, "https://evil.example.com", method).await?;
        response.problem(403, "origin_forbidden").context(function)?;
    }
    Ok(())
}

#[tokio::test]
async fn app_and_wildcard_origins_are_matched_exactly() -> Result<()> {
    let stack = with_app_origins_and_headers().start().await?;
    let url = format!("{}/chatkit/sessions", stack.api_url());
    let subdomains = ["https://pr-7.preview.example.com:8443", "https://a.b.preview.example.com:8443"];
    for origin in APP_ORIGINS.into_iter().chain(subdomains) {
        expect_allowed(&send_preflight(&url, origin, "POST").await?, origin)?;
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
        let response = send_preflight(&url, origin, "POST").await?;
        expect_no_cors_headers(&response)?;
        response.problem(403, "origin_forbidden").context(origin)?;
    }
    Ok(())
}

#[tokio::test]
async fn headers_of_tracing_libraries_and_configuration_are_allowed() -> Result<()> {
    let stack = with_app_origins_and_headers().start().await?;
    let response = send_preflight(&format!("{}/chatkit/sessions", stack.api_url()), APP, "POST").await?;
    expect_allowed(&response, APP)?;
    let allowed: BTreeSet<&str> =
        header(&response.headers, "access-control-allow-headers").split(", ").collect();
    for name in
        ["baggage", "sentry-trace", "traceparent", "tracestate", "x-client-info", "x-tenant", "x-app-version"]
    {
        ensure!(allowed.contains(name), "expected {name}, found {allowed:?}");
    }
    // The documentation lists the headers of libraries.
    let page = project_files::read_text("docs/reference/configuration.md")?;
    let table = markdown::table(&page, "headers");
    let documented: BTreeSet<&str> = table.iter().flat_map(|row| markdown::code_spans(&row[0])).collect();
    let own =
        ["authorization", "content-type", "idempotency-key", "if-none-match", "x-tenant", "x-app-version"];
    let documented = documented.into_iter().chain(own).collect();
    project_files::ensure_same(("docs/reference/configuration.md", &documented), ("a preflight", &allowed))
}

#[tokio::test]
async fn log_line_names_what_a_preflight_was_denied_for() -> Result<()> {
    let stack = with_app_origins_and_headers().start().await?;
    let url = format!("{}/chatkit/agents", stack.api_url());
    let long = format!("https://{}.example", "a".repeat(1000));
    let logged_long = format!("origin {}", &long[..100]);
    let elsewhere = "https://elsewhere.example";
    let mut expected = Vec::new();
    for (origin, method, names, status, denied) in [
        (APP, "GET", "authorization,baggage,x-tenant", 204, None),
        (elsewhere, "GET", "authorization", 403, Some("origin https://elsewhere.example")),
        (&long, "GET", "authorization", 403, Some(&*logged_long)),
        (APP, "PUT", "authorization", 204, Some("method PUT")),
        (APP, "POST", "authorization,x-other,x-more", 204, Some("header x-other")),
    ] {
        let request = http::client().request(Method::OPTIONS, &url).header("origin", origin);
        let request = request.header("access-control-request-method", method);
        let response = send_request(request.header("access-control-request-headers", names)).await?;
        ensure!(response.status == status, "{denied:?}: expected {status}, found {response:?}");
        expected.push((header(&response.headers, "x-request-id").to_owned(), denied));
    }
    let lines = stack.final_logs().await;
    let lines = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    for (id, denied) in expected {
        let line = lines.iter().find(|line| line["request_id"] == id && line["status"].is_number());
        let line = line.with_context(|| format!("no line of the request {id}"))?;
        ensure!(line["preflight_refused"].as_str() == denied, "expected {denied:?}, found {line:#}");
    }
    Ok(())
}

/// A stack with the origins of apps, of all names below a domain, and headers of the page.
fn with_app_origins_and_headers() -> Builder {
    let origins = format!("{APP},{},https://*.preview.example.com:8443,{LOCAL}", APP_ORIGINS.join(","));
    LocalStack::builder()
        .env("CORS_ALLOWED_ORIGINS", &origins)
        .env("CORS_ALLOWED_HEADERS", "X-Tenant, x-app-version")
}
