//! OpenAI's rows.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On, SessionStatus};
use serde_json::{Value, json};

use super::{Row, rows};
use crate::support::client::{AGENT, TestClient, path};

fn faults(row: &Row, on: On) -> Vec<Fault> {
    let html = |status| Fault::new(on).page(status, "text/html", "<!DOCTYPE html><title>cloudflare</title>");
    match row.speaker.as_str() {
        "OpenAI" => {
            let answers = row.answers(403, "").into_iter();
            answers
                .map(|(status, code)| {
                    let fault = Fault::new(on).status(status);
                    if code.is_empty() { fault } else { fault.code(&code) }
                })
                .collect()
        }
        "gateway" => {
            let body = json!({ "message": row.message() }).to_string();
            let answers = row.answers(500, "").into_iter();
            answers.map(|(status, _)| Fault::new(on).page(status, "application/json", body.clone())).collect()
        }
        "other" => row.answers(500, "").into_iter().map(|(status, _)| html(status)).collect(),
        _ => vec![html(404), html(200), html(302), Fault::new(on).page(200, "application/json", "{\"id\":")],
    }
}

fn played() -> Result<impl Iterator<Item = Row>> {
    let rows = rows("OpenAI")?.into_iter();
    Ok(rows.filter(|row| !row.speaker.starts_with("no response") && !row.speaker.contains("MiB")))
}

// NAME: upstream errors: what stays at OpenAI is answered as the page says
#[tokio::test]
async fn stays() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.raise_limits(caller.user.org_id).await?;
    let session = caller.open_path().await?;
    let mut tried = 0;
    for row in played()? {
        let (status, code) = match row.cause.as_str() {
            "NotFound" => (502, "chatkit_workflow_not_found".to_owned()),
            _ => row.answer.clone().context("no code")?,
        };
        for fault in faults(&row, On::CreateSession) {
            stack.openai().clear_faults();
            stack.openai().fault(fault.clone());
            let open = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
            open.problem(status, &code).with_context(|| format!("{fault:?}"))?;
            tried += 1;
        }
        // Reading goes on whatever OpenAI says of its threads.
        for fault in faults(&row, On::ListThreads) {
            stack.openai().clear_faults();
            stack.openai().fault(fault);
            let shown = caller.get(&session).await?.expect(200)?;
            ensure!(shown["chatkit"] == json!({ "available": false }), "{row:?}: {shown:#}");
        }
    }
    ensure!(tried > 25, "only {tried} were tried");
    Ok(())
}

// NAME: upstream errors: OpenAI is asked again for a session only where it made none
#[tokio::test]
async fn repeats() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.raise_limits(caller.user.org_id).await?;
    for row in played()?.filter(|row| row.passes) {
        for fault in faults(&row, On::CreateSession) {
            stack.openai().clear_faults();
            let before = stack.openai().calls(On::CreateSession).len();
            stack.openai().fault(fault.times(1));
            let reply = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
            let asked = stack.openai().calls(On::CreateSession).len() - before;
            if row.is_done {
                ensure!(asked == 1, "{row:?} was repeated: {asked}");
                reply.problem(503, "chatkit_unavailable")?;
            } else {
                reply.expect(201).with_context(|| format!("{row:?}"))?;
                ensure!(asked == 2, "{row:?} took {asked}");
            }
            // Retries are paid for by successes.
            caller.open().await?;
        }
    }
    Ok(())
}

// NAME: upstream errors: a 404 that is not OpenAI's cancels nothing
#[tokio::test]
async fn not_cancelled() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session: Value = caller.open().await?;
    stack.openai().fault(Fault::new(On::CancelSession).page(404, "text/html", "<h1>Not here</h1>"));
    caller.cancel(&path(&session)).await?.expect(200)?;
    stack.openai().clear_faults();
    let confirmed = "select count(*) from chatkit_sessions where cancelled_at is not null";
    let confirmed: i64 = sqlx::query_scalar(confirmed).fetch_one(stack.database()).await?;
    ensure!(confirmed == 0, "a page of HTML was taken for OpenAI's word");
    stack.run_job("expire-sessions").await?;
    let alive =
        stack.openai().sessions().into_iter().filter(|session| session.status == SessionStatus::Active);
    ensure!(alive.count() == 0, "nobody cancelled it later");
    Ok(())
}
