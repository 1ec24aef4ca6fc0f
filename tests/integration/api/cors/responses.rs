//! CORS headers of responses other than those of preflights.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::http;
use serde_json::json;

use super::{APP, LOCAL, expect_no_cors_headers, expect_vary_origin, header, with_two_origins};
use crate::support::client::{AGENT, TestClient, TestResponse, send_request};

#[tokio::test]
async fn rate_limit_headers_are_readable_by_the_page() -> Result<()> {
    let stack = with_two_origins().start().await?;
    let caller = TestClient::new(&stack).await?;
    let limits = json!({ "p_org_id": caller.user.org_id, "p_secrets_per_minute_user": 1 });
    let (status, answer) = stack.rpc("set_org_limits", limits).await?;
    ensure!(status.is_success(), "{status}: {answer}");
    for (key, status) in [("1", 201), ("2", 429)] {
        let headers = [("origin", APP), ("idempotency-key", key)];
        let body = json!({ "agentId": AGENT });
        let response = caller.send(Method::POST, "/chatkit/sessions", &headers, Some(body)).await?;
        ensure!(response.status == status, "expected {status}, found {response:?}");
        for name in ["ratelimit", "ratelimit-policy"] {
            ensure!(!header(&response.headers, name).is_empty(), "expected {name}, found {response:?}");
        }
        ensure!(response.headers.contains_key("retry-after") == (status == 429), "{response:?}");
        expect_readable(&response, APP)?;
    }
    Ok(())
}

#[tokio::test]
async fn every_response_has_the_origin_including_304_and_problems() -> Result<()> {
    let stack = with_two_origins().start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let etag = header(&caller.get(&session).await?.headers, "etag").to_owned();
    let get_without_token = |origin: &str| {
        let request = http::client().get(format!("{}{session}", stack.api_url())).header("origin", origin);
        send_request(request)
    };
    let at_function_url = caller.with_base_url(stack.function_url("get-session"));
    for (origin, is_allowed) in
        [(APP, true), (LOCAL, true), ("https://evil.example.com", false), ("null", false)]
    {
        let headers = [("origin", origin)];
        let conditional = [("origin", origin), ("if-none-match", &etag)];
        for (response, status) in [
            (caller.send(Method::GET, &session, &headers, None).await?, 200),
            (caller.send(Method::GET, &session, &conditional, None).await?, 304),
            (caller.send(Method::GET, "/chatkit/sessions/7", &headers, None).await?, 400),
            (caller.send(Method::POST, "/chatkit/sessions", &headers, None).await?, 415),
            (get_without_token(origin).await?, 401),
            (at_function_url.send(Method::GET, "/", &headers, None).await?, 404),
            (at_function_url.send(Method::PUT, &session, &headers, None).await?, 405),
        ] {
            ensure!(response.status == status, "{origin}: expected {status}, found {response:?}");
            if is_allowed {
                expect_readable(&response, origin)?;
            } else {
                expect_no_cors_headers(&response)?;
            }
        }
    }
    // A program other than a browser does not send an origin.
    expect_no_cors_headers(&caller.get(&session).await?)
}

/// Checks that a page of the origin can read the response and its headers.
fn expect_readable(response: &TestResponse, origin: &str) -> Result<()> {
    let allowed = header(&response.headers, "access-control-allow-origin");
    ensure!(allowed == origin, "expected the origin {origin}, found {response:?}");
    let exposed = header(&response.headers, "access-control-expose-headers");
    for needed in ["etag", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"] {
        ensure!(exposed.split(", ").any(|name| name == needed), "expected {needed}, found {exposed}");
    }
    expect_vary_origin(response)
}
