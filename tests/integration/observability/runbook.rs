//! `docs/operations/runbook.md` has a section for each alarm, and queries that match the log lines.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::documentation;
use super::watched_metrics::alarms;
use crate::support::markdown;
use crate::support::project_files::{Template, ensure_same, read_text};

const PAGE: &str = "docs/operations/runbook.md";

#[tokio::test]
async fn every_alarm_has_a_section() -> Result<()> {
    let template = Template::read()?;
    let mut linked = BTreeSet::new();
    for (alarm, properties) in alarms(&template)? {
        let description = properties["AlarmDescription"].as_str();
        let description = description.with_context(|| format!("{alarm} has no description"))?;
        let (sentence, section) = description
            .split_once(&format!(" {PAGE}#"))
            .with_context(|| format!("{alarm} does not link to a section: {description}"))?;
        ensure!(sentence.ends_with('.'), "{alarm}: expected a sentence, found {sentence:?}");
        ensure!(linked.insert(section.to_owned()), "{alarm} links to the section of another alarm");
    }
    let page = read_text(PAGE)?;
    let (_, alarms) = page.split_once("\n## Alarms\n").context("the page has no section Alarms")?;
    let mut sections = BTreeSet::new();
    for section in alarms.split("\n### ").skip(1) {
        let (heading, body) = section.split_once('\n').context("an empty section")?;
        for part in ["**What it means.** ", "**Look.**", "**Do.**"] {
            ensure!(body.contains(&format!("\n{part}")), "the section {heading} lacks {part}");
        }
        sections.insert(anchor(heading));
    }
    ensure_same(("template.yaml", &linked), (PAGE, &sections))
}

#[tokio::test]
async fn relative_links_lead_to_existing_sections() -> Result<()> {
    for page in [PAGE, "docs/operations/observability.md", "docs/guides/deploy.md"] {
        let content = read_text(page)?;
        for link in content.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.starts_with("https://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = if file.is_empty() {
                content.clone()
            } else {
                read_text(&format!("{folder}/{file}")).with_context(|| format!("{page} links to {link}"))?
            };
            let headings = target.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim_start()));
            let exists = section.is_empty() || anchors.any(|anchor| anchor == section);
            ensure!(exists, "{page} links to {link}, which has no such section");
        }
    }
    Ok(())
}

#[tokio::test]
async fn queries_use_existing_fields() -> Result<()> {
    let mut fields = documentation::field_names()?;
    fields.extend(documentation::metric_names()?);
    // Fields of the lines about a delivery and about an erasure.
    fields.extend(["agent_id", "attempt", "delivery_id", "erasure_id", "error"].map(str::to_owned));
    let queries = markdown::blocks(&read_text(PAGE)?, "logs-insights");
    ensure!(queries.len() > 10, "expected more than 10 queries, found {}", queries.len());
    for query in queries {
        let words = words(&query);
        let aliases: BTreeSet<&String> = words
            .iter()
            .zip(words.iter().skip(1))
            .filter(|(word, _)| *word == "as")
            .map(|(_, alias)| alias)
            .collect();
        for word in &words {
            let field = word.split('.').next().unwrap_or_default();
            let is_known = KEYWORDS.contains(&field)
                || AWS_FIELDS.contains(&field)
                || fields.contains(field)
                || aliases.contains(word);
            ensure!(is_known, "{field} is not a field: {query}");
        }
    }
    Ok(())
}

/// The keywords and functions of CloudWatch Logs Insights that the queries use.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>
const KEYWORDS: [&str; 22] = [
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

/// Fields of CloudWatch, and of the lines that Lambda logs itself.
const AWS_FIELDS: [&str; 6] = ["@timestamp", "@message", "@log", "type", "record", "earliest"];

/// The anchor that GitHub derives from a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The words of a query outside of strings and patterns.
fn words(query: &str) -> Vec<String> {
    let mut rest = String::new();
    for line in query.lines() {
        let outside_strings = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        rest.push_str(&outside_strings.split('/').step_by(2).collect::<Vec<_>>().join(" "));
        rest.push('\n');
    }
    let words = rest.split(|letter: char| !(letter.is_alphanumeric() || ['_', '.', '@'].contains(&letter)));
    let words = words.filter(|word| word.starts_with(|first: char| first.is_alphabetic() || first == '@'));
    words.map(str::to_owned).collect()
}
