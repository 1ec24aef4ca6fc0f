//! The table of measurements, each beside what it is compared with, and the limits.

use std::fmt;
use std::time::Duration;

use crate::bench::statistics::{megabytes, milliseconds};
use crate::terminal::TextStyle;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    Time(Duration),
    Bytes(u64),
    PerSecond(f64),
    Count(usize),
}

impl Amount {
    fn number(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Bytes(bytes) => bytes as f64,
            Self::PerSecond(rate) => rate,
            Self::Count(count) => count as f64,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{} ms", milliseconds(*time)),
            Self::Bytes(bytes) => write!(f, "{} MB", megabytes(*bytes)),
            Self::PerSecond(rate) => write!(f, "{rate:.1} / s"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

/// One measurement of the chat.
pub struct Row {
    pub name: &'static str,
    pub amount: Amount,
    /// The value of comparison, measured in the same run.
    pub baseline_name: &'static str,
    pub baseline: Amount,
    pub limit: Option<Limit>,
}

/// The largest permitted amount.
pub struct Limit {
    pub max: Amount,
    pub rule: &'static str,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.amount.number() / self.baseline.number()
    }

    /// Returns a text if the limit is exceeded.
    pub fn exceeded_limit(&self) -> Option<String> {
        let Limit { max, rule } = self.limit.as_ref()?;
        let is_exceeded = self.amount.number() > max.number();
        is_exceeded.then(|| format!("{} is {}, the limit is {max} ({rule})", self.name, self.amount))
    }
}

/// Returns the table, which is valid Markdown.
pub fn text(style: TextStyle, rows: &[Row]) -> String {
    let mut lines = vec![
        "| measurement                                        |       chat | compared with                       |   baseline |   ratio | limit                            |".to_owned(),
        "| -------------------------------------------------- | ---------: | ----------------------------------- | ---------: | ------: | -------------------------------- |".to_owned(),
    ];
    for row in rows {
        let limit = row.limit.as_ref().map_or("", |limit| limit.rule);
        let (amount, baseline) = (row.amount.to_string(), row.baseline.to_string());
        let line = format!(
            "| {:<50} | {amount:>10} | {:<35} | {baseline:>10} | {:>7} | {limit:<32} |",
            row.name,
            row.baseline_name,
            ratio_text(row.ratio()),
        );
        lines.push(if row.exceeded_limit().is_some() { style.bad(line) } else { line });
    }
    lines.join("\n")
}

/// Returns a small ratio as a fraction.
fn ratio_text(ratio: f64) -> String {
    if ratio < 0.1 { format!("1/{:.0}", 1.0 / ratio) } else { format!("{ratio:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(amount: Amount, baseline: Amount, max: Option<Amount>) -> Row {
        let limit = max.map(|max| Limit { max, rule: "a rule" });
        Row { name: "x", amount, baseline_name: "y", baseline, limit }
    }

    #[test]
    fn only_an_exceeded_limit_is_reported() {
        let ms = |ms| Amount::Time(Duration::from_millis(ms));
        assert_eq!(row(ms(5), ms(1), None).exceeded_limit(), None);
        assert_eq!(row(ms(5), ms(1), Some(ms(5))).exceeded_limit(), None);
        let exceeded = row(ms(6), ms(1), Some(ms(5))).exceeded_limit();
        assert_eq!(exceeded.as_deref(), Some("x is 6.0 ms, the limit is 5.0 ms (a rule)"));
        assert!(row(Amount::Bytes(2), Amount::Bytes(1), Some(Amount::Bytes(1))).exceeded_limit().is_some());
    }

    #[test]
    fn row_shows_amounts_and_ratio() {
        let rows = [row(Amount::PerSecond(198.0), Amount::PerSecond(200.0), None)];
        let table = text(TextStyle::plain(), &rows);
        assert!(
            table.contains("198.0 / s") && table.contains("200.0 / s") && table.contains("0.99"),
            "{table}"
        );
        assert_eq!((ratio_text(0.01), ratio_text(2.5)), ("1/100".to_owned(), "2.50".to_owned()));
    }
}
