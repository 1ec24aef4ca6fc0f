//! Invocations: an HTTP request, a scheduled run or an admin task. Each has one line in the log,
//! which is written when it ends. The line holds its calls to other systems and its metrics.
//!
//! It is built from tracing data: a span for the invocation, a span for each call within
//! it, and a last event with the outcome. So the code that does the work does not depend
//! on log lines and metrics.

use std::time::{Duration, Instant};

use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use lambda_runtime::Context;
use serde_json::{Value, json};
use tracing::{Span, field::Empty, info_span};
use tracing_subscriber::{Registry, registry::LookupSpan};

use super::{
    trace_context::TraceContext,
    upstream_stats::{UpstreamCall, UpstreamStats, millis},
};

/// Target of the spans of invocations and their calls, and of the event that ends an invocation.
pub(crate) const TARGET: &str = "invocation";

/// Names of the spans that are invocations.
pub(super) const KINDS: [&str; 3] = ["request", "run", "task"];

/// Name of the span of a call.
pub(super) const CALL: &str = "call";

/// Maximum number of calls that a line lists, in the order in which they ended. Metrics
/// count all of them. With more calls, a scheduled run's line would exceed the 200 fields
/// that CloudWatch Logs Insights discovers.
const MAX_LISTED_CALLS: usize = 12;

/// Data for the log line of an invocation, stored with its span.
pub(super) struct Invocation {
    started: Instant,
    pub(super) traceparent: String,
    calls: Vec<Value>,
    unlisted: u64,
    pub(super) tallies: UpstreamStats,
    /// `None` if the invocation did not ask a model.
    pub(super) turn: Option<TurnStats>,
}

/// Model calls of one request.
#[derive(Default)]
pub(super) struct TurnStats {
    /// From the start of the request.
    pub first_token: Option<Duration>,
    pub tokens: Option<(u64, u64)>,
    pub is_stopped: bool,
}

/// Starts the span of an HTTP request.
pub(crate) fn request(context: &Context, traceparent: Option<&str>, method: &str, route: &str) -> Span {
    let trace = TraceContext::continuing(traceparent, context.xray_trace_id.as_deref());
    let span = info_span!(
        target: TARGET, parent: None, "request",
        request_id = context.request_id, trace_id = Empty, traceparent = Empty, method, route,
        org_id = Empty, session_id = Empty, preflight_refused = Empty,
    );
    with_trace(span, trace)
}

/// Starts the span of a scheduled run.
pub(crate) fn scheduled_run(context: &Context) -> Span {
    let trace = TraceContext::continuing(None, context.xray_trace_id.as_deref());
    let id = &context.request_id;
    let span = info_span!(
        target: TARGET, parent: None, "run", request_id = id, trace_id = Empty, traceparent = Empty,
    );
    with_trace(span, trace)
}

/// Starts the span of an admin task.
pub(crate) fn admin_task(context: &Context) -> Span {
    let trace = TraceContext::continuing(None, context.xray_trace_id.as_deref());
    let id = &context.request_id;
    let span = info_span!(
        target: TARGET, parent: None, "task", request_id = id, trace_id = Empty, traceparent = Empty,
    );
    with_trace(span, trace)
}

fn with_trace(span: Span, trace: TraceContext) -> Span {
    #[cfg(feature = "opentelemetry")]
    let trace = super::opentelemetry::place(&span, trace);
    span.record("trace_id", trace.id()).record("traceparent", tracing::field::display(trace));
    span
}

/// Starts the span of one attempt of a call to another system. The outcome is recorded in `status`
/// or `failure`, and in `unauthorized` if the key or token was rejected.
pub(crate) fn call(system: &'static str, attempt: u32) -> Span {
    info_span!(target: TARGET, CALL, system, attempt, status = Empty, failure = Empty, unauthorized = Empty)
}

pub(crate) fn record_session_id(id: uuid::Uuid) {
    Span::current().record("session_id", tracing::field::display(id));
}

/// Records the time from the start of the request until now, when the response sends its first
/// token. Further calls for the same request are ignored.
pub fn record_first_token() {
    with_invocation(|invocation| {
        let elapsed = invocation.elapsed();
        invocation.turn.get_or_insert_default().first_token.get_or_insert(elapsed);
    });
}

/// Adds tokens of a model to those of the request.
pub fn record_tokens(input: u64, output: u64) {
    with_invocation(|invocation| {
        let (known_input, known_output) =
            invocation.turn.get_or_insert_default().tokens.get_or_insert_default();
        *known_input += input;
        *known_output += output;
    });
}

/// Records that a user stopped the response.
pub fn record_stopped_response() {
    with_invocation(|invocation| invocation.turn.get_or_insert_default().is_stopped = true);
}

/// Records the part of a CORS preflight that was rejected.
pub(crate) fn preflight_refused(what: &str) {
    Span::current().record("preflight_refused", what);
}

/// Returns the `traceparent` header for a call to another system.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    #[cfg(feature = "opentelemetry")]
    if let Some(trace) = super::opentelemetry::current() {
        return trace.to_string().parse().ok();
    }
    let traceparent = with_invocation(|invocation| invocation.traceparent.clone());
    traceparent.and_then(|value| value.parse().ok())
}

/// Reads or changes the invocation of the current span.
fn with_invocation<T>(access: impl FnOnce(&mut Invocation) -> T) -> Option<T> {
    let found = Span::current().with_subscriber(|(id, subscriber)| {
        let span = subscriber.downcast_ref::<Registry>()?.span(id)?;
        let root = span.scope().find(|span| span.extensions().get::<Invocation>().is_some())?;
        let mut extensions = root.extensions_mut();
        extensions.get_mut::<Invocation>().map(access)
    });
    found.flatten()
}

/// Adds the `traceparent` header to a request.
pub(crate) fn inject_traceparent(headers: &mut HeaderMap) {
    headers.extend(traceparent().map(|value| (HeaderName::from_static("traceparent"), value)));
}

impl Invocation {
    pub(super) fn start() -> Self {
        let calls = Vec::new();
        let tallies = UpstreamStats::default();
        Self { started: Instant::now(), traceparent: String::new(), calls, unlisted: 0, tallies, turn: None }
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

    /// Returns the listed calls and the number of those that are not listed.
    pub(super) fn render_calls(&self) -> (Value, u64) {
        (self.calls.clone().into(), self.unlisted)
    }
}
