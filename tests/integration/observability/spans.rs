//! Spans, for those who ask for them: a collector is sent a request's before the request is answered.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use axum::{Router, body::Bytes, routing::post};
use http_client::Method;
use local_stack::http::{Port, Server};
use local_stack::lambda::{Binaries, Profile};
use local_stack::{LocalStack, lambda};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use serde_json::json;

use super::{line, written};
use crate::support::client::{AGENT, TestClient};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that keeps what it is sent.
struct Collector {
    server: Server,
    sent: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Result<Self> {
        let sent: Arc<Mutex<Vec<_>>> = Arc::default();
        let keep = sent.clone();
        let take = async move |body: Bytes| {
            let sent = ExportTraceServiceRequest::decode(body).expect("what was sent is no OTLP");
            keep.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        };
        let server = Port::free().await?.serve(Router::new().route("/v1/traces", post(take)));
        Ok(Self { server, sent })
    }

    /// The spans, and the name of the service that sent each.
    fn spans(&self) -> Vec<(String, Span)> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resources = sent.into_iter().flat_map(|sent| sent.resource_spans);
        let with_service = resources.flat_map(|of| {
            let attributes = of.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = match service.and_then(|service| service.value.clone()?.value) {
                Some(Value::StringValue(name)) => name,
                _ => String::new(),
            };
            of.scope_spans.into_iter().flat_map(|of| of.spans).map(move |span| (service.clone(), span))
        });
        with_service.collect()
    }
}

/// A stack in which `create-session` has the feature and this collector.
async fn stack(collector: &str) -> Result<LocalStack> {
    let mut binaries: Binaries = lambda::functions(Profile::Dev).await?;
    let traced =
        lambda::example("create-session", "create-session-traced", "opentelemetry", Profile::Dev).await?;
    binaries.insert("create-session".to_owned(), traced);
    LocalStack::builder().binaries(binaries).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector).start().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// NAME: seen: with OpenTelemetry, a request's spans are a collector's before it is answered
#[tokio::test]
async fn collected() -> Result<()> {
    let collector = Collector::start().await?;
    let stack = stack(&collector.server.url()).await?;
    let caller = TestClient::new(&stack).await?;
    let header = format!("00-{TRACE}-{PARENT}-01");
    let body = Some(json!({ "agentId": AGENT }));
    caller
        .send(Method::POST, "/chatkit/sessions", &[("traceparent", &header)], body.clone())
        .await?
        .expect(201)?;
    // Looked at once the answer is there, and not later.
    let spans = collector.spans();
    ensure!(spans.iter().all(|(service, _)| service == "traced"), "{spans:#?}");
    let spans: Vec<Span> =
        spans.into_iter().map(|(_, span)| span).filter(|span| hex(&span.trace_id) == TRACE).collect();
    let root =
        spans.iter().find(|span| span.name == "request").with_context(|| format!("no root: {spans:#?}"))?;
    ensure!(hex(&root.parent_span_id) == PARENT, "not the caller's: {root:#?}");
    let calls: Vec<_> = spans.iter().filter(|span| span.name == "call").collect();
    ensure!(calls.len() == 3 && calls.iter().all(|call| call.parent_span_id == root.span_id), "{calls:#?}");
    // OpenAI was told the place of the very call.
    let opened = stack.openai().requests();
    let told = opened[0].header("traceparent").context("no traceparent")?.to_owned();
    ensure!(
        calls.iter().any(|call| told == format!("00-{TRACE}-{}-01", hex(&call.span_id))),
        "{told}: {calls:#?}"
    );

    // Without a caller's trace there is a new one, and the log's line says the same as the collector.
    caller.send(Method::POST, "/chatkit/sessions", &[], body).await?.expect(201)?;
    let spans = collector.spans();
    let others: Vec<_> = spans.iter().filter(|(_, span)| hex(&span.trace_id) != TRACE).collect();
    let root = others.iter().find(|(_, span)| span.name == "request").context("no second root")?;
    ensure!(root.1.parent_span_id.is_empty(), "it has a parent that nobody knows: {root:#?}");
    let lines = written(&stack).await?;
    line(&lines, |line| line["trace_id"] == hex(&root.1.trace_id).as_str())?;
    line(&lines, |line| line["trace_id"] == TRACE)?;
    Ok(())
}

// NAME: seen: a collector that is not there holds nobody up and loses no line
#[tokio::test]
async fn no_collector() -> Result<()> {
    let gone = Port::free().await?.url();
    let stack = stack(&gone).await?;
    let caller = TestClient::new(&stack).await?;
    let reply = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    let id = reply.headers.get("x-request-id").context("no id")?.to_str()?.to_owned();
    reply.expect(201)?;
    let lines = written(&stack).await?;
    line(&lines, |line| line["request_id"] == id.as_str())?;
    ensure!(lines.iter().any(|line| line["message"] == "the collector did not take the spans"), "{lines:#?}");
    Ok(())
}
