//! Reads of threads at OpenAI in a minute.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::Operation;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{expect_policy, retry_after, set_limits};
use crate::support::client::TestClient;

#[tokio::test]
async fn only_reads_that_call_openai_are_counted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    set_limits(&stack, &caller, json!({ "p_thread_reads_per_minute_user": 3 })).await?;
    let session = caller.open_session_path().await?;
    caller
        .record_event(&session, "thread_changed", json!({ "threadId": "cthr_unknown" }))
        .await?
        .expect(201)?;
    // The query, and what remains of the limit if the function calls OpenAI.
    let mut etags = Vec::new();
    for (query, remaining) in [
        ("?include=none", None),
        ("", Some("r=2")),
        ("?include=threads", Some("r=1")),
        ("?include=none", None),
    ] {
        let before = thread_requests(&stack);
        let response = caller.get(&format!("{session}{query}")).await?;
        let limit =
            response.headers.get("ratelimit").map(|value| value.to_str().map(str::to_owned)).transpose()?;
        let as_expected = match (&limit, remaining) {
            (Some(limit), Some(remaining)) => limit.contains(remaining),
            (limit, remaining) => limit.is_none() && remaining.is_none(),
        };
        ensure!(as_expected, "{query:?}: expected {remaining:?} in RateLimit, found {limit:?}");
        let calls_openai = remaining.is_some();
        let found = thread_requests(&stack) > before;
        ensure!(found == calls_openai, "{query:?}: OpenAI called: expected {calls_openai}, found {found}");
        etags.push(response.headers["etag"].to_str()?.to_owned());
        let body = response.expect(200)?;
        ensure!(body["chatkit"].is_null() != calls_openai, "{query:?}: {body:#}");
    }
    ensure!(etags[0] == etags[3] && etags[1] == etags[2] && etags[0] != etags[1], "{etags:?}");
    // Each representation has an ETag of its own. A read with threads calls OpenAI also for a 304.
    let read = async |query: &str, etag: &str| {
        caller.send(Method::GET, &format!("{session}{query}"), &[("if-none-match", etag)], None).await
    };
    read("?include=none", &etags[0]).await?.expect(304)?;
    read("?include=none", &etags[1]).await?.expect(200)?;
    let unchanged = read("", &etags[1]).await?;
    ensure!(unchanged.headers["ratelimit"].to_str()?.contains("r=0"), "{:?}", unchanged.headers);
    unchanged.expect(304)?;
    // The limit is reached. It also applies to a read that might return 304.
    let before = thread_requests(&stack);
    for query in ["", "?include=threads"] {
        let limited = read(query, &etags[1]).await?;
        let seconds = retry_after(&limited)?;
        ensure!((1..=20).contains(&seconds), "{query:?}: expected 1 to 20 seconds, found {seconds}");
        expect_policy(&limited, "\"minute\";q=3;w=60")?;
        limited.problem(429, "rate_limited")?;
    }
    let found = thread_requests(&stack);
    ensure!(found == before, "expected {before} requests at OpenAI, found {found}");
    // A missing session is not counted, and reads without threads continue to work.
    caller.get(&format!("/chatkit/sessions/{}", Uuid::new_v4())).await?.problem(404, "session_not_found")?;
    caller.get(&format!("{session}?include=none")).await?.expect(200)?;
    for invalid in
        ["?include=", "?include=None", "?include=none,threads", "?include=none&include=none", "?with=none"]
    {
        caller.get(&format!("{session}{invalid}")).await?.problem(422, "invalid_request")?;
    }
    // The limit of one user does not affect another.
    let approver = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Approver).await?;
    approver.get(&session).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn consume_thread_read_limit_charges_only_the_caller() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let other = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Owner).await?;
    set_limits(&stack, &caller, json!({ "p_thread_reads_per_minute_user": 2 })).await?;
    let anonymous = stack.issuer().token_builder(&caller.user).claim("is_anonymous", true).sign();
    let without_org = stack.issuer().token_builder(&caller.user).without("app_metadata").sign();
    let (publishable, secret) = (stack.supabase().publishable_key(), stack.supabase().secret_key());
    let consume = async |key: &str, arguments: Value| {
        stack.rest(key, Method::POST, "/rpc/consume_thread_read_limit", Some(arguments)).await
    };
    for (name, key, expected) in [
        ("the publishable key", publishable, 401),
        ("the secret key", secret, 403),
        ("an anonymous user", &*anonymous, 403),
        ("a user without an organisation", &*without_org, 403),
    ] {
        let (status, body) = consume(key, json!({})).await?;
        ensure!(status == expected, "{name}: expected {expected}, found {status} {body}");
    }
    // The RPC does not have a parameter for the user.
    let (status, body) = consume(&other.token, json!({ "p_user_id": caller.user.id })).await?;
    ensure!(status == 404, "expected 404, found {status} {body}");
    for expected in [200, 200, 429] {
        let (status, body) = consume(&caller.token, json!({})).await?;
        ensure!(status == expected, "expected {expected}, found {status} {body}");
    }
    let (status, body) = consume(&other.token, json!({})).await?;
    ensure!(status == 200 && body["remaining"] == 1, "expected 200 and 1 remaining, found {status} {body}");
    let charged: Vec<Uuid> = sqlx::query_scalar(
        "select subject from throttles where kind = 'thread_reading' order by full_at desc",
    )
    .fetch_all(stack.database())
    .await?;
    let expected = [caller.user.id, other.user.id];
    ensure!(charged == expected, "expected {expected:?}, found {charged:?}");
    Ok(())
}

/// The number of requests about threads at OpenAI.
fn thread_requests(stack: &LocalStack) -> usize {
    [Operation::ListThreads, Operation::RetrieveThread].iter().map(|on| stack.openai().calls(*on).len()).sum()
}
