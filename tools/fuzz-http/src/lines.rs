//! Counts the lines that end units of work. The function's own layer turns exactly these events into lines with metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// What has been written since it was last forgotten: the kind of work and its status.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<Line>>>);

#[derive(Debug, PartialEq)]
struct Line {
    work: &'static str,
    status: Option<u64>,
}

impl Lines {
    fn written(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self) {
        self.written().clear();
    }

    /// That there is one line, of this work and this status.
    pub fn check(&self, work: &'static str, status: Option<u64>) -> Result<(), String> {
        let written = self.written();
        match *written == [Line { work, status }] {
            true => Ok(()),
            false => Err(format!("the lines are {written:?} and not one of {work} with {status:?}")),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "work" {
            return;
        }
        let work = context.event_span(event).map_or("nothing", |span| span.name());
        let mut status = Status(None);
        event.record(&mut status);
        self.written().push(Line { work, status: status.0 });
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
