//! Environment files, as `cargo dev` writes them and `cargo lambda … --env-file` reads them.

use std::{collections::HashMap, path::Path};

/// Reads the variables in a file.
pub(super) fn read(path: &Path) -> Result<HashMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    variables(&text).map_err(|line| format!("{}, line {line}: must be NAME='value'", path.display()))
}

fn variables(text: &str) -> Result<HashMap<String, String>, usize> {
    let lines = text.lines().map(str::trim).enumerate();
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(i, line)| variable(line).ok_or(i + 1)).collect()
}

fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let quoted = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    let value = quoted('\'').or_else(|| quoted('"')).unwrap_or(value);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_file_with_quotes_comments_and_export_is_parsed() {
        let read = variables("# keys\n\nA='x=y'\nexport B=\"z\"\nC=w\n").unwrap();
        assert_eq!((read["A"].as_str(), read["B"].as_str(), read["C"].as_str()), ("x=y", "z", "w"));
    }

    #[test]
    fn invalid_line_reports_its_number() {
        assert_eq!(variables("A=1\nsb_secret_x\n").unwrap_err(), 2);
    }
}
