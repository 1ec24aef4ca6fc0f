//! The table of medians and ratios, and the limits.

use std::time::Duration;

use super::HELLO;
use super::measure::Start;
use super::size::Size;
use crate::terminal::TextStyle;

/// How many times the hello world's first answer a function's own may take.
const MOST_TIMES: f64 = 2.0;
/// The most memory a function may have resident, in bytes.
const MOST_MEMORY: u64 = 12_000_000;
/// The largest upload, in bytes.
const MOST_ZIPPED: u64 = 4_000_000;

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
    /// What so many starts come to. Of the memory it is the most.
    pub fn of(name: &str, starts: &[Start], size: Size) -> Self {
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

    fn times(&self, rows: &[Row]) -> f64 {
        let hello = rows.iter().find(|row| row.name == HELLO).map_or(Duration::ZERO, |row| row.own);
        self.own.as_secs_f64() / hello.as_secs_f64()
    }

    /// Every limit that this function is over, in words.
    pub fn over_limits(&self, rows: &[Row]) -> Vec<String> {
        if self.name == HELLO {
            return Vec::new();
        }
        let mut over = Vec::new();
        let times = self.times(rows);
        if times > MOST_TIMES {
            over.push(format!("{} takes {times:.2} × the hello world, {MOST_TIMES} × is allowed", self.name));
        }
        if self.peak_memory > MOST_MEMORY {
            let (peak, most) = (megabytes(self.peak_memory), megabytes(MOST_MEMORY));
            over.push(format!("{} had {peak} MB resident, {most} MB are allowed", self.name));
        }
        if self.size.zipped > MOST_ZIPPED {
            let (zipped, most) = (megabytes(self.size.zipped), megabytes(MOST_ZIPPED));
            over.push(format!("{} is {zipped} MB zipped, {most} MB are allowed", self.name));
        }
        over
    }
}

/// The table for a terminal, which is a table in Markdown too.
pub fn text(ink: TextStyle, rows: &[Row], runs: usize) -> String {
    let mut lines = vec![
        format!("Medians of {runs} interleaved starts (release profile, one process each)."),
        String::new(),
        "| function        | first answer | upstreams |      own | × hello |     warm | peak memory |  binary |  zipped |".to_owned(),
        "| --------------- | -----------: | --------: | -------: | ------: | -------: | ----------: | ------: | ------: |".to_owned(),
    ];
    for row in rows {
        let line = format!(
            "| {:<15} | {:>9} ms | {:>6} ms | {:>5} ms | {:>7.2} | {:>5} ms | {:>8} MB | {:>4} MB | {:>4} MB |",
            row.name,
            milliseconds(row.first),
            milliseconds(row.upstream),
            milliseconds(row.own),
            row.times(rows),
            milliseconds(row.warm),
            megabytes(row.peak_memory),
            megabytes(row.size.binary),
            megabytes(row.size.zipped),
        );
        let over = !row.over_limits(rows).is_empty();
        lines.push(if over { ink.bad(line) } else { line });
    }
    let limits = format!(
        "own = first answer (from the spawn) less the upstreams' own time; warm likewise, after the first. Limits: own ≤ \
         {MOST_TIMES} × hello world, peak memory ≤ {} MB, zipped ≤ {} MB.",
        megabytes(MOST_MEMORY),
        megabytes(MOST_ZIPPED)
    );
    lines.extend([String::new(), ink.dim(limits)]);
    lines.join("\n")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let middle = times.len() / 2;
    match times.len() % 2 {
        _ if times.is_empty() => Duration::ZERO,
        0 => (times[middle - 1] + times[middle]) / 2,
        _ => times[middle],
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two() {
        let ms =
            |times: &[u64]| median(times.iter().map(|ms| Duration::from_millis(*ms)).collect()).as_micros();
        assert_eq!((ms(&[]), ms(&[3]), ms(&[9, 1, 5]), ms(&[1, 4, 2, 9])), (0, 3000, 5000, 3000));
    }

    #[test]
    fn each_limit_is_noticed() {
        let row = |name: &str, own: u64, peak_memory: u64, zipped: u64| {
            let start = Start {
                first: Duration::from_millis(own),
                upstream: Duration::ZERO,
                warm: vec![],
                peak_memory,
            };
            Row::of(name, &[start], Size { binary: 1, zipped })
        };
        let rows = [
            row(HELLO, 5, 20_000_000, 1),
            row("fine", 10, 12_000_000, 4_000_000),
            row("bad", 11, 12_000_001, 4_000_001),
        ];
        let over: Vec<usize> = rows.iter().map(|row| row.over_limits(&rows).len()).collect();
        assert_eq!(over, [0, 0, 3]);
    }
}
