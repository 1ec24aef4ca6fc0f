//! Spans: with OpenTelemetry, a function exports the spans of a request before it responds.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use axum::{Router, body::Bytes, routing::post};
use http_client::Method;
use local_stack::http::{ClosedPort, Port, Server};
use local_stack::lambda::{Binaries, Profile};
use local_stack::{LocalStack, lambda};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use serde_json::json;

use super::{logged_lines, work_line};
use crate::support::client::{AGENT, TestClient};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn spans_of_request_are_exported_before_the_response() -> Result<()> {
    let collector = Collector::start().await?;
    let stack = start_with_collector(&collector.server.url()).await?;
    let caller = TestClient::new(&stack).await?;
    let header = format!("00-{TRACE}-{PARENT}-01");
    let body = Some(json!({ "agentId": AGENT }));
    caller
        .send(Method::POST, "/chatkit/sessions", &[("traceparent", &header)], body.clone())
        .await?
        .expect(201)?;
    // Read when the response has arrived, without waiting.
    let spans = collector.spans();
    ensure!(
        spans.iter().all(|(service, _)| service == "create-session-traced"),
        "another service name: {spans:#?}"
    );
    let spans: Vec<Span> =
        spans.into_iter().map(|(_, span)| span).filter(|span| hex(&span.trace_id) == TRACE).collect();
    let root = spans.iter().find(|span| span.name == "request");
    let root = root.with_context(|| format!("no root span: {spans:#?}"))?;
    ensure!(hex(&root.parent_span_id) == PARENT, "expected the parent {PARENT}, found {root:#?}");
    let calls: Vec<_> = spans.iter().filter(|span| span.name == "call").collect();
    ensure!(calls.len() == 3, "expected 3 calls, found {calls:#?}");
    ensure!(calls.iter().all(|call| call.parent_span_id == root.span_id), "another parent: {calls:#?}");
    let openai_calls = stack.openai().requests();
    let traceparent = openai_calls[0].header("traceparent").context("no traceparent")?;
    let is_of_a_call =
        calls.iter().any(|call| traceparent == format!("00-{TRACE}-{}-01", hex(&call.span_id)));
    ensure!(is_of_a_call, "expected {traceparent} to name the span of a call: {calls:#?}");

    // Without a trace from the caller, the function starts one, and logs the exported id.
    caller.send(Method::POST, "/chatkit/sessions", &[], body).await?.expect(201)?;
    let spans = collector.spans();
    let others: Vec<_> = spans.iter().filter(|(_, span)| hex(&span.trace_id) != TRACE).collect();
    let root = others.iter().find(|(_, span)| span.name == "request").context("no second root span")?;
    ensure!(root.1.parent_span_id.is_empty(), "expected no parent, found {root:#?}");
    let lines = logged_lines(&stack).await?;
    work_line(&lines, |line| line["trace_id"] == hex(&root.1.trace_id).as_str())?;
    work_line(&lines, |line| line["trace_id"] == TRACE)?;
    Ok(())
}

#[tokio::test]
async fn unreachable_collector_does_not_fail_requests_or_lose_lines() -> Result<()> {
    let unused = ClosedPort::free()?;
    let stack = start_with_collector(unused.url()).await?;
    let caller = TestClient::new(&stack).await?;
    let response = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    let id = response.headers.get("x-request-id").context("no request id")?.to_str()?.to_owned();
    response.expect(201)?;
    let lines = logged_lines(&stack).await?;
    work_line(&lines, |line| line["request_id"] == id.as_str())?;
    let has_warning = lines.iter().any(|line| line["message"] == "the collector did not take the spans");
    ensure!(has_warning, "the log does not mention the collector: {lines:#?}");
    Ok(())
}

/// A collector that records the spans it receives.
struct Collector {
    server: Server,
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Result<Self> {
        let received: Arc<Mutex<Vec<_>>> = Arc::default();
        let record = received.clone();
        let export = async move |body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).expect("the body is not OTLP");
            record.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        };
        let server = Port::free().await?.serve(Router::new().route("/v1/traces", post(export)));
        Ok(Self { server, received })
    }

    /// Each span with the name of its service.
    fn spans(&self) -> Vec<(String, Span)> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resources = received.into_iter().flat_map(|request| request.resource_spans);
        let with_service = resources.flat_map(|spans| {
            let attributes = spans.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = match service.and_then(|service| service.value.clone()?.value) {
                Some(Value::StringValue(name)) => name,
                _ => String::new(),
            };
            let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| (service.clone(), span))
        });
        with_service.collect()
    }
}

/// A stack in which `create-session` is built with OpenTelemetry.
async fn start_with_collector(url: &str) -> Result<LocalStack> {
    let mut binaries: Binaries = lambda::functions(Profile::Dev).await?;
    let traced =
        lambda::example("create-session", "create-session-traced", "opentelemetry", Profile::Dev).await?;
    binaries.insert("create-session".to_owned(), traced);
    LocalStack::builder().binaries(binaries).env("OTEL_EXPORTER_OTLP_ENDPOINT", url).start().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
