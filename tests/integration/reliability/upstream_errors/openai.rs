//! Responses of OpenAI with an error, and what the functions report.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation, SessionStatus};
use serde_json::{Value, json};

use super::{Row, rows};
use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn every_error_returns_the_documented_code() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.raise_limits(caller.user.org_id).await?;
    let session = caller.open_session_path().await?;
    let mut tested = 0;
    for row in simulated_rows()? {
        let (status, code) = match row.cause.as_str() {
            "NotFound" => (502, "chatkit_workflow_not_found".to_owned()),
            _ => row.expected.clone().context("no code")?,
        };
        for fault in faults(&row, Operation::CreateSession) {
            stack.openai().clear_faults();
            stack.openai().add_fault(fault.clone());
            let response = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
            response.problem(status, &code).with_context(|| format!("{fault:?}"))?;
            tested += 1;
        }
        // Errors of the thread list do not fail the request.
        for fault in faults(&row, Operation::ListThreads) {
            stack.openai().clear_faults();
            stack.openai().add_fault(fault);
            let shown = caller.get(&session).await?.expect(200)?;
            ensure!(shown["chatkit"] == json!({ "available": false }), "{row:?}: {shown:#}");
        }
    }
    ensure!(tested > 25, "expected more than 25 cases, found {tested}");
    Ok(())
}

#[tokio::test]
async fn create_session_is_retried_only_if_openai_created_nothing() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.raise_limits(caller.user.org_id).await?;
    for row in simulated_rows()?.filter(|row| row.is_transient) {
        for fault in faults(&row, Operation::CreateSession) {
            stack.openai().clear_faults();
            let before = stack.openai().calls(Operation::CreateSession).len();
            stack.openai().add_fault(fault.times(1));
            let response = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
            let requests = stack.openai().calls(Operation::CreateSession).len() - before;
            if row.may_be_done {
                ensure!(requests == 1, "{row:?}: expected 1 request, found {requests}");
                response.problem(503, "chatkit_unavailable")?;
            } else {
                response.expect(201).with_context(|| format!("{row:?}"))?;
                ensure!(requests == 2, "{row:?}: expected 2 requests, found {requests}");
            }
            // A success refills the retry budget.
            caller.open_session().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn html_404_does_not_confirm_a_cancellation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session: Value = caller.open_session().await?;
    stack.openai().add_fault(Fault::new(Operation::CancelSession).replace_response(
        404,
        "text/html",
        "<h1>Not here</h1>",
    ));
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    stack.openai().clear_faults();
    let confirmed = "select count(*) from chatkit_sessions where cancelled_at is not null";
    let confirmed: i64 = sqlx::query_scalar(confirmed).fetch_one(stack.database()).await?;
    ensure!(confirmed == 0, "the HTML page confirmed the cancellation");
    stack.run_job("expire-sessions").await?;
    let active =
        stack.openai().sessions().into_iter().filter(|session| session.status == SessionStatus::Active);
    ensure!(active.count() == 0, "maintenance did not cancel the ChatKit session");
    Ok(())
}

fn faults(row: &Row, on: Operation) -> Vec<Fault> {
    let html = |status| {
        Fault::new(on).replace_response(status, "text/html", "<!DOCTYPE html><title>cloudflare</title>")
    };
    match row.responder.as_str() {
        "OpenAI" => {
            let responses = row.responses(403, "").into_iter();
            responses
                .map(|(status, code)| {
                    let fault = Fault::new(on).status(status);
                    if code.is_empty() { fault } else { fault.code(&code) }
                })
                .collect()
        }
        "gateway" => {
            let body = json!({ "message": row.message() }).to_string();
            let responses = row.responses(500, "").into_iter();
            responses
                .map(|(status, _)| Fault::new(on).replace_response(status, "application/json", body.clone()))
                .collect()
        }
        "other" => row.responses(500, "").into_iter().map(|(status, _)| html(status)).collect(),
        _ => vec![
            html(404),
            html(200),
            html(302),
            Fault::new(on).replace_response(200, "application/json", "{\"id\":"),
        ],
    }
}

fn simulated_rows() -> Result<impl Iterator<Item = Row>> {
    let rows = rows("OpenAI")?.into_iter();
    Ok(rows.filter(|row| !row.responder.starts_with("no response") && !row.responder.contains("MiB")))
}
