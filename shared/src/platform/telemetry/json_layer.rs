//! JSON log layer: writes each event as one line of JSON with the fields of its spans. The last
//! event of an invocation also holds its calls, duration and metrics.

use std::{
    fmt,
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use crate::platform::parse::Timestamp;

use super::{
    emf,
    invocation::{CALL, Invocation, KINDS, TARGET},
    upstream_stats::{UpstreamCall, millis},
};

/// The layer that writes events to standard output.
pub(super) struct JsonLogLayer {
    function: String,
    /// Namespace of the metrics in CloudWatch.
    namespace: String,
    /// Whether no invocation has ended in this process yet.
    cold: AtomicBool,
}

/// Fields of a span, stored with it.
struct Fields(Map<String, Value>);

/// When a call started, stored with its span.
struct StartedAt(Instant);

struct Visitor<'a>(&'a mut Map<String, Value>);

impl JsonLogLayer {
    pub fn new(function: String, namespace: String) -> Self {
        Self { function, namespace, cold: AtomicBool::new(true) }
    }

    /// Adds the data of the invocation to its last line, and writes the line with its metrics.
    fn end<'s, S: LookupSpan<'s>>(&self, root: &SpanRef<'s, S>, mut line: Map<String, Value>) {
        let mut extensions = root.extensions_mut();
        let Some(work) = extensions.get_mut::<Invocation>() else { return write(&Value::Object(line)) };
        let duration_ms = millis(work.elapsed());
        let cold = self.cold.swap(false, Ordering::Relaxed);
        line.insert("duration_ms".to_owned(), duration_ms.into());
        line.insert("cold_start".to_owned(), cold.into());
        let (calls, unlisted) = work.render_calls();
        line.insert("upstream".to_owned(), calls);
        if unlisted > 0 {
            line.insert("upstream_unlisted".to_owned(), unlisted.into());
        }
        // Reports are recorded as JSON text, since a field cannot hold a structure.
        if let Some(report) =
            line.get("report").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok())
        {
            line.insert("report".to_owned(), report);
        }
        let kind = root.name();
        let record = emf::Record {
            function: &self.function,
            kind,
            duration_ms,
            cold,
            line: &line,
            tallies: &work.tallies,
            turn: work.turn.as_ref(),
        };
        let metrics = emf::render(&self.namespace, &record);
        let metrics = metrics.as_deref().and_then(|metrics| metrics.trim_end().strip_prefix('{'));
        let Some(metrics) = metrics else { return write(&Value::Object(line)) };
        // Two objects are merged into one, and both have these members.
        for member in emf::DIMENSIONS {
            line.remove(member);
        }
        // The metrics contain this value.
        line.remove("failed_jobs");
        let line = Value::Object(line).to_string();
        write(&format_args!("{},{metrics}", line.strip_suffix('}').unwrap_or_default()));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLogLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Map::new();
        attributes.record(&mut Visitor(&mut fields));
        if span.name() == CALL {
            span.extensions_mut().insert(StartedAt(Instant::now()));
        }
        if KINDS.contains(&span.name()) {
            span.extensions_mut().insert(Invocation::start());
        }
        span.extensions_mut().insert(Fields(fields));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(Fields(fields)) = extensions.get_mut::<Fields>() else { return };
        values.record(&mut Visitor(fields));
        // It is for calls to other systems. The line needs only the trace id.
        let traceparent = fields.remove("traceparent");
        if let (Some(Value::String(traceparent)), Some(work)) =
            (traceparent, extensions.get_mut::<Invocation>())
        {
            work.traceparent = traceparent;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("function".to_owned(), self.function.as_str().into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
                line.extend(fields.clone());
            }
        }
        event.record(&mut Visitor(&mut line));
        match context.event_span(event).filter(|_| event.metadata().target() == TARGET) {
            Some(root) => self.end(&root, line),
            None => {
                line.entry("target").or_insert_with(|| event.metadata().target().into());
                write(&Value::Object(line));
            }
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(took) = span.extensions().get::<StartedAt>().map(|begun| begun.0.elapsed()) else { return };
        let call = span.extensions().get::<Fields>().map(|Fields(fields)| UpstreamCall {
            system: text(fields, "system").unwrap_or_default(),
            attempt: fields.get("attempt").and_then(Value::as_u64).unwrap_or_default(),
            status: fields.get("status").and_then(Value::as_u64).and_then(|status| status.try_into().ok()),
            failure: text(fields, "failure"),
            unauthorized: fields.get("unauthorized").and_then(Value::as_bool).unwrap_or_default(),
            took,
        });
        for outer in span.scope().skip(1) {
            if let (Some(call), Some(work)) = (&call, outer.extensions_mut().get_mut::<Invocation>()) {
                work.record_call(call);
            }
        }
    }
}

/// Writes whole lines in one call, so that concurrent lines do not mix. Errors are ignored, since
/// they cannot be reported elsewhere.
fn write(line: &dyn fmt::Display) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}

impl Visitor<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
