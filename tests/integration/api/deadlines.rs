//! What every answer has in common: it comes in time, it has an id that the log knows, and it says what may be kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::Builder;
use local_stack::LocalStack;
use local_stack::supabase::Fault;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};

/// Lambda's patience in the stacks that hang. What it ends is among its failures; the times below only bound the rest.
const TIMEOUT: Duration = Duration::from_secs(5);

fn hurried() -> Builder {
    LocalStack::builder().timeout(TIMEOUT)
}

/// A request to every function.
async fn everything(caller: &TestClient, session: &str) -> Result<Vec<(String, TestResponse, Duration)>> {
    let event = json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "a" } });
    let each = [
        (Method::GET, "/chatkit/agents".to_owned(), None),
        (Method::GET, "/chatkit/sessions".to_owned(), None),
        (Method::GET, session.to_owned(), None),
        (Method::GET, format!("{session}/messages"), None),
        (Method::POST, "/chatkit/sessions".to_owned(), Some(json!({ "agentId": AGENT }))),
        (Method::POST, format!("{session}/events"), Some(event)),
        (Method::POST, format!("{session}/cancel"), None),
    ];
    try_join_all(each.map(async |(method, path, body)| {
        let started = Instant::now();
        let reply = caller.send(method.clone(), &path, &[], body).await?;
        Ok((format!("{method} {path}"), reply, started.elapsed()))
    }))
    .await
}

// NAME: edge: while Supabase hangs, every function answers before its time is over
#[tokio::test]
async fn silent() -> Result<()> {
    let stack = hurried().start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    // The cancel may come before the event, which is refused then.
    for (asked, reply, _) in everything(&caller, &session).await? {
        ensure!(reply.status.is_success() || reply.status == 409, "{asked}: {reply:?}");
    }
    let (session, asked_before) = (caller.open_path().await?, stack.openai().requests().len());
    stack.supabase().fault(Fault::Silent).await;
    for (asked, reply, took) in everything(&caller, &session).await? {
        ensure!(took < TIMEOUT + Duration::from_secs(2), "{asked} took {took:?}");
        let code = reply.body["code"].as_str().unwrap_or_default().to_owned();
        ensure!(["supabase_timeout", "deadline_exceeded"].contains(&code.as_str()), "{asked}: {reply:?}");
        reply.problem(504, &code).context(asked)?;
    }
    ensure!(stack.lambda().failures().is_empty(), "Lambda lost patience: {:?}", stack.lambda().failures());
    ensure!(stack.openai().requests().len() == asked_before, "OpenAI was asked");
    // The processes are as good as before.
    stack.supabase().fault(Fault::None).await;
    for (asked, reply, _) in everything(&caller, &session).await? {
        ensure!(reply.status.is_success() || reply.status == 409, "{asked}: {reply:?}");
    }
    Ok(())
}

// NAME: edge: while Supabase hangs, a function that starts answers too
#[tokio::test]
async fn silent_at_start() -> Result<()> {
    let stack = hurried().start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.supabase().fault(Fault::Silent).await;
    let nowhere = format!("/chatkit/sessions/{}", Uuid::now_v7());
    for (asked, reply, took) in everything(&caller, &nowhere).await? {
        // Starting takes time of its own, which is not the request's.
        ensure!(took < TIMEOUT + Duration::from_secs(3), "{asked} took {took:?}");
        ensure!(reply.headers.contains_key("retry-after"), "{asked}: {reply:?}");
        reply.problem(503, "supabase_unavailable").context(asked)?;
    }
    ensure!(stack.lambda().failures().is_empty(), "Lambda lost patience: {:?}", stack.lambda().failures());
    Ok(())
}

// NAME: edge: slow answers add up to no more than the deadline
#[tokio::test]
async fn slow() -> Result<()> {
    let stack = hurried().start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    caller.get(&session).await?.expect(200)?;
    // One answer would come in time for the function. Reading a session takes two, one after the other.
    stack.supabase().fault(Fault::Delay(Duration::from_millis(2700))).await;
    let started = Instant::now();
    caller.get(&session).await?.problem(504, "supabase_timeout")?;
    ensure!(started.elapsed() < TIMEOUT + Duration::from_secs(2), "it took {:?}", started.elapsed());
    ensure!(stack.lambda().failures().is_empty(), "Lambda lost patience: {:?}", stack.lambda().failures());
    Ok(())
}

