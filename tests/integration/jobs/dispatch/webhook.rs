//! The triggers of `route-events`: the database webhook, which `receive-webhook` receives, and the
//! schedule.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::{LocalStack, http};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgListener;

use super::fixture::{DispatchFixture, TIMEOUT, auto_tool, executed};
use crate::support::client::AGENT;

/// The shortest time between two starts by one process.
const START_INTERVAL: Duration = Duration::from_millis(250);

#[tokio::test]
async fn webhook_requires_its_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let secret = secret(&stack);
    for invalid in ["", "secret", &secret[1..], &secret.to_uppercase()] {
        let (status, problem) = send(&stack, Method::POST, invalid).await?;
        ensure!(
            (status, &problem["code"]) == (401, &json!("webhook_secret_refused")),
            "expected a rejected secret, found {status} {problem}"
        );
    }
    let (status, _) = send(&stack, Method::GET, &secret).await?;
    ensure!(status == 405, "expected 405 for GET, found {status}");
    ensure!(stack.lambda().invoke_api().accepted() == 0, "a rejected request started a run");
    let (status, body) = send(&stack, Method::POST, &secret).await?;
    ensure!(status == 202, "expected 202 for POST, found {status} {body}");
    let started = stack.lambda().invoke_api().accepted();
    ensure!(started == 1, "expected one run, found {started}");
    Ok(())
}

#[tokio::test]
async fn webhook_accepts_the_old_and_the_new_secret_during_a_rotation() -> Result<()> {
    let (old, new) = ("old-secret-of-the-webhook-0123456789", "new-secret-of-the-webhook-0123456789");
    let both = format!("{new} {old}");
    let stack = LocalStack::builder().env("DATABASE_WEBHOOK_SECRET", &both).start().await?;
    for (secret, expected) in [(old, 202), (new, 202), (both.as_str(), 401)] {
        let (status, _) = send(&stack, Method::POST, secret).await?;
        ensure!(status == expected, "expected {expected}, found {status}");
    }
    Ok(())
}

/// Lambda's errors are answered and logged. Lambda's limit of its API is retried.
#[tokio::test]
async fn failed_start_is_reported_and_throttled_start_is_retried() -> Result<()> {
    let stack = LocalStack::start().await?;
    let (api, secret) = (stack.lambda().invoke_api(), secret(&stack));
    api.reject(1, 429, "TooManyRequestsException");
    let (status, body) = send(&stack, Method::POST, &secret).await?;
    ensure!(status == 202, "expected a retry after a throttled start, found {status} {body}");
    ensure!(api.accepted() == 1, "expected one run, found {}", api.accepted());
    for (times, rejected, code) in [
        (1, 403, "AccessDeniedException"),
        (1, 404, "ResourceNotFoundException"),
        (3, 500, "ServiceException"),
    ] {
        api.reject(times, rejected, code);
        let (status, problem) = send(&stack, Method::POST, &secret).await?;
        ensure!(
            (status, &problem["code"]) == (503, &json!("route_events_not_started")),
            "{code}: expected 503, found {status} {problem}"
        );
        ensure!(!problem.to_string().contains(code), "the caller receives the cause: {problem}");
    }
    let logs = stack.final_logs().await.join("\n");
    for cause in [
        "AWS answered 403 AccessDeniedException",
        "AWS answered 404 ResourceNotFoundException",
        "AWS answered 500 ServiceException",
    ] {
        ensure!(logs.contains(cause), "the log does not name the cause {cause}");
    }
    ensure!(!logs.contains(&secret), "the log contains the webhook's secret");
    Ok(())
}

/// Lambda rejects what exceeds the reserved concurrency, and each process starts few runs.
#[tokio::test]
async fn burst_of_requests_starts_few_runs() -> Result<()> {
    const REQUESTS: usize = 200;
    const RESERVED: usize = 5;
    let stack = LocalStack::start().await?;
    let secret = secret(&stack);
    let began = Instant::now();
    // Requests one after the other reach the same process.
    for _ in 0..4 {
        let (status, body) = send(&stack, Method::POST, &secret).await?;
        ensure!(status == 202, "expected 202, found {status} {body}");
    }
    ensure!(began.elapsed() >= 3 * START_INTERVAL, "one process started 4 runs in {:?}", began.elapsed());
    let before = stack.lambda().invoke_api().accepted();
    let began = Instant::now();
    let statuses = try_join_all((0..REQUESTS).map(|_| send(&stack, Method::POST, &secret))).await?;
    let count = |wanted: u16| statuses.iter().filter(|(status, _)| *status == wanted).count();
    ensure!(count(202) + count(429) == REQUESTS, "expected 202 or 429, found {statuses:?}");
    let started = stack.lambda().invoke_api().accepted() - before;
    ensure!(started == count(202), "{started} runs for {} accepted requests", count(202));
    let intervals = began.elapsed().div_duration_f64(START_INTERVAL).ceil() as usize + 1;
    ensure!(started <= RESERVED * intervals, "{started} runs in {intervals} intervals");
    let (status, body) = send(&stack, Method::POST, &secret).await?;
    ensure!(status == 202, "expected 202 after the burst, found {status} {body}");
    Ok(())
}

