//! Progress and warnings of the library on standard error.

use std::fmt::{self, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// The module whose steps are shown, because they can take minutes.
const ERASURE: &str = "shared::jobs::erasure";

/// Prints the steps of an erasure, and all warnings of the library.
pub fn print_to_stderr() {
    let filter = Targets::new().with_target("shared", Level::WARN).with_target(ERASURE, Level::DEBUG);
    let filter = filter.with_default(LevelFilter::OFF);
    let _ = tracing_subscriber::registry().with(StderrLayer.with_filter(filter)).try_init();
}

struct StderrLayer;

impl<S: Subscriber> Layer<S> for StderrLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mark = if *event.metadata().level() <= Level::WARN { "warning: " } else { "" };
        eprintln!("{mark}{}{}", line.message, line.fields);
    }
}

/// An event as one line: the message, then the fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "  {name}={value:?}"),
        };
    }
}
