//! The requests in docs/reference/api.md are answered as it says.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::Value;

use super::scenario::{Request, Stage};
use crate::support::client::TestResponse;
use crate::support::markdown;
use crate::support::openapi_document::Document;
use crate::support::project_files::text;

/// A block of HTTP: a first line, headers, and perhaps a body.
struct Message {
    line: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl Message {
    fn read(block: &str) -> Result<Self> {
        let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
        let mut lines = head.lines();
        let line = lines.next().context("an empty block")?.to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").with_context(|| format!("no header: {line}"))?;
            Ok((name.to_lowercase(), value.to_owned()))
        });
        let headers = headers.collect::<Result<_>>()?;
        let body = if body.is_empty() { None } else { Some(serde_json::from_str(body).context("the body")?) };
        Ok(Self { line, headers, body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn status(&self) -> Option<u16> {
        self.line.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
    }
}

// NAME: described: the requests in docs/reference/api.md are answered as it says, one after the other
#[tokio::test]
async fn requests() -> Result<()> {
    let (document, page) = (Document::read()?, text("docs/reference/api.md")?);
    let blocks = markdown::blocks(&page, "http");
    let messages: Vec<Message> = blocks.iter().map(|block| Message::read(block)).collect::<Result<_>>()?;
    let mut stage = Stage::set(document, LocalStack::builder()).await?;
    // The page has ids of its own.
    stage.likeness = crate::support::example_matcher::Likeness::default();
    ensure!(messages.len() >= 2 && messages.len().is_multiple_of(2), "not every request has its answer");
    for (request, answer) in messages.iter().zip(&messages[1..]).step_by(2) {
        let context = || format!("{} and {}", request.line, answer.line);
        converse(document, &mut stage, request, answer).await.with_context(context)?;
    }
    Ok(())
}

async fn converse(document: &Document, stage: &mut Stage, request: &Message, answer: &Message) -> Result<()> {
    let status = answer.status().context("the second is no answer")?;
    let (method, path) = request.line.split_once(' ').context("the first is no request")?;
    let json = request.body.is_some().then_some("application/json");
    ensure!(request.header("content-type") == json, "of the body the type is to be told, and only then");
    ensure!(request.header("authorization") == Some("Bearer $TOKEN"), "who is asking?");
    let sent = Request {
        method: method.parse()?,
        path: stage.likeness.filled(path),
        token: Some(stage.caller.token.clone()),
        headers: request
            .header("idempotency-key")
            .map(|key| ("idempotency-key".to_owned(), key.to_owned()))
            .into_iter()
            .collect(),
        body: request.body.as_ref().map(|body| stage.likeness.filled(&body.to_string())),
    };
    let operation = document.operation_at(method, sent.instance())?;
    if let Some(body) = &sent.body {
        operation.check_body(&serde_json::from_str(body)?)?;
    }
    let reply = stage.send(&sent).await?;
    ensure!(reply.status == status, "answered {}: {}", reply.status, reply.body);
    operation.check(&reply)?;
    for (name, value) in &answer.headers {
        compare_header(name, value, &reply)?;
    }
    if let Some(body) = &answer.body {
        stage.likeness.compare(body, &reply.body)?;
    }
    // The first session that is opened is the one that the rest is about.
    if let (201, Some(id)) = (status, reply.body["id"].as_str()) {
        stage.likeness.put("$SESSION_ID", id);
    }
    Ok(())
}

fn compare_header(name: &str, value: &str, reply: &TestResponse) -> Result<()> {
    let sent = reply.headers.get(name).with_context(|| format!("the header {name} is missing"))?.to_str()?;
    match name {
        // It differs each time, but not in its form.
        "etag" => ensure!(sent.len() == value.len() && sent.starts_with('"'), "{name} is {sent}"),
        _ => ensure!(sent == value, "{name} is {sent}, not {value}"),
    }
    Ok(())
}
