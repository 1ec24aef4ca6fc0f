//! Rules for the text of the migrations.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::support::project_files::root;

/// From `create` to the end of the body.
const MOST_LINES: usize = 100;

#[tokio::test]
async fn functions_have_at_most_100_lines() -> Result<()> {
    let mut lengths = Vec::new();
    for file in fs::read_dir(root()?.join("migrations"))? {
        lengths.extend(function_lengths(&fs::read_to_string(file?.path())?)?);
    }
    ensure!(lengths.len() > 300, "expected more than 300 functions, found {}", lengths.len());
    lengths.retain(|(_, length)| *length > MOST_LINES);
    ensure!(lengths.is_empty(), "expected at most {MOST_LINES} lines, found {lengths:?}");
    Ok(())
}

/// The name of each function of a migration, and the number of its lines.
fn function_lengths(migration: &str) -> Result<Vec<(String, usize)>> {
    let lines: Vec<&str> = migration.lines().collect();
    let mut lengths = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(signature) = line.strip_prefix("create or replace function ") else {
            ensure!(!line.starts_with("create function"), "a function is not replaced: {line}");
            continue;
        };
        let name = signature.split('(').next().unwrap_or_default();
        let mut body = Body::Unknown;
        let end = lines[start..].iter().position(|line| {
            match *line {
                "as $$" => body = Body::Quoted,
                "begin atomic" => body = Body::Atomic,
                _ => {}
            }
            match body {
                Body::Unknown => line.ends_with(';'),
                Body::Quoted => *line == "$$;",
                Body::Atomic => *line == "end;",
            }
        });
        let end = end.with_context(|| format!("{name} does not end"))?;
        lengths.push((name.to_owned(), end + 1));
    }
    Ok(lengths)
}

/// How the body of a function is written. A function that only returns an expression ends with its
/// first semicolon.
enum Body {
    Unknown,
    Quoted,
    Atomic,
}
