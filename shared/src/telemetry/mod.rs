//! Logging: one JSON object a line on standard output, which is where Lambda collects it.

mod json;

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging at `AWS_LAMBDA_LOG_LEVEL` (`INFO` if it says nothing we know), and logs panics too.
///
/// `AWS_LAMBDA_LOG_FORMAT` is not asked: a line of JSON is good text, and one format is enough.
pub fn init() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(Level::INFO);
    // A second call (in a test) leaves the first subscriber in place.
    let _ =
        tracing_subscriber::registry().with(LevelFilter::from_level(level)).with(json::JsonLines).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        // The message is left out: it may quote a value.
        tracing::error!(at, "panicked");
    }));
}
