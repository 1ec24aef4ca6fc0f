//! The requests and responses in `docs/reference/api.md`.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::Value;

use super::example_env::{ExampleEnv, Request};
use crate::support::client::TestResponse;
use crate::support::example_matcher::ExampleMatcher;
use crate::support::markdown;
use crate::support::openapi_document::Document;
use crate::support::project_files::read_text;

#[tokio::test]
async fn documented_requests_return_documented_responses() -> Result<()> {
    let (document, page) = (Document::read()?, read_text("docs/reference/api.md")?);
    let blocks = markdown::blocks(&page, "http");
    let messages: Vec<Message> = blocks.iter().map(|block| Message::parse(block)).collect::<Result<_>>()?;
    let mut env = ExampleEnv::start(document, LocalStack::builder()).await?;
    // The placeholders of the page are not those of docs/openapi.yaml.
    env.matcher = ExampleMatcher::default();
    ensure!(
        messages.len() >= 2 && messages.len().is_multiple_of(2),
        "expected pairs of a request and a response, found {} blocks",
        messages.len()
    );
    for (request, response) in messages.iter().zip(&messages[1..]).step_by(2) {
        let context = || format!("{} and {}", request.line, response.line);
        check_exchange(document, &mut env, request, response).await.with_context(context)?;
    }
    Ok(())
}

/// A code block in the language `http`.
struct Message {
    line: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl Message {
    fn parse(block: &str) -> Result<Self> {
        let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
        let mut lines = head.lines();
        let line = lines.next().context("the block is empty")?.to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").with_context(|| format!("{line} is not a header"))?;
            Ok((name.to_lowercase(), value.to_owned()))
        });
        let headers = headers.collect::<Result<_>>()?;
        let body = if body.is_empty() {
            None
        } else {
            Some(serde_json::from_str(body).context("parsing the body")?)
        };
        Ok(Self { line, headers, body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn status(&self) -> Option<u16> {
        self.line.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
    }
}

async fn check_exchange(
    document: &Document,
    env: &mut ExampleEnv,
    request: &Message,
    response: &Message,
) -> Result<()> {
    let status = response.status().context("the second block is not a response")?;
    let (method, path) = request.line.split_once(' ').context("the first block is not a request")?;
    let json = request.body.is_some().then_some("application/json");
    ensure!(
        request.header("content-type") == json,
        "expected the content type {json:?}, found {:?}",
        request.header("content-type")
    );
    ensure!(
        request.header("authorization") == Some("Bearer $TOKEN"),
        "expected `Bearer $TOKEN`, found {:?}",
        request.header("authorization")
    );
    let sent = Request {
        method: method.parse()?,
        path: env.matcher.substitute(path),
        token: Some(env.caller.token.clone()),
        headers: request
            .header("idempotency-key")
            .map(|key| ("idempotency-key".to_owned(), key.to_owned()))
            .into_iter()
            .collect(),
        body: request.body.as_ref().map(|body| env.matcher.substitute(&body.to_string())),
    };
    let operation = document.operation_at(method, sent.instance())?;
    if let Some(body) = &sent.body {
        operation.check_body(&serde_json::from_str(body)?)?;
    }
    let reply = env.send(&sent).await?;
    ensure!(reply.status == status, "expected the status {status}, found {}: {}", reply.status, reply.body);
    operation.check(&reply)?;
    for (name, value) in &response.headers {
        check_header(name, value, &reply)?;
    }
    if let Some(body) = &response.body {
        env.matcher.compare(body, &reply.body)?;
    }
    // The requests that follow contain this id.
    if let (201, Some(id)) = (status, reply.body["id"].as_str()) {
        env.matcher.set("$SESSION_ID", id);
    }
    Ok(())
}

fn check_header(name: &str, value: &str, reply: &TestResponse) -> Result<()> {
    let sent =
        reply.headers.get(name).with_context(|| format!("the response has no header {name}"))?.to_str()?;
    match name {
        // Only its length is constant.
        "etag" => ensure!(
            sent.len() == value.len() && sent.starts_with('"'),
            "expected an etag like {value}, found {sent}"
        ),
        _ => ensure!(sent == value, "expected {value} in the header {name}, found {sent}"),
    }
    Ok(())
}
