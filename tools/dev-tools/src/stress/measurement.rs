//! What was measured, beside what was promised.

use super::{Found, Trial};
use crate::terminal::TextStyle;

/// A figure of a trial.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Of what.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What is promised; nothing where it is only told.
    pub promised: String,
    /// Whether it is as promised.
    pub holds: bool,
}

impl Figure {
    /// Something that must not be there at all.
    pub fn none(what: &'static str, found: usize) -> Self {
        Self { what, found: found.to_string(), promised: "0".to_owned(), holds: found == 0 }
    }

    /// Violations, which must not be there at all; the first ones are named.
    pub fn violations(what: &'static str, found: &[String]) -> Self {
        let mut text = found.len().to_string();
        if !found.is_empty() {
            let first: Vec<&str> = found.iter().take(5).map(String::as_str).collect();
            text.push_str(&format!(": {}", first.join("; ")));
        }
        Self { what, found: text, promised: "0".to_owned(), holds: found.is_empty() }
    }

    /// A count that is known beforehand.
    pub fn exactly(what: &'static str, found: usize, promised: usize) -> Self {
        Self { what, found: found.to_string(), promised: promised.to_string(), holds: found == promised }
    }

    /// A share, in percent.
    pub fn at_least(what: &'static str, part: usize, whole: usize, percent: f64) -> Self {
        let found = 100.0 * part as f64 / whole.max(1) as f64;
        let (text, promised) = (format!("{found:.2} %"), format!("≥ {percent} %"));
        Self { what, found: text, promised, holds: found >= percent }
    }

    /// A ratio.
    pub fn at_most(what: &'static str, part: usize, whole: usize, most: f64) -> Self {
        let found = part as f64 / whole.max(1) as f64;
        Self { what, found: format!("{found:.3}"), promised: format!("≤ {most}"), holds: found <= most }
    }

    /// Something to know about the run.
    pub fn told(what: &'static str, found: usize) -> Self {
        Self { what, found: found.to_string(), promised: String::new(), holds: true }
    }

    /// Something to know about the run, without which the other figures say little: it must not be nothing.
    pub fn some(what: &'static str, found: usize) -> Self {
        Self { what, found: found.to_string(), promised: "> 0".to_owned(), holds: found > 0 }
    }
}

/// The head of the table, which is one in Markdown too.
pub fn heading() -> String {
    let row = format!(
        "| {:<62} | {:<58} | {:>10} | {:>8} |  |\n| {} | {} | {}: | {}: |--|",
        "trial",
        "figure",
        "found",
        "promised",
        "-".repeat(62),
        "-".repeat(58),
        "-".repeat(9),
        "-".repeat(7)
    );
    row
}

/// What a trial found, a figure a row.
pub fn rows(ink: TextStyle, trial: &Trial, found: &Found) -> String {
    let name = format!("{} {} ({} s)", found.count, trial.about, found.took.as_secs());
    let names = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
    let lines = found.figures.iter().zip(names).map(|(figure, name)| {
        let line = format!(
            "| {name:<62} | {:<58} | {:>10} | {:>8} |{}|",
            figure.what,
            figure.found,
            figure.promised,
            if figure.holds { "  " } else { " ✗" },
        );
        if figure.holds { line } else { ink.bad(line) }
    });
    lines.collect::<Vec<_>>().join("\n")
}
