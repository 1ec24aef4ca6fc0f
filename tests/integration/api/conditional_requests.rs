//! Conditional requests: `ETag` and `If-None-Match` (RFC 9110, section 13).

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::Fault;
use serde_json::json;

use crate::support::client::{TestClient, TestResponse};

#[tokio::test]
async fn matching_etag_returns_304() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let response = caller.get(&session).await?;
    let tag = etag(&response)?;
    ensure!(
        tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'),
        "expected a strong entity tag, found {tag}"
    );
    ensure!(response.headers["cache-control"] == "private, no-cache", "{response:?}");
    for matching in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        format!("\"other\",W/\"another\",{tag},\"last\""),
        format!("  {tag}  "),
        "*".to_owned(),
    ] {
        for caller in [&caller, &caller.with_base_url(stack.function_url("get-session"))] {
            let response = get_if_none_match(caller, &session, &matching).await?;
            ensure!(response.status == 304 && response.body.is_null(), "{matching}: {response:?}");
            // A 304 has the header fields of the 200 (RFC 9110, section 15.4.5).
            ensure!(
                etag(&response)? == tag && response.headers["cache-control"] == "private, no-cache",
                "{matching}: {response:?}"
            );
            ensure!(response.headers["vary"] == "origin", "{matching}: {response:?}");
        }
    }
    for other in
        ["\"other\"", "W/\"other\"", "other", "", tag.trim_matches('"'), &tag[..tag.len() - 1], "W/*"]
    {
        let response = get_if_none_match(&caller, &session, other).await?;
        ensure!(
            response.status == 200 && etag(&response)? == tag && response.body["id"].is_string(),
            "{other}: {response:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn changed_session_and_problem_are_never_304() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let first = etag(&caller.get(&session).await?)?;
    caller.record_event(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let response = get_if_none_match(&caller, &session, &first).await?;
    let second = etag(&response)?;
    ensure!(response.status == 200 && second != first, "after an event: {response:?}");
    stack.openai().add_fault(Fault::everywhere().status(503));
    let response = get_if_none_match(&caller, &session, &second).await?;
    ensure!(response.status == 200 && etag(&response)? != second, "while OpenAI is down: {response:?}");
    stack.openai().clear_faults();
    let response = get_if_none_match(&caller, &session, &second).await?;
    ensure!(response.status == 304, "after OpenAI's recovery: {response:?}");
    let stranger = TestClient::new(&stack).await?;
    for condition in ["*", &second] {
        let response = get_if_none_match(&stranger, &session, condition).await?;
        ensure!(!response.headers.contains_key("etag"), "expected no ETag, found {response:?}");
        response.problem(404, "session_not_found")?;
    }
    // A POST ignores the condition.
    let cancel = format!("{session}/cancel");
    let cancelled = caller.send(Method::POST, &cancel, &[("if-none-match", "*")], None).await?.expect(200)?;
    ensure!(cancelled["status"] == "ended", "expected an ended session, found {cancelled:#}");
    Ok(())
}

async fn get_if_none_match(caller: &TestClient, path: &str, condition: &str) -> Result<TestResponse> {
    caller.send(Method::GET, path, &[("if-none-match", condition)], None).await
}

fn etag(response: &TestResponse) -> Result<String> {
    let value = response.headers.get("etag").with_context(|| format!("no ETag: {response:?}"))?;
    Ok(value.to_str()?.to_owned())
}
