//! An answer is what was asked for.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::escalations::{Office, answer, body, decide, door};

// NAME: escalations: an answer is checked against its schema
#[tokio::test]
async fn checked() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let schema = json!({
        "type": "object", "required": ["account"], "additionalProperties": false,
        "properties": { "account": { "type": "string", "maxLength": 34 }, "urgent": { "type": "boolean" } },
    });
    let ask = json!({ "reason": "Which?", "decisions": ["respond", "reject"], "schema": schema });
    let asked = office.asked(ask).await?;
    ensure!(asked["answerSchema"] == schema, "{asked:#}");
    for (wrong, pointers) in [
        (json!({ "account": 7, "urgent": "s3cret" }), vec!["/answer/account", "/answer/urgent"]),
        (json!({}), vec!["/answer"]),
        (json!("NL91ABNA0417164300"), vec!["/answer"]),
    ] {
        let problem =
            answer(&office.approver, &asked, "respond", wrong).await?.problem(422, "invalid_answer")?;
        let errors = problem["errors"].as_array().context("no errors")?;
        let mut found: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        found.sort_unstable();
        ensure!(found == pointers, "{problem:#}");
        ensure!(!problem.to_string().contains("s3cret"), "what was answered is quoted: {problem}");
    }
    decide(&office.approver, &asked, "respond").await?.problem(422, "answer_required")?;
    let mut null = body(&asked, "respond");
    null["answer"] = Value::Null;
    office.approver.post(&door(&asked), null).await?.problem(422, "answer_required")?;
    ensure!(office.calls().await?.is_empty(), "the agent was answered");
    let right = json!({ "account": "NL91ABNA0417164300" });
    answer(&office.approver, &asked, "respond", right.clone()).await?.expect(200)?;
    let calls = office.calls().await?;
    ensure!(calls.len() == 1 && calls[0]["decision"]["answer"] == right, "{calls:#?}");
    Ok(())
}

// NAME: escalations: a schema that cannot be used takes no answer
#[tokio::test]
async fn unusable() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    for schema in [
        json!({ "$ref": "https://example.com/schema" }),
        json!({ "type": "invoice" }),
        json!({ "pattern": "(a)\\1" }),
    ] {
        let asked = office.browser(json!({ "decisions": ["respond", "reject"], "schema": schema })).await?;
        let refused =
            answer(&office.approver, &asked, "respond", json!("a")).await?.problem(422, "invalid_answer")?;
        ensure!(refused["detail"].as_str().is_some_and(|detail| detail.contains("schema")), "{refused:#}");
        decide(&office.approver, &asked, "reject").await?.expect(200)?;
    }
    Ok(())
}

// NAME: escalations: what is no decision is told by its place
#[tokio::test]
async fn no_decision() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let held = office.held(12_000).await?;
    let good = body(&held, "approve");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (wrong, pointer) in [
        (json!([]), ""),
        (json!({ "decision": "approve" }), ""),
        (with("decision", json!("Approve")), "/decision"),
        (with("subjectHash", json!("")), "/subjectHash"),
        (with("subjectHash", Value::Null), "/subjectHash"),
        (with("comment", json!("why")), "/comment"),
        (with("answer", json!("x".repeat(16 * 1024))), "/answer"),
    ] {
        let problem = office.approver.post(&door(&held), wrong).await?.problem(422, "invalid_request")?;
        ensure!(problem["errors"][0]["pointer"] == pointer, "{problem:#}");
    }
    office.approver.post("/chatkit/escalations/42/decision", good).await?.problem(400, "malformed_id")?;
    for (query, status, code) in [
        ("limit=0", 422, "invalid_request"),
        ("status=open", 422, "invalid_request"),
        ("cursor=x", 400, "malformed_cursor"),
    ] {
        office.approver.get(&format!("/chatkit/escalations?{query}")).await?.problem(status, code)?;
    }
    ensure!(office.calls().await?.is_empty(), "it was released");
    Ok(())
}
