//! `docs/operations/runbook.md`: an alarm a section, and questions to the logs that their lines can answer.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::documentation;
use super::watched_metrics::alarms;
use crate::support::markdown;
use crate::support::project_files::{Template, same, text};

const PAGE: &str = "docs/operations/runbook.md";

// NAME: seen: every alarm has its section in the runbook, and every section its alarm
#[tokio::test]
async fn sections() -> Result<()> {
    let template = Template::read()?;
    let mut named = BTreeSet::new();
    for (alarm, properties) in alarms(&template)? {
        let description =
            properties["AlarmDescription"].as_str().context("an alarm without a description")?;
        let (said, section) =
            description.split_once(&format!(" {PAGE}#")).with_context(|| format!("{alarm}: where?"))?;
        ensure!(said.ends_with('.'), "{alarm} says {said}");
        ensure!(named.insert(section.to_owned()), "{alarm} shares its section");
    }
    let page = text(PAGE)?;
    let (_, alarms) = page.split_once("\n## Alarms\n").context("no alarms")?;
    let mut there = BTreeSet::new();
    for section in alarms.split("\n### ").skip(1) {
        let (heading, told) = section.split_once('\n').context("an empty section")?;
        for part in ["**What it means.** ", "**Look.**", "**Do.**"] {
            ensure!(told.contains(&format!("\n{part}")), "{heading} lacks {part}");
        }
        there.insert(anchor(heading));
    }
    same(("template.yaml", &named), (PAGE, &there))
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

// NAME: seen: the runbook's links lead somewhere
#[tokio::test]
async fn links() -> Result<()> {
    for page in [PAGE, "docs/operations/observability.md", "docs/guides/deploy.md"] {
        let said = text(page)?;
        for link in said.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            // Pages of others cannot be looked at from here.
            if link.starts_with("https://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
            let there = if file.is_empty() {
                said.clone()
            } else {
                text(&format!("{folder}/{file}")).context(page)?
            };
            let headings = there.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim_start()));
            ensure!(section.is_empty() || anchors.any(|anchor| anchor == section), "{page} leads to {link}");
        }
    }
    Ok(())
}

/// Words of the language that questions are asked in.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>
const WORDS: [&str; 22] = [
    "fields",
    "filter",
    "stats",
    "sort",
    "limit",
    "by",
    "as",
    "desc",
    "asc",
    "and",
    "or",
    "not",
    "like",
    "ispresent",
    "count",
    "sum",
    "max",
    "min",
    "avg",
    "pct",
    "bin",
    "latest",
];

/// Fields of CloudWatch's own, and of Lambda's lines about itself.
const OF_AWS: [&str; 6] = ["@timestamp", "@message", "@log", "type", "record", "earliest"];

// NAME: seen: the runbook asks the logs for fields that there are
#[tokio::test]
async fn questions() -> Result<()> {
    let mut fields = documentation::fields()?;
    fields.extend(documentation::metric_names()?);
    // Of the lines about a call of an agent, and about an erasure.
    fields.extend(["agent_id", "attempt", "delivery_id", "erasure_id", "error"].map(str::to_owned));
    let blocks = markdown::blocks(&text(PAGE)?, "logs-insights");
    ensure!(blocks.len() > 10, "{} questions", blocks.len());
    for question in blocks {
        let words: Vec<String> = words(&question);
        // Names that the question gives itself.
        let given: BTreeSet<&String> = words
            .iter()
            .zip(words.iter().skip(1))
            .filter(|(word, _)| *word == "as")
            .map(|(_, name)| name)
            .collect();
        for word in &words {
            let field = word.split('.').next().unwrap_or_default();
            let known = WORDS.contains(&field)
                || OF_AWS.contains(&field)
                || fields.contains(field)
                || given.contains(word);
            ensure!(known, "{field} is no field, in: {question}");
        }
    }
    Ok(())
}

/// What is neither a text, a pattern, a number nor a sign.
fn words(question: &str) -> Vec<String> {
    let mut rest = String::new();
    for line in question.lines() {
        let outside = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        rest.push_str(&outside.split('/').step_by(2).collect::<Vec<_>>().join(" "));
        rest.push('\n');
    }
    let words = rest.split(|letter: char| !(letter.is_alphanumeric() || ['_', '.', '@'].contains(&letter)));
    let words = words.filter(|word| word.starts_with(|first: char| first.is_alphabetic() || first == '@'));
    words.map(str::to_owned).collect()
}
