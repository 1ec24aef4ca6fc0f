//! Validation of decisions and of their answers.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::escalations::{
    EscalationFixture, decide, decide_with_answer, decision_body, decision_path,
};

#[tokio::test]
async fn answer_must_match_the_schema() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let schema = json!({
        "type": "object", "required": ["account"], "additionalProperties": false,
        "properties": { "account": { "type": "string", "maxLength": 34 }, "urgent": { "type": "boolean" } },
    });
    let ask = json!({ "reason": "Which?", "decisions": ["respond", "reject"], "schema": schema });
    let question = fixture.ask_as_agent(ask).await?;
    ensure!(question["answerSchema"] == schema, "expected the schema of the question: {question:#}");
    for (invalid, pointers) in [
        (json!({ "account": 7, "urgent": "s3cret" }), vec!["/answer/account", "/answer/urgent"]),
        (json!({}), vec!["/answer"]),
        (json!("NL91ABNA0417164300"), vec!["/answer"]),
    ] {
        let problem = decide_with_answer(&fixture.approver, &question, "respond", invalid)
            .await?
            .problem(422, "invalid_answer")?;
        let errors = problem["errors"].as_array().context("the problem has no errors")?;
        let mut reported: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        reported.sort_unstable();
        ensure!(reported == pointers, "expected errors at {pointers:?}: {problem:#}");
        ensure!(!problem.to_string().contains("s3cret"), "the problem quotes the answer: {problem}");
    }
    decide(&fixture.approver, &question, "respond").await?.problem(422, "answer_required")?;
    let mut null = decision_body(&question, "respond");
    null["answer"] = Value::Null;
    fixture.approver.post(&decision_path(&question), null).await?.problem(422, "answer_required")?;
    ensure!(fixture.claim_calls().await?.is_empty(), "an invalid answer released the call");
    let valid = json!({ "account": "NL91ABNA0417164300" });
    decide_with_answer(&fixture.approver, &question, "respond", valid.clone()).await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    ensure!(
        calls.len() == 1 && calls[0]["decision"]["answer"] == valid,
        "expected one call with the answer: {calls:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn answer_with_unusable_schema_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    for schema in [
        json!({ "$ref": "https://example.com/schema" }),
        json!({ "type": "invoice" }),
        json!({ "pattern": "(a)\\1" }),
    ] {
        let question = fixture
            .escalate_from_page(json!({ "decisions": ["respond", "reject"], "schema": schema }))
            .await?;
        let problem = decide_with_answer(&fixture.approver, &question, "respond", json!("a"))
            .await?
            .problem(422, "invalid_answer")?;
        ensure!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("schema")),
            "expected a detail that names the schema: {problem:#}"
        );
        decide(&fixture.approver, &question, "reject").await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn malformed_decision_reports_its_json_pointer() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(12_000).await?;
    let valid = decision_body(&held, "approve");
    let with = |field: &str, value: Value| {
        let mut body = valid.clone();
        body[field] = value;
        body
    };
    for (invalid, pointer) in [
        (json!([]), ""),
        (json!({ "decision": "approve" }), ""),
        (with("decision", json!("Approve")), "/decision"),
        (with("subjectHash", json!("")), "/subjectHash"),
        (with("subjectHash", Value::Null), "/subjectHash"),
        (with("comment", json!("x".repeat(2_001))), "/comment"),
        (with("remark", json!("why")), "/remark"),
        (with("answer", json!("x".repeat(16 * 1024))), "/answer"),
    ] {
        let problem =
            fixture.approver.post(&decision_path(&held), invalid).await?.problem(422, "invalid_request")?;
        ensure!(problem["errors"][0]["pointer"] == pointer, "expected an error at {pointer:?}: {problem:#}");
    }
    fixture.approver.post("/chatkit/escalations/42/decision", valid).await?.problem(400, "malformed_id")?;
    for (query, status, code) in [
        ("limit=0", 422, "invalid_request"),
        ("status=later", 422, "invalid_request"),
        ("cursor=x", 400, "malformed_cursor"),
    ] {
        fixture.approver.get(&format!("/chatkit/escalations?{query}")).await?.problem(status, code)?;
    }
    ensure!(fixture.claim_calls().await?.is_empty(), "a malformed decision released the call");
    Ok(())
}