/// A session gets an event while Lambda rejects its request, and is served all the same.
#[tokio::test]
async fn events_of_a_burst_are_delivered_without_schedule() -> Result<()> {
    const SESSIONS: usize = 12;
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let sessions = try_join_all((0..SESSIONS).map(|_| fixture.client.open_session_path())).await?;
    let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
    let clicks = sessions.iter().map(async |session| {
        fixture.client.record_event(session, "button_click", payload.clone()).await?.expect(201)
    });
    try_join_all(clicks).await?;
    wait_for_calls(&stack, SESSIONS).await
}

/// Each event reaches its agent, also if a run has just been started for another event.
#[tokio::test]
async fn webhook_delivers_events_without_schedule() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    for calls in 1..=4 {
        fixture.click(900).await?;
        wait_for_calls(&stack, calls).await?;
    }
    let failures = stack.lambda().failures();
    ensure!(failures.is_empty(), "expected no failed invocations, found {failures:?}");
    Ok(())
}

#[tokio::test]
async fn schedule_dispatches_events_without_webhook() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    fixture.click(900).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 2 && report["done"] == 2, "expected two completed calls: {report}");
    let executed = executed(&stack, "tax_compliance");
    ensure!(executed.len() == 1, "expected one operation of the follow-up: {executed:?}");
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 0, "expected no second call: {report}");
    Ok(())
}

/// The database keeps the secret encrypted, and sends it.
#[tokio::test]
async fn database_stores_no_secret_in_clear_text() -> Result<()> {
    let stack = LocalStack::start().await?;
    let secret = secret(&stack);
    let stored: Vec<String> = sqlx::query_scalar(
        "select to_jsonb(w)::text from chatkit_private.webhook as w
         union all select to_jsonb(s)::text from vault.secrets as s",
    )
    .fetch_all(stack.database())
    .await?;
    ensure!(stored.len() == 2, "expected the webhook and its secret, found {stored:?}");
    ensure!(!stored.iter().any(|row| row.contains(&secret)), "a table contains the secret: {stored:?}");
    for role in ["anon", "authenticated"] {
        let mut transaction = stack.database().begin().await?;
        let role_of_reader = AssertSqlSafe(format!("set local role {role}"));
        sqlx::query(role_of_reader).execute(&mut *transaction).await?;
        let read = sqlx::query("select decrypted_secret from vault.decrypted_secrets");
        ensure!(read.execute(&mut *transaction).await.is_err(), "{role} can read the Vault");
    }
    let short = sqlx::query("select chatkit_private.set_webhook('https://x.example', 'short')");
    ensure!(short.execute(stack.database()).await.is_err(), "the database accepts a short secret");
    Ok(())
}

/// After a rotation in the Vault, the next request has the new secret.
#[tokio::test]
async fn database_sends_the_secret_that_was_set_last() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let mut requests = PgListener::connect_with(stack.database()).await?;
    requests.listen("pg_net").await?;
    let set = "select chatkit_private.set_webhook(w.url, $1) from chatkit_private.webhook as w";
    for secret in ["first-secret-of-the-webhook-0123456789", "second-secret-of-the-webhook-012345678"] {
        sqlx::query(set).bind(secret).execute(stack.database()).await?;
        // A queue that exists is not announced again.
        let session = fixture.client.open_session_path().await?;
        fixture
            .client
            .record_event(&session, "button_click", json!({ "action": "pay" }))
            .await?
            .expect(201)?;
        let request =
            tokio::time::timeout(TIMEOUT, requests.recv()).await.context("no request was sent")??;
        let request: Value = serde_json::from_str(request.payload())?;
        let sent = &request["headers"]["X-Webhook-Secret"];
        ensure!(sent == secret, "expected the secret {secret}, found {sent}");
    }
    let secrets: i64 =
        sqlx::query_scalar("select count(*) from vault.secrets").fetch_one(stack.database()).await?;
    ensure!(secrets == 1, "expected one secret in the Vault, found {secrets}");
    Ok(())
}

fn secret(stack: &LocalStack) -> String {
    stack.environment().all_variables()["DATABASE_WEBHOOK_SECRET"].clone()
}

async fn send(stack: &LocalStack, method: Method, secret: &str) -> Result<(u16, Value)> {
    let url = stack.function_url("receive-webhook");
    let request = http::client().request(method, url).header("x-webhook-secret", secret);
    let response = request.body("{\"type\":\"INSERT\",\"record\":{\"agent_id\":\"mine\"}}").send().await?;
    let (status, text) = (response.status().as_u16(), response.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

async fn wait_for_calls(stack: &LocalStack, calls: usize) -> Result<()> {
    let began = Instant::now();
    while executed(stack, AGENT).len() < calls {
        ensure!(began.elapsed() < TIMEOUT, "expected {calls} calls after {TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
