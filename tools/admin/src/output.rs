//! The result of a command, as JSON and as text.

use std::{array, process::ExitCode};

use serde_json::Value;

pub struct Output {
    json: Value,
    text: String,
    is_complete: bool,
}

impl Output {
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), is_complete: true }
    }

    /// The result of a command that did only a part of its work. The text names the rest.
    pub fn incomplete(json: Value, text: impl Into<String>) -> Self {
        Self { is_complete: false, ..Self::new(json, text) }
    }

    pub fn print(&self, json: bool) {
        if json {
            println!("{:#}", self.json);
        } else {
            println!("{}", self.text.trim_end());
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        if self.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

pub fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let widths: [usize; N] =
        array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// A name and a value in each line.
pub fn two_columns<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    table(rows.into_iter().map(|(name, value)| [format!("  {name}"), value]))
}

/// A value without the quotes of a text.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let text = two_columns([("a", "1".to_owned()), ("long", plain(&Value::from("x")))]);
        assert_eq!(text, "  a     1\n  long  x\n");
    }
}
