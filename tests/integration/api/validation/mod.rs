//! Bad input gets the right problem, by both doors, and nothing is written.

mod accepted_inputs;
mod create_session;
mod json_bodies;
mod path_ids;
mod query_parameters;
mod record_events;
mod request_builder;
mod tokens;
mod unknown_routes;
mod value_formats;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::json;

use crate::support::client::{TestClient, TestResponse};
use crate::support::db_snapshot::DbSnapshot;
use request_builder::Ask;

// NAME: bad inputs: bodies that open a session
#[tokio::test]
async fn create_session_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, create_session::rows()).await
}

// NAME: bad inputs: bodies that record events
#[tokio::test]
async fn record_events_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, record_events::rows()).await
}

// NAME: bad inputs: texts that are no JSON, or too much of it
#[tokio::test]
async fn json_bodies_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, json_bodies::rows()).await
}

// NAME: bad inputs: ids in paths
#[tokio::test]
async fn path_ids_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, path_ids::rows()).await
}

// NAME: bad inputs: query parameters and cursors
#[tokio::test]
async fn query_parameters_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, query_parameters::rows()).await
}

// NAME: bad inputs: forms of numbers, times and ids, at every place
#[tokio::test]
async fn value_formats_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, value_formats::rows()).await
}

// NAME: bad inputs: paths and methods
#[tokio::test]
async fn unknown_routes_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, unknown_routes::rows()).await
}

// NAME: bad inputs: every function asks for a token
#[tokio::test]
async fn tokens_of_every_function() -> Result<()> {
    let stack = LocalStack::start().await?;
    refused(&stack, tokens::of_every_function()).await
}

/// A bad request and what it is answered with. The pointers are those of `errors`, in order.
pub struct Row {
    name: String,
    ask: Ask,
    status: u16,
    code: &'static str,
    pointers: Vec<String>,
}

/// One line of a table.
pub fn row(name: &str, ask: Ask, status: u16, code: &'static str, pointers: &[&str]) -> Row {
    let pointers = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
    Row { name: name.to_owned(), ask, status, code, pointers }
}

/// One line of a table: well-formed, and wrong in one place.
pub fn invalid(name: &str, ask: Ask, pointer: &str) -> Row {
    row(name, ask, 422, "invalid_request", &[pointer])
}

/// Sends every row to its doors, in a stack that has a session, and reports all that is not as it should be.
async fn refused(stack: &LocalStack, rows: Vec<Row>) -> Result<()> {
    let caller = TestClient::new(stack).await?;
    refused_to(stack, &caller, rows).await
}

async fn refused_to(stack: &LocalStack, caller: &TestClient, rows: Vec<Row>) -> Result<()> {
    let session = caller.open_path().await?;
    caller.record(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let mut before = DbSnapshot::of(stack).await?;
    let mut wrong = Vec::new();
    for row in &rows {
        for door in row.ask.doors() {
            let (name, reply) = (&row.name, row.ask.send(stack, *door, caller, &session).await);
            if let Err(error) = reply.and_then(|reply| row.judge(reply, &session)) {
                wrong.push(format!("{name} ({door:?}): {error:#}"));
            }
            let now = DbSnapshot::of(stack).await?;
            wrong.extend(
                before.difference(&now).map(|changed| format!("{name} ({door:?}) changed {changed}")),
            );
            before = now;
        }
    }
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}

impl Row {
    fn judge(&self, reply: TestResponse, session: &str) -> Result<()> {
        let headers = reply.headers.clone();
        let body = reply.problem(self.status, self.code)?;
        let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        ensure!(found == self.pointers, "pointers {found:?} instead of {:?}: {body:#}", self.pointers);
        for error in errors {
            ensure!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "no detail: {body:#}");
        }
        let instance = self.ask.instance(session);
        ensure!(body["instance"] == instance, "{} instead of {instance}", body["instance"]);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let allow = (self.status == 405).then(|| self.ask.allowed.as_str());
        ensure!(header("allow") == allow, "Allow: {:?} instead of {allow:?}", header("allow"));
        ensure!(
            (self.status == 401) == header("www-authenticate").is_some(),
            "WWW-Authenticate: {headers:?}"
        );
        ensure!(header("cache-control") == Some("no-store"), "a problem may be kept by a cache");
        Ok(())
    }
}

// NAME: bad inputs: a change would be noticed
/// The control: one click more is a difference, and so is one call of OpenAI.
#[tokio::test]
async fn changes_are_noticed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let before = DbSnapshot::of(&stack).await?;
    let (tables, rows) = before.size();
    ensure!(tables >= 10 && rows >= 5, "only {tables} tables with {rows} rows were looked at");
    caller.record(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let changed = before.difference(&DbSnapshot::of(&stack).await?).unwrap_or_default();
    let expected = "public.chat_events, public.chat_sessions, public.idle_checks, public.throttles";
    ensure!(changed == expected, "{changed}");

    let before = DbSnapshot::of(&stack).await?;
    sqlx::query("update auth.users set raw_user_meta_data = '{\"a\": 1}'").execute(stack.database()).await?;
    ensure!(
        before.difference(&DbSnapshot::of(&stack).await?).as_deref() == Some("auth.users"),
        "a row that changed"
    );
    let before = DbSnapshot::of(&stack).await?;
    caller.get(&session).await?.expect(200)?;
    let charged = before.difference(&DbSnapshot::of(&stack).await?);
    ensure!(charged.as_deref() == Some("public.throttles, 1 calls of OpenAI"), "{charged:?}");
    let before = DbSnapshot::of(&stack).await?;
    caller.get(&format!("{session}?include=none")).await?.expect(200)?;
    let changed = before.difference(&DbSnapshot::of(&stack).await?);
    ensure!(changed.is_none(), "{changed:?}");
    Ok(())
}
