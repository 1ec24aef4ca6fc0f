//! Invalid requests: through both entry points, the response is the documented problem, and nothing
//! is written.

mod accepted_inputs;
mod create_session;
mod json_bodies;
mod path_ids;
mod query_parameters;
mod record_events;
mod test_request;
mod tokens;
mod unknown_routes;
mod value_formats;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::json;

use crate::support::client::{TestClient, TestResponse};
use crate::support::db_snapshot::DbSnapshot;
use test_request::TestRequest;

#[tokio::test]
async fn create_session_rejects_invalid_bodies() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, create_session::rows()).await
}

#[tokio::test]
async fn record_events_rejects_invalid_bodies() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, record_events::rows()).await
}

#[tokio::test]
async fn malformed_unstorable_and_large_bodies_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, json_bodies::rows()).await
}

#[tokio::test]
async fn malformed_and_unknown_ids_in_paths_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, path_ids::rows()).await
}

#[tokio::test]
async fn invalid_query_parameters_and_cursors_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, query_parameters::rows()).await
}

#[tokio::test]
async fn nonstandard_numbers_times_and_ids_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, value_formats::rows()).await
}

#[tokio::test]
async fn unknown_paths_and_methods_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, unknown_routes::rows()).await
}

#[tokio::test]
async fn missing_token_is_rejected_by_every_function() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_rejected(&stack, tokens::rows_without_token()).await
}

/// The control of the tests above: they compare snapshots to detect writes.
#[tokio::test]
async fn db_snapshot_detects_changed_rows_and_openai_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let before = DbSnapshot::take(&stack).await?;
    let (tables, rows) = before.size();
    ensure!(
        tables >= 10 && rows >= 5,
        "expected at least 10 tables with 5 rows, found {tables} tables with {rows} rows"
    );
    caller.record_event(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let tables = "public.chat_events, public.chat_sessions, public.idle_checks, public.throttles";
    expect_difference(&stack, &before, Some(tables)).await?;

    let before = DbSnapshot::take(&stack).await?;
    sqlx::query("update auth.users set raw_user_meta_data = '{\"a\": 1}'").execute(stack.database()).await?;
    expect_difference(&stack, &before, Some("auth.users")).await?;

    let before = DbSnapshot::take(&stack).await?;
    caller.get(&session).await?.expect(200)?;
    expect_difference(&stack, &before, Some("public.throttles, 1 requests to OpenAI")).await?;

    let before = DbSnapshot::take(&stack).await?;
    caller.get(&format!("{session}?include=none")).await?.expect(200)?;
    expect_difference(&stack, &before, None).await
}

async fn expect_difference(stack: &LocalStack, before: &DbSnapshot, expected: Option<&str>) -> Result<()> {
    let found = before.difference(&DbSnapshot::take(stack).await?);
    ensure!(found.as_deref() == expected, "expected the difference {expected:?}, found {found:?}");
    Ok(())
}

/// An invalid request and the expected problem. The pointers are those of `errors`, in order.
pub struct Row {
    name: String,
    request: TestRequest,
    status: u16,
    code: &'static str,
    pointers: Vec<String>,
}

pub fn row(name: &str, request: TestRequest, status: u16, code: &'static str, pointers: &[&str]) -> Row {
    let pointers = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
    Row { name: name.to_owned(), request, status, code, pointers }
}

/// A row with one invalid value, at the pointer.
pub fn invalid(name: &str, request: TestRequest, pointer: &str) -> Row {
    row(name, request, 422, "invalid_request", &[pointer])
}

/// Sends every row through its entry points, while the caller has a session. Reports every row that
/// failed.
async fn expect_rejected(stack: &LocalStack, rows: Vec<Row>) -> Result<()> {
    let caller = TestClient::new(stack).await?;
    expect_rejected_for(stack, &caller, rows).await
}

async fn expect_rejected_for(stack: &LocalStack, caller: &TestClient, rows: Vec<Row>) -> Result<()> {
    let session = caller.open_session_path().await?;
    caller.record_event(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let mut before = DbSnapshot::take(stack).await?;
    let mut failures = Vec::new();
    for row in &rows {
        for entry_point in row.request.entry_points() {
            let name = format!("{} ({entry_point:?})", row.name);
            let response = row.request.send(stack, *entry_point, caller, &session).await;
            if let Err(error) = response.and_then(|response| row.check(response, &session)) {
                failures.push(format!("{name}: {error:#}"));
            }
            let after = DbSnapshot::take(stack).await?;
            failures.extend(before.difference(&after).map(|changed| format!("{name} changed {changed}")));
            before = after;
        }
    }
    ensure!(
        failures.is_empty(),
        "{} failures in {} rows:\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n")
    );
    Ok(())
}

impl Row {
    fn check(&self, response: TestResponse, session: &str) -> Result<()> {
        let headers = response.headers.clone();
        let body = response.problem(self.status, self.code)?;
        let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        ensure!(
            found == self.pointers,
            "expected the pointers {:?}, found {found:?}: {body:#}",
            self.pointers
        );
        for error in errors {
            ensure!(
                error["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
                "expected a detail, found {body:#}"
            );
        }
        let instance = self.request.instance(session);
        ensure!(body["instance"] == instance, "expected the instance {instance}, found {}", body["instance"]);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let allow = (self.status == 405).then(|| self.request.allowed.as_str());
        ensure!(header("allow") == allow, "expected Allow: {allow:?}, found {:?}", header("allow"));
        ensure!(
            (self.status == 401) == header("www-authenticate").is_some(),
            "expected WWW-Authenticate only with 401, found {headers:?}"
        );
        ensure!(
            header("cache-control") == Some("no-store"),
            "expected Cache-Control: no-store, found {headers:?}"
        );
        Ok(())
    }
}
