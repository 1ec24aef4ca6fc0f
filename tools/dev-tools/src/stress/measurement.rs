//! Measurements and their expected values.

use super::{StressResult, StressTest};
use crate::terminal::TextStyle;

/// A measurement of a stress test.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The name in the report.
    pub name: &'static str,
    pub found: String,
    /// The expected value; empty for information only.
    pub expected: String,
    /// Whether the actual value is as expected.
    pub passed: bool,
}

impl Measurement {
    /// A count that must be zero.
    pub fn zero(name: &'static str, actual: usize) -> Self {
        Self { name, found: actual.to_string(), expected: "0".to_owned(), passed: actual == 0 }
    }

    /// Violations, of which there must be none. The first ones are listed.
    pub fn violations(name: &'static str, actual: &[String]) -> Self {
        let mut text = actual.len().to_string();
        if !actual.is_empty() {
            let first: Vec<&str> = actual.iter().take(5).map(String::as_str).collect();
            text.push_str(&format!(": {}", first.join("; ")));
        }
        Self { name, found: text, expected: "0".to_owned(), passed: actual.is_empty() }
    }

    /// A count with a known value.
    pub fn exactly(name: &'static str, actual: usize, expected: usize) -> Self {
        Self { name, found: actual.to_string(), expected: expected.to_string(), passed: actual == expected }
    }

    /// A share with a minimum in percent.
    pub fn min_percent(name: &'static str, part: usize, whole: usize, percent: f64) -> Self {
        let actual = 100.0 * part as f64 / whole.max(1) as f64;
        let (text, expected) = (format!("{actual:.2} %"), format!("≥ {percent} %"));
        Self { name, found: text, expected, passed: actual >= percent }
    }

    /// A ratio with a maximum.
    pub fn max_ratio(name: &'static str, part: usize, whole: usize, max: f64) -> Self {
        let actual = part as f64 / whole.max(1) as f64;
        Self { name, found: format!("{actual:.3}"), expected: format!("≤ {max}"), passed: actual <= max }
    }

    /// A value for information only.
    pub fn info(name: &'static str, actual: usize) -> Self {
        Self { name, found: actual.to_string(), expected: String::new(), passed: true }
    }

    /// A count that must not be zero, because other measurements would be meaningless.
    pub fn non_zero(name: &'static str, actual: usize) -> Self {
        Self { name, found: actual.to_string(), expected: "> 0".to_owned(), passed: actual > 0 }
    }
}

/// The header of the table, which is valid Markdown.
pub fn heading() -> String {
    let row = format!(
        "| {:<62} | {:<58} | {:>10} | {:>8} |  |\n| {} | {} | {}: | {}: |--|",
        "test",
        "measurement",
        "actual",
        "expected",
        "-".repeat(62),
        "-".repeat(58),
        "-".repeat(9),
        "-".repeat(7)
    );
    row
}

/// Returns the rows of a stress test, one per measurement.
pub fn rows(style: TextStyle, test: &StressTest, result: &StressResult) -> String {
    let name = format!("{} {} ({} s)", result.count, test.description, result.took.as_secs());
    let names = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
    let lines = result.measurements.iter().zip(names).map(|(measurement, name)| {
        let line = format!(
            "| {name:<62} | {:<58} | {:>10} | {:>8} |{}|",
            measurement.name,
            measurement.found,
            measurement.expected,
            if measurement.passed { "  " } else { " ✗" },
        );
        if measurement.passed { line } else { style.bad(line) }
    });
    lines.collect::<Vec<_>>().join("\n")
}
