//! Counts responses by operation and status.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

#[derive(Clone, Debug, Default)]
pub struct ResponseCounts {
    /// All requests that reached the endpoints.
    pub requests: usize,
    /// By operation and status, as reported by Schemathesis.
    responses: BTreeMap<String, BTreeMap<u16, usize>>,
}

impl ResponseCounts {
    /// Adds the responses of a report with one event per line. Returns the server errors.
    pub(super) fn add(&mut self, report: &str) -> Result<Vec<(String, u16)>> {
        let mut faults = Vec::new();
        for line in report.lines() {
            let event: Value =
                serde_json::from_str(line).context("parsing a line of Schemathesis' report")?;
            let recorder = &event["ScenarioFinished"]["recorder"];
            for (id, interaction) in recorder["interactions"].as_object().into_iter().flatten() {
                let case = &recorder["cases"][id]["value"];
                let status = interaction["response"]["status_code"].as_u64();
                let Some(status) = status.and_then(|status| u16::try_from(status).ok()) else { continue };
                let part = |name: &str| case[name].as_str().unwrap_or("?");
                let label = format!("{} {}", part("method"), part("path"));
                if status >= 500 {
                    faults.push((label.clone(), status));
                }
                *self.responses.entry(label).or_default().entry(status).or_default() += 1;
            }
        }
        Ok(faults)
    }

    /// Returns whether an operation returned a status of this class, for example 2 for 2xx.
    pub fn has(&self, label: &str, class: u16) -> bool {
        self.responses.get(label).is_some_and(|statuses| statuses.keys().any(|status| status / 100 == class))
    }
}

impl fmt::Display for ResponseCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.responses.iter().map(|(label, statuses)| {
            let statuses = statuses.iter().map(|(status, count)| format!("{status}: {count}"));
            format!("{label:<36} {}", statuses.collect::<Vec<_>>().join(", "))
        });
        f.write_str(&rows.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"PhaseStarted":{"phase":{"name":"fuzzing"}}}
{"ScenarioFinished":{"recorder":{"cases":{"a":{"value":{"method":"GET","path":"/x"}},"b":{"value":{"method":"GET","path":"/x"}}},
"interactions":{"a":{"response":{"status_code":200}},"b":{"response":{"status_code":503}},"c":{"response":null}}}}}"#;

    #[test]
    fn responses_are_counted_and_server_errors_returned() {
        let report = REPORT.replace("}},\n", "}},");
        let mut counts = ResponseCounts::default();
        assert_eq!(counts.add(&report).unwrap(), [("GET /x".to_owned(), 503)]);
        assert!(counts.has("GET /x", 2) && counts.has("GET /x", 5));
        assert!(!counts.has("GET /x", 4) && !counts.has("POST /x", 2));
        assert!(counts.to_string().ends_with("200: 1, 503: 1"), "{counts}");
    }

    #[test]
    fn malformed_report_is_an_error() {
        assert!(ResponseCounts::default().add("half of a l").is_err());
    }
}
