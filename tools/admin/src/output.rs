//! The result of a command, as JSON and as text.

use std::process::ExitCode;

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

pub fn two_columns<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<(&str, String)> = rows.into_iter().collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect()
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
