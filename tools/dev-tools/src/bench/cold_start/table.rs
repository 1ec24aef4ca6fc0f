//! The table of medians and ratios, with limits.

use std::time::Duration;

use super::HELLO;
use super::measure::Start;
use super::size::Size;
use crate::bench::statistics::{median, megabytes, milliseconds};
use crate::terminal::TextStyle;

/// Limit of a function's own time as a multiple of the hello world's.
const MAX_RATIO: f64 = 2.0;
/// Limit of the peak resident memory in bytes.
const MAX_MEMORY: u64 = 12_000_000;
/// Limit of the zip file of the chat, in bytes.
const MAX_ZIPPED_OF_CHAT: u64 = 5_000_000;
/// Limit of the zip file of a function with an MCP client, in bytes.
const MAX_ZIPPED_WITH_MCP: u64 = 4_000_000;
/// Limit of the zip file of any other function, in bytes.
const MAX_ZIPPED: u64 = 3_000_000;
/// The function that streams the chat.
const CHAT: &str = "serve-chatkit";
/// The other functions with an MCP client.
const WITH_MCP: &[&str] = &["doctor", "route-events"];

/// The medians of one program.
pub struct Row {
    pub name: String,
    first: Duration,
    upstream: Duration,
    own: Duration,
    warm: Duration,
    peak_memory: u64,
    size: Size,
}

impl Row {
    /// Computes the medians of all starts, and the maximum of the memory.
    pub fn new(name: &str, starts: &[Start], size: Size) -> Self {
        let over = |part: fn(&Start) -> Duration| median(starts.iter().map(part).collect());
        Self {
            name: name.to_owned(),
            first: over(|start| start.first),
            upstream: over(|start| start.upstream),
            own: over(Start::own),
            warm: median(starts.iter().flat_map(|start| start.warm.clone()).collect()),
            peak_memory: starts.iter().map(|start| start.peak_memory).max().unwrap_or_default(),
            size,
        }
    }

    fn ratio(&self, rows: &[Row]) -> f64 {
        let hello = rows.iter().find(|row| row.name == HELLO).map_or(Duration::ZERO, |row| row.own);
        self.own.as_secs_f64() / hello.as_secs_f64()
    }

    /// Returns a text for each exceeded limit.
    pub fn exceeded_limits(&self, rows: &[Row]) -> Vec<String> {
        if self.name == HELLO {
            return Vec::new();
        }
        let mut over = Vec::new();
        let ratio = self.ratio(rows);
        if ratio > MAX_RATIO {
            over.push(format!(
                "{} takes {ratio:.2} × the hello world, the limit is {MAX_RATIO} ×",
                self.name
            ));
        }
        if self.peak_memory > MAX_MEMORY {
            let (peak, max) = (megabytes(self.peak_memory), megabytes(MAX_MEMORY));
            over.push(format!("{} had {peak} MB resident, the limit is {max} MB", self.name));
        }
        let max_zipped = max_zipped(&self.name);
        if self.size.zipped > max_zipped {
            let (zipped, max) = (megabytes(self.size.zipped), megabytes(max_zipped));
            over.push(format!("{} is {zipped} MB zipped, the limit is {max} MB", self.name));
        }
        over
    }
}

fn max_zipped(function: &str) -> u64 {
    match function {
        CHAT => MAX_ZIPPED_OF_CHAT,
        _ if WITH_MCP.contains(&function) => MAX_ZIPPED_WITH_MCP,
        _ => MAX_ZIPPED,
    }
}

/// Returns the table, which is valid Markdown.
pub fn text(title: &str, rows: &[Row], runs: usize) -> String {
    let mut lines = vec![
        format!("{title}: medians of {runs} interleaved starts (release profile, one process each)."),
        String::new(),
        "| function           | first response | upstreams |      own | × hello |     warm | peak memory |  binary |  zipped |".to_owned(),
        "| ------------------ | -----------: | --------: | -------: | ------: | -------: | ----------: | ------: | ------: |".to_owned(),
    ];
    for row in rows {
        let line = format!(
            "| {:<18} | {:>9} ms | {:>6} ms | {:>5} ms | {:>7.2} | {:>5} ms | {:>8} MB | {:>4} MB | {:>4} MB |",
            row.name,
            milliseconds(row.first),
            milliseconds(row.upstream),
            milliseconds(row.own),
            row.ratio(rows),
            milliseconds(row.warm),
            megabytes(row.peak_memory),
            megabytes(row.size.binary),
            megabytes(row.size.zipped),
        );
        lines.push(line);
    }
    lines.join("\n")
}

/// Returns the meaning of the columns, and the limits.
pub fn legend(style: TextStyle) -> String {
    let limits = format!(
        "own = first response (from the spawn) without the upstreams' time; warm = later calls, likewise. Limits: own ≤ \
         {MAX_RATIO} × hello world, peak memory ≤ {} MB, zipped ≤ {} MB ({} MB with an MCP client, {} MB for {CHAT}); none with runtime secrets.",
        megabytes(MAX_MEMORY),
        megabytes(MAX_ZIPPED),
        megabytes(MAX_ZIPPED_WITH_MCP),
        megabytes(MAX_ZIPPED_OF_CHAT)
    );
    style.dim(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exceeded_limit_is_reported() {
        let row = |name: &str, own: u64, peak_memory: u64, zipped: u64| {
            let start = Start {
                first: Duration::from_millis(own),
                upstream: Duration::ZERO,
                warm: vec![],
                peak_memory,
            };
            Row::new(name, &[start], Size { binary: 1, zipped })
        };
        let rows = [
            row(HELLO, 5, 20_000_000, 1),
            row("fine", 10, 12_000_000, 3_000_000),
            row("bad", 11, 12_000_001, 3_000_001),
            row("doctor", 10, 12_000_000, 4_000_000),
            row("route-events", 10, 12_000_000, 4_000_001),
            row(CHAT, 10, 12_000_000, 5_000_000),
            row(CHAT, 10, 12_000_000, 5_000_001),
        ];
        let over: Vec<usize> = rows.iter().map(|row| row.exceeded_limits(&rows).len()).collect();
        assert_eq!(over, [0, 0, 3, 0, 1, 0, 1]);
    }
}
