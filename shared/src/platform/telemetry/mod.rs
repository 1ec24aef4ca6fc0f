//! Telemetry: structured logs, one JSON object per line on standard output, where Lambda collects
//! them. The last line of an invocation holds its metrics.

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
pub use invocation::{record_first_token, record_stopped_response, record_tokens};

/// Namespace of the metrics if `METRICS_NAMESPACE` is not set.
const NAMESPACE: &str = "ChatkitSessions";

/// Starts logging at `AWS_LAMBDA_LOG_LEVEL` (`INFO` if it is missing or unknown), and logs panics
/// too. `function` is the crate that is logged at that level in addition to this one.
///
/// `AWS_LAMBDA_LOG_FORMAT` is ignored: a line of JSON is readable as text,
/// and one format is enough.
pub fn init(function: &str) {
    let level = variable("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let heard = level_filter(level, function);
    // Functions are known by the names of their packages, which have hyphens.
    let package = function.replace('_', "-");
    let namespace = variable("METRICS_NAMESPACE").unwrap_or_else(|| NAMESPACE.to_owned());
    let filter = filter_fn(move |metadata| match metadata.is_span() {
        // Our own spans are enabled at every level, because they carry the trace that is
        // propagated. Spans of other crates are disabled: they may outlive the invocation and hold
        // data that must not be logged.
        true => metadata.target() == TARGET,
        false => heard.would_enable(metadata.target(), metadata.level()),
    });
    let subscriber = tracing_subscriber::registry().with(filter);
    #[cfg(feature = "opentelemetry")]
    let subscriber = subscriber.with(opentelemetry::layer(&package));
    // A second call (in a test) keeps the first subscriber.
    let _ = subscriber.with(json_layer::JsonLogLayer::new(package, namespace)).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        // The message is left out, since it may quote a value.
        tracing::error!(at, "panicked");
    }));
}

/// Sends the spans that have ended to the collector. Does nothing without the feature
/// `opentelemetry`.
pub(crate) async fn flush() {
    #[cfg(feature = "opentelemetry")]
    opentelemetry::flush().await;
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Filters events: our own crates at `level`, all others at `INFO` at most. Below `INFO` the Lambda
/// runtime logs whole events with the user's token. rmcp is turned off, because even its warnings
/// quote what a server sent.
fn level_filter(level: Level, function: &str) -> Targets {
    let others = LevelFilter::from_level(level).min(LevelFilter::INFO);
    Targets::new()
        .with_default(others)
        .with_target("rmcp", LevelFilter::OFF)
        // Reports each timeout as an error of the HTTP client, which manages connections itself.
        .with_target("aws_smithy_runtime", LevelFilter::OFF)
        .with_target(TARGET, level)
        .with_target("shared", level)
        .with_target(function, level)
}

/// Shortens and escapes a text from a caller for a log line.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_filter_disables_other_crates_below_info() {
        let filter = level_filter(Level::TRACE, "get_session");
        assert!(filter.would_enable("shared::runtime", &Level::TRACE));
        assert!(filter.would_enable("get_session::handler", &Level::TRACE));
        assert!(filter.would_enable("lambda_runtime", &Level::INFO));
        assert!(!filter.would_enable("lambda_runtime::layers", &Level::DEBUG));
        assert!(!filter.would_enable("rmcp::transport::worker", &Level::ERROR));
        assert!(
            !super::level_filter(Level::ERROR, "get_session").would_enable("lambda_runtime", &Level::INFO)
        );
    }
}
