//! OpenTelemetry export: sends spans to a collector if `OTEL_EXPORTER_OTLP_ENDPOINT`, or the
//! variable for traces alone, names one.
//! Source: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>
//!
//! Spans are sent when an invocation ends and before its response leaves, since Lambda may freeze
//! the process right after. A background export would be late or lost.

use std::{
    mem,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use ::opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider},
};
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, SpanData, SpanExporter as _, SpanProcessor},
};
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use super::{trace_context::TraceContext, variable};
use crate::platform::tls as client;

/// Maximum time that a response waits for the collector. Spans that it does not accept by then are
/// lost. The log has the same data.
const EXPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// Variables that can name a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Exporter and ended spans of this process, if there is a collector.
static OUTBOX: OnceLock<Outbox> = OnceLock::new();

struct Outbox {
    ended: EndedSpans,
    exporter: SpanExporter,
}

/// Spans that have ended and are not sent yet.
#[derive(Clone, Debug, Default)]
struct EndedSpans(Arc<Mutex<Vec<SpanData>>>);

/// Creates the layer that makes spans for the collector. Returns `None` if no collector is named or
/// the exporter cannot be built.
pub(super) fn layer<S>(function: &str) -> Option<OpenTelemetryLayer<S, SdkTracer>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    ENDPOINTS.iter().find_map(|name| variable(name))?;
    let client = client::client_builder().ok()?.timeout(EXPORT_TIMEOUT).build().ok()?;
    let exporter = SpanExporter::builder().with_http().with_http_client(ExportClient(client)).build().ok()?;
    let ended = EndedSpans::default();
    let resource = Resource::builder().with_service_name(function.to_owned()).build();
    let mut exporter = exporter;
    exporter.set_resource(&resource);
    let provider =
        SdkTracerProvider::builder().with_span_processor(ended.clone()).with_resource(resource).build();
    let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    OUTBOX.set(Outbox { ended, exporter }).ok()?;
    Some(tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false))
}

/// Makes the span of an invocation continue the caller's trace, and returns the
/// span's context in that trace.
pub(super) fn place(span: &Span, trace: TraceContext) -> TraceContext {
    if OUTBOX.get().is_none() {
        return trace;
    }
    if let Some(parent) = trace.parent {
        let id = TraceId::from(trace.id);
        let flags = TraceFlags::new(trace.flags);
        let caller = SpanContext::new(id, SpanId::from(parent), flags, true, TraceState::NONE);
        // Fails only for a span whose recording has started, and this span is new.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller));
    }
    trace_context(span).unwrap_or(trace)
}

/// Returns the context of the current span, as the collector receives it.
pub(super) fn current() -> Option<TraceContext> {
    OUTBOX.get().and_then(|_| trace_context(&Span::current()))
}

fn trace_context(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| TraceContext {
        id: u128::from_be_bytes(span.trace_id().to_bytes()),
        parent: None,
        place: u64::from_be_bytes(span.span_id().to_bytes()),
        flags: span.trace_flags().to_u8(),
    })
}

pub(super) async fn flush() {
    let Some(outbox) = OUTBOX.get() else { return };
    let ended = mem::take(&mut *outbox.ended.0.lock().unwrap_or_else(PoisonError::into_inner));
    if ended.is_empty() {
        return;
    }
    if let Err(error) = outbox.exporter.export(ended).await {
        tracing::warn!(%error, "the collector did not take the spans");
    }
}

impl SpanProcessor for EndedSpans {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// HTTP client of the exporter.
#[derive(Debug)]
struct ExportClient(reqwest::Client);

#[async_trait]
impl HttpClient for ExportClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        let headers = mem::take(answer.headers_mut());
        let mut response = Response::new(answer.bytes().await.map_err(reqwest::Error::without_url)?);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
