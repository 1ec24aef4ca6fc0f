//! Telemetry: one JSON object a line on standard output, which is where Lambda collects it. A unit of work's line has its metrics in it.

mod emf;
mod invocation;
mod json_layer;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod trace_context;
mod upstream_stats;

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::{Targets, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[cfg(feature = "mcp")]
pub(crate) use invocation::traceparent;
pub(crate) use invocation::{
    TARGET, admin_task, call, inject_traceparent, preflight_refused, record_session_id, request,
    scheduled_run,
};

/// Where metrics go that no `METRICS_NAMESPACE` sends elsewhere.
const NAMESPACE: &str = "ChatkitSessions";

/// Starts logging at `AWS_LAMBDA_LOG_LEVEL` (`INFO` if it says nothing we know), and logs panics too. `function` is the crate
/// that is heard beside this one.
///
/// `AWS_LAMBDA_LOG_FORMAT` is not asked: a line of JSON is good text, and one format is enough.
pub fn init(function: &str) {
    let level = variable("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let heard = level_filter(level, function);
    // Crates are named by their packages, which is what everybody calls the functions by.
    let package = function.replace('_', "-");
    let namespace = variable("METRICS_NAMESPACE").unwrap_or_else(|| NAMESPACE.to_owned());
    let filter = filter_fn(move |metadata| match metadata.is_span() {
        // Ours are there at every level, since the trace that is passed on is theirs; others' never: they may outlive the work,
        // and hold what is not ours to show.
        true => metadata.target() == TARGET,
        false => heard.would_enable(metadata.target(), metadata.level()),
    });
    let subscriber = tracing_subscriber::registry().with(filter);
    #[cfg(feature = "opentelemetry")]
    let subscriber = subscriber.with(opentelemetry::layer(&package));
    // A second call (in a test) leaves the first subscriber in place.
    let _ = subscriber.with(json_layer::JsonLogLayer::new(package, namespace)).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        // The message is left out: it may quote a value.
        tracing::error!(at, "panicked");
    }));
}

/// Sends what a collector is to have of the work that is over; with the feature `opentelemetry`, and nothing otherwise.
pub(crate) async fn flush() {
    #[cfg(feature = "opentelemetry")]
    opentelemetry::flush().await;
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Our own crates at the level that is asked for, and all others at `INFO` at most: below that the Lambda runtime writes
/// down whole events, with the user's token. rmcp is not heard at all: even its warnings quote what a server said.
fn level_filter(level: Level, function: &str) -> Targets {
    let others = LevelFilter::from_level(level).min(LevelFilter::INFO);
    Targets::new()
        .with_default(others)
        .with_target("rmcp", LevelFilter::OFF)
        .with_target(TARGET, level)
        .with_target("shared", level)
        .with_target(function, level)
}

/// The beginning of a text that a caller chose, fit for a line.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_not_heard_below_info() {
        let heard = level_filter(Level::TRACE, "get_session");
        assert!(heard.would_enable("shared::edge", &Level::TRACE));
        assert!(heard.would_enable("get_session::handler", &Level::TRACE));
        assert!(heard.would_enable("lambda_runtime", &Level::INFO));
        assert!(!heard.would_enable("lambda_runtime::layers", &Level::DEBUG));
        assert!(!heard.would_enable("rmcp::transport::worker", &Level::ERROR));
        assert!(
            !super::level_filter(Level::ERROR, "get_session").would_enable("lambda_runtime", &Level::INFO)
        );
    }
}