// NAME: edge: an answer's id is that of its line in the log
#[tokio::test]
async fn ids() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let mut answered = Vec::new();
    for (path, status) in [(session.as_str(), 200), ("/chatkit/sessions/7", 400), (session.as_str(), 200)] {
        let reply = caller.get(path).await?;
        let id = reply.headers.get("x-request-id").context("no id")?.to_str()?.to_owned();
        ensure!(
            reply.status == status && (status == 200 || reply.body["requestId"] == id.as_str()),
            "{reply:?}"
        );
        answered.push((id, status));
    }
    ensure!(answered[0].0 != answered[2].0, "two requests have one id");
    let logs: Vec<Value> =
        stack.final_logs().await.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (id, status) in answered {
        let of: Vec<_> = logs.iter().filter(|line| line["request_id"] == id.as_str()).collect();
        let closing: Vec<_> =
            of.iter().filter(|line| line["status"] == status && line["duration_ms"].is_number()).collect();
        ensure!(!closing.is_empty(), "no line says how {id} ended: {of:#?}");
        ensure!(closing.iter().all(|line| line["route"] == "/chatkit/sessions/{id}"), "{closing:#?}");
    }
    Ok(())
}

async fn ask(caller: &TestClient, path: &str, known: &str) -> Result<TestResponse> {
    caller.send(Method::GET, path, &[("if-none-match", known)], None).await
}

fn etag(reply: &TestResponse) -> Result<String> {
    Ok(reply.headers.get("etag").with_context(|| format!("no ETag: {reply:?}"))?.to_str()?.to_owned())
}

// NAME: edge: what the caller has already is not sent again
#[tokio::test]
async fn unchanged() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let shown = caller.get(&session).await?;
    let tag = etag(&shown)?;
    ensure!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{tag} is no strong tag");
    ensure!(shown.headers["cache-control"] == "private, no-cache", "{shown:?}");
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        format!("\"other\",W/\"another\",{tag},\"last\""),
        format!("  {tag}  "),
        "*".to_owned(),
    ] {
        for caller in [&caller, &caller.at(stack.function_url("get-session"))] {
            let reply = ask(caller, &session, &known).await?;
            ensure!(reply.status == 304 && reply.body.is_null(), "{known}: {reply:?}");
            // What a 200 would say to a cache is said here too (RFC 9110, section 15.4.5).
            ensure!(
                etag(&reply)? == tag && reply.headers["cache-control"] == "private, no-cache",
                "{reply:?}"
            );
            ensure!(reply.headers["vary"] == "origin", "{reply:?}");
        }
    }
    for unknown in
        ["\"other\"", "W/\"other\"", "other", "", tag.trim_matches('"'), &tag[..tag.len() - 1], "W/*"]
    {
        let reply = ask(&caller, &session, unknown).await?;
        ensure!(
            reply.status == 200 && etag(&reply)? == tag && reply.body["id"].is_string(),
            "{unknown}: {reply:?}"
        );
    }
    Ok(())
}

// NAME: edge: what is no longer so is sent, and what is wrong is never a 304
#[tokio::test]
async fn changed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let first = etag(&caller.get(&session).await?)?;
    caller.record(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let reply = ask(&caller, &session, &first).await?;
    let second = etag(&reply)?;
    ensure!(reply.status == 200 && second != first, "an event makes no difference: {reply:?}");
    stack.openai().fault(local_stack::openai::Fault::everywhere().status(503));
    let reply = ask(&caller, &session, &second).await?;
    ensure!(
        reply.status == 200 && etag(&reply)? != second,
        "OpenAI's silence makes no difference: {reply:?}"
    );
    stack.openai().clear_faults();
    ensure!(ask(&caller, &session, &second).await?.status == 304, "as it was before");
    // Somebody else's session is none, whatever one claims to know of it.
    let stranger = TestClient::new(&stack).await?;
    for known in ["*", &second] {
        let reply = ask(&stranger, &session, known).await?;
        ensure!(!reply.headers.contains_key("etag"), "{reply:?}");
        reply.problem(404, "session_not_found")?;
    }
    // Writing looks at no tag.
    let cancelled =
        caller.send(Method::POST, &format!("{session}/cancel"), &[("if-none-match", "*")], None).await?;
    ensure!(cancelled.expect(200)?["status"] == "ended");
    Ok(())
}
