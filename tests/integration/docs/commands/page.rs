//! The pages of the documentation, and their commands.

use std::path::Path;

use anyhow::Result;

use crate::support::markdown;
use crate::support::project_files::{read_text, root};

/// The known languages of code blocks. Only `sh` and `sql` are commands.
pub const LANGUAGES: [&str; 17] = [
    "sh",
    "sql",
    "",
    "css",
    "html",
    "http",
    "js",
    "json",
    "logs-insights",
    "mermaid",
    "python",
    "rust",
    "text",
    "toml",
    "ts",
    "tsx",
    "yaml",
];

pub struct Page {
    /// From the root of the project.
    pub path: String,
    pub text: String,
}

/// The pages for users and contributors.
pub fn all() -> Result<Vec<Page>> {
    let mut paths = ["README.md", "CONTRIBUTING.md", "web/README.md"].map(str::to_owned).to_vec();
    for folder in ["docs", "examples"] {
        find_pages(&root()?.join(folder), &mut paths)?;
    }
    paths.sort();
    paths.into_iter().map(|path| Ok(Page { text: read_text(&path)?, path })).collect()
}

/// Finds Markdown pages, without those of installed packages.
fn find_pages(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with(".venv") {
            find_pages(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.strip_prefix(root()?)?.display().to_string());
        }
    }
    Ok(())
}

impl Page {
    /// The blocks of shell commands, with a pause between them, in which people read.
    pub fn script(&self) -> String {
        let blocks = markdown::blocks(&self.text, "sh").into_iter();
        let blocks: Vec<String> = blocks.filter(|block| !block.contains("cargo admin ")).collect();
        blocks.join("\nread_the_answer\n")
    }

    /// The blocks of SQL.
    pub fn queries(&self) -> Vec<String> {
        markdown::blocks(&self.text, "sql")
    }

    /// The first word after each fence that opens a block.
    pub fn languages(&self) -> Vec<&str> {
        let fences = self.text.lines().filter_map(|line| line.trim().strip_prefix("```"));
        fences.step_by(2).map(|info| info.split(' ').next().unwrap_or_default()).collect()
    }

    /// The folder in which a reader of the page runs its commands, from the root of the project.
    pub fn folder(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some((folder, _)) if folder.starts_with("examples/") => folder,
            _ => "",
        }
    }
}

/// The variables in capitals that the script uses and does not set.
pub fn variables(script: &str) -> Vec<&str> {
    let name = |text: &'_ str| text.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(text.len());
    let used = script.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        &rest[..name(rest)]
    });
    used.filter(|name| !name.is_empty() && !script.lines().any(|line| sets(line, name))).collect()
}

fn sets(line: &str, name: &str) -> bool {
    let set = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    // `NAME="$NAME" program` passes the variable on.
    set.is_some_and(|value| !value.starts_with(&format!("\"${name}\"")))
}
