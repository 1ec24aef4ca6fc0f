//! Collects the log lines of invocations. The product's layer writes exactly these events as lines
//! with metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// The lines since the last `clear`: kind of work and status.
#[derive(Clone, Default)]
pub struct LogLines(Arc<Mutex<Vec<LogLine>>>);

#[derive(Debug, PartialEq)]
struct LogLine {
    work: &'static str,
    status: Option<u64>,
}

impl LogLines {
    fn recorded(&self) -> MutexGuard<'_, Vec<LogLine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn clear(&self) {
        self.recorded().clear();
    }

    /// Requires exactly one line, with this kind of work and status.
    pub fn check(&self, work: &'static str, status: Option<u64>) -> Result<(), String> {
        let recorded = self.recorded();
        match *recorded == [LogLine { work, status }] {
            true => Ok(()),
            false => Err(format!("expected one log line of {work} with {status:?}, found {recorded:?}")),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "invocation" {
            return;
        }
        let work = context.event_span(event).map_or("nothing", |span| span.name());
        let mut status = Status(None);
        event.record(&mut status);
        self.recorded().push(LogLine { work, status: status.0 });
    }
}

struct Status(Option<u64>);

impl Visit for Status {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
