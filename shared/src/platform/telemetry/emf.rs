//! Metrics of an invocation in CloudWatch's embedded metric format (EMF). CloudWatch extracts them
//! from the log line, so sending them needs no request and no permission. The observability page
//! of the docs lists them.

use metrique_writer_core::{
    Entry, EntryWriter, MetricFlags, Observation, Unit, Value, ValueWriter, format::Format,
    unit::NegativeScale,
};
use metrique_writer_format_emf::{Emf, MetricDefinition, MetricDirective, NoMetric};
use serde_json::{Map, Value as Json};

use super::{
    invocation::TurnStats,
    upstream_stats::{UpstreamStats, millis},
};

/// Members of a line that are dimensions. An organisation, a user or a session never is one, since
/// each value would be a metric of its own.
const FUNCTION: &str = "function";
const CODE: &str = "code";
pub(super) const DIMENSIONS: [&str; 2] = [FUNCTION, CODE];

/// The metric that is counted by code.
const ERRORS: &str = "Errors";

const MILLISECONDS: Unit = Unit::Second(NegativeScale::Milli);

/// Outcome of an invocation, as its log line reports it.
pub(super) struct Record<'a> {
    pub function: &'a str,
    /// Name of the invocation's span, one of `KINDS`.
    pub kind: &'static str,
    pub duration_ms: f64,
    pub cold: bool,
    pub line: &'a Map<String, Json>,
    pub tallies: &'a UpstreamStats,
    pub turn: Option<&'a TurnStats>,
}

/// Returns the members for a line's metrics as text that begins with `{`, or `None`
/// if they cannot be written.
pub(super) fn render(namespace: &str, record: &Record<'_>) -> Option<String> {
    let everywhere = vec![vec![], vec![FUNCTION.to_owned()]];
    let mut format = Emf::builder(namespace.to_owned(), everywhere);
    if record.code().is_some() {
        let metrics = vec![MetricDefinition { name: ERRORS, unit: Unit::Count, storage_resolution: None }];
        format = format.directive(MetricDirective { dimensions: vec![vec![CODE]], metrics, namespace });
    }
    let mut written = Vec::new();
    format.build().format(record, &mut written).ok()?;
    String::from_utf8(written).ok()
}

impl Record<'_> {
    fn code(&self) -> Option<&str> {
        self.line.get(CODE)?.as_str()
    }
}

impl Entry for Record<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.value(FUNCTION, self.function);
        writer.value("ColdStarts", &count(self.cold.into()));
        let took = MetricValue { unit: MILLISECONDS, values: vec![(self.duration_ms, 1)] };
        let failed = u64::from(self.code().is_some());
        match self.kind {
            "request" => {
                let status = self.line.get("status").and_then(Json::as_u64).unwrap_or_default();
                writer.value("Requests", &count(1));
                // A streamed answer lasts as long as the model writes. Its delay is
                // TimeToFirstToken.
                if self.turn.is_none() {
                    writer.value("Latency", &took);
                }
                writer.value("ClientErrors", &count((400..500).contains(&status).into()));
                writer.value("ServerErrors", &count((status >= 500).into()));
                writer.value("Throttles", &count((status == 429).into()));
            }
            "run" => {
                writer.value("Runs", &count(1));
                writer.value("RunFailures", &count(failed));
                let jobs = self.line.get("failed_jobs").and_then(Json::as_u64).unwrap_or_default();
                writer.value("FailedJobs", &count(jobs));
                writer.value("RunDuration", &took);
            }
            _ => {
                writer.value("Tasks", &count(1));
                writer.value("TaskFailures", &count(failed));
            }
        }
        if let Some(turn) = self.turn {
            if let Some(first_token) = turn.first_token {
                let values = vec![(millis(first_token), 1)];
                writer.value("TimeToFirstToken", &MetricValue { unit: MILLISECONDS, values });
            }
            if let Some((input, output)) = turn.tokens {
                writer.value("InputTokens", &count(input));
                writer.value("OutputTokens", &count(output));
            }
            writer.value("StoppedResponses", &count(turn.is_stopped.into()));
        }
        if let Some(code) = self.code() {
            writer.value(CODE, code);
            // Written as a member only: the directive for `code` makes it a metric.
            writer.value(ERRORS, &NoMetric::from(count(1)));
        }
        for (system, stats) in &self.tallies.0 {
            for (what, number) in [
                ("Calls", stats.calls),
                ("Failures", stats.failures),
                ("Retries", stats.retries),
                ("Unauthorized", stats.unauthorized),
            ] {
                writer.value(format!("{system}{what}"), &count(number));
            }
            let latencies = MetricValue { unit: MILLISECONDS, values: stats.latencies.values() };
            writer.value(format!("{system}Latency"), &latencies);
        }
        for (name, number) in self.line.get("report").and_then(Json::as_object).into_iter().flatten() {
            let Some(number) = number.as_f64() else { continue };
            let unit = if name.ends_with("Seconds") { Unit::Second(NegativeScale::One) } else { Unit::Count };
            writer.value(pascal(name), &MetricValue { unit, values: vec![(number, 1)] });
        }
    }
}

/// Values of a metric in a line, and how often each occurred.
struct MetricValue {
    unit: Unit,
    values: Vec<(f64, u64)>,
}

fn count(number: u64) -> MetricValue {
    MetricValue { unit: Unit::Count, values: vec![(number as f64, 1)] }
}

impl Value for MetricValue {
    fn write(&self, writer: impl ValueWriter) {
        let observations = self.values.iter().map(|(value, occurrences)| match occurrences {
            1 => Observation::Floating(*value),
            _ => Observation::Repeated { total: value * *occurrences as f64, occurrences: *occurrences },
        });
        writer.metric(observations, self.unit, [], MetricFlags::empty());
    }
}

/// Converts a field name of a report to the case of CloudWatch's own metrics.
fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
