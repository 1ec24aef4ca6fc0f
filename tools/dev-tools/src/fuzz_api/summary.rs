//! How often what was answered to what.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// The answers to what was asked.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// All requests that arrived at the doors.
    pub requests: usize,
    /// By operation and status, as far as Schemathesis reports them.
    answers: BTreeMap<String, BTreeMap<u16, usize>>,
}

impl Tally {
    /// Adds the answers of a report, an event a line, and answers with those that are faults of the server.
    pub(super) fn add(&mut self, report: &str) -> Result<Vec<(String, u16)>> {
        let mut faults = Vec::new();
        for line in report.lines() {
            let event: Value = serde_json::from_str(line).context("a line of Schemathesis' report")?;
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
                *self.answers.entry(label).or_default().entry(status).or_default() += 1;
            }
        }
        Ok(faults)
    }

    /// Whether an operation was answered with a status of this class, 2 for 2xx.
    pub fn has(&self, label: &str, class: u16) -> bool {
        self.answers.get(label).is_some_and(|statuses| statuses.keys().any(|status| status / 100 == class))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.answers.iter().map(|(label, statuses)| {
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
    fn answers_are_counted_and_faults_named() {
        let report = REPORT.replace("}},\n", "}},");
        let mut tally = Tally::default();
        assert_eq!(tally.add(&report).unwrap(), [("GET /x".to_owned(), 503)]);
        assert!(tally.has("GET /x", 2) && tally.has("GET /x", 5));
        assert!(!tally.has("GET /x", 4) && !tally.has("POST /x", 2));
        assert!(tally.to_string().ends_with("200: 1, 503: 1"), "{tally}");
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        assert!(Tally::default().add("half of a l").is_err());
    }
}
