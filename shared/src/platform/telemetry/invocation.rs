//! A unit of work: a request, a round, an order. Each has one line in the log, which is written when it is over and holds what it did
//! with whom; the same line carries its metrics.
//!
//! Told by tracing's own means: a span for the work, a span for each call of another system within it, and a last event that says how
//! it ended. So whoever does the work needs to know nothing of lines and metrics.

use std::time::{Duration, Instant};

use lambda_http::{
    Context,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tracing::{Span, field::Empty, info_span};
use tracing_subscriber::{Registry, registry::LookupSpan};

use super::{
    trace_context::TraceContext,
    upstream_stats::{UpstreamCall, UpstreamStats, millis},
};

/// What marks the spans of units of work and of their calls, and the event that ends the work.
pub(crate) const TARGET: &str = "work";

/// The spans of units of work, by name.
pub(super) const KINDS: [&str; 3] = ["request", "round", "order"];

/// The span of a call, by name.
pub(super) const CALL: &str = "call";

/// The calls that a line lists, in the order in which they ended; its metrics count all of them. With more, a round's line would have
/// more fields than the two hundred that CloudWatch Logs Insights finds by name.
const MAX_LISTED_CALLS: usize = 14;

/// What the log's line gathers, kept with the work's span.
pub(super) struct Invocation {
    started: Instant,
    pub(super) traceparent: String,
    calls: Vec<Value>,
    unlisted: u64,
    pub(super) tallies: UpstreamStats,
}

/// Begins a request.
pub(crate) fn request(context: &Context, traceparent: Option<&str>, method: &str, route: &str) -> Span {
    let trace = TraceContext::continuing(traceparent, context.xray_trace_id.as_deref());
    let span = info_span!(
        target: TARGET, parent: None, "request",
        request_id = context.request_id, trace_id = Empty, traceparent = Empty, method, route,
        org_id = Empty, session_id = Empty, preflight_refused = Empty,
    );
    with_trace(span, trace)
}

/// Begins a round of a scheduled function.
pub(crate) fn scheduled_run(context: &Context) -> Span {
    let trace = TraceContext::continuing(None, context.xray_trace_id.as_deref());
    let id = &context.request_id;
    let span = info_span!(
        target: TARGET, parent: None, "round", request_id = id, trace_id = Empty, traceparent = Empty,
    );
    with_trace(span, trace)
}

/// Begins what an operator ordered.
pub(crate) fn admin_task(context: &Context) -> Span {
    let trace = TraceContext::continuing(None, context.xray_trace_id.as_deref());
    let id = &context.request_id;
    let span = info_span!(
        target: TARGET, parent: None, "order", request_id = id, trace_id = Empty, traceparent = Empty,
    );
    with_trace(span, trace)
}

fn with_trace(span: Span, trace: TraceContext) -> Span {
    #[cfg(feature = "opentelemetry")]
    let trace = super::opentelemetry::place(&span, trace);
    span.record("trace_id", trace.id()).record("traceparent", tracing::field::display(trace));
    span
}

/// Begins one try of a call of another system. What came of it goes into `status`, or `failure`; `unauthorized` where the key or
/// token that was shown is refused.
pub(crate) fn call(system: &'static str, attempt: u32) -> Span {
    info_span!(target: TARGET, CALL, system, attempt, status = Empty, failure = Empty, unauthorized = Empty)
}

/// The session that the work is about, once it is known.
pub(crate) fn record_session_id(id: uuid::Uuid) {
    Span::current().record("session_id", tracing::field::display(id));
}

/// What a browser's preflight asked for in vain.
pub(crate) fn preflight_refused(what: &str) {
    Span::current().record("preflight_refused", what);
}

/// The header `traceparent` for whoever is called now.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    #[cfg(feature = "opentelemetry")]
    if let Some(trace) = super::opentelemetry::current() {
        return trace.to_string().parse().ok();
    }
    let found = Span::current().with_subscriber(|(id, subscriber)| {
        let span = subscriber.downcast_ref::<Registry>()?.span(id)?;
        span.scope().find_map(|span| Some(span.extensions().get::<Invocation>()?.traceparent.clone()))
    });
    found.flatten().and_then(|value| value.parse().ok())
}

/// Sends the trace along with a request.
pub(crate) fn inject_traceparent(headers: &mut HeaderMap) {
    headers.extend(traceparent().map(|value| (HeaderName::from_static("traceparent"), value)));
}

impl Invocation {
    pub(super) fn start() -> Self {
        let (calls, tallies) = (Vec::new(), UpstreamStats::default());
        Self { started: Instant::now(), traceparent: String::new(), calls, unlisted: 0, tallies }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn record_call(&mut self, call: &UpstreamCall) {
        self.tallies.count(call);
        if self.calls.len() == MAX_LISTED_CALLS {
            self.unlisted += 1;
            return;
        }
        let mut entry = json!({ "system": call.system, "attempt": call.attempt, "ms": millis(call.took) });
        if let Some(status) = call.status {
            entry["status"] = status.into();
        }
        if let Some(failure) = &call.failure {
            entry["failure"] = failure.as_str().into();
        }
        self.calls.push(entry);
    }

    /// The calls that are listed, and how many others there were.
    pub(super) fn render_calls(&self) -> (Value, u64) {
        (self.calls.clone().into(), self.unlisted)
    }
}
