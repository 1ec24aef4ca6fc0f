//! `docs/operations/observability.md` lists the fields and metrics that the functions emit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::emitted_metrics::{EmittedMetric, parse_metrics};
use super::scenario;
use crate::support::generated_docs::check_generated;
use crate::support::markdown;
use crate::support::project_files::{ensure_same, read_text};

const PAGE: &str = "docs/operations/observability.md";

/// The groups of metrics and the column `written by` are written by hand, and kept.
#[tokio::test]
async fn table_of_metrics_is_generated() -> Result<()> {
    let mut emitted = emitted_metrics(parse_metrics(scenario::metric_lines().await?)?)?;
    let mut groups = Vec::new();
    for row in markdown::table(&read_text(PAGE)?, "metric") {
        let [names, _, _, functions] = &row[..] else { bail!("another number of columns: {row:?}") };
        let mut group = BTreeMap::<_, Vec<&str>>::new();
        for name in markdown::code_spans(names) {
            if let Some(properties) = emitted.remove(name) {
                group.entry(properties).or_default().push(name);
            }
        }
        groups.extend(
            group.into_iter().map(|(properties, names)| (quote(&names), properties, functions.clone())),
        );
    }
    let new = emitted.into_iter().map(|(name, properties)| (quote(&[&name]), properties, String::new()));
    groups.extend(new);
    let mut rows = vec![["metric", "unit", "dimensions", "written by"].map(str::to_owned).to_vec()];
    rows.extend(groups.iter().map(|(names, (unit, dimensions), functions)| {
        vec![names.clone(), unit.clone(), dimensions.clone(), functions.clone()]
    }));
    check_generated(PAGE, "metrics", &markdown::render_table(&rows))?;
    for (names, _, functions) in groups {
        ensure!(!functions.is_empty(), "{PAGE}: write by hand which functions write {names}");
    }
    Ok(())
}

#[tokio::test]
async fn page_lists_every_field() -> Result<()> {
    let lines = scenario::metric_lines().await?;
    let metrics: BTreeSet<String> = parse_metrics(lines)?.into_iter().map(|metric| metric.name).collect();
    let mut emitted = BTreeSet::new();
    for line in lines {
        let members = line.json.as_object().context("the line is not an object")?.keys();
        emitted.extend(members.filter(|name| *name != "_aws" && !metrics.contains(*name)).cloned());
    }
    let mut documented = field_names()?;
    // Present only if a line has more upstream calls than it lists.
    documented.remove("upstream_unlisted");
    ensure_same((PAGE, &documented), ("the lines", &emitted))
}

/// The unit and the dimensions of each metric.
fn emitted_metrics(metrics: BTreeSet<EmittedMetric>) -> Result<BTreeMap<String, (String, String)>> {
    let mut found = BTreeMap::<String, (String, BTreeSet<BTreeSet<String>>)>::new();
    for metric in metrics {
        let dimensions = metric.dimension_names();
        let (unit, sets) = found.entry(metric.name.clone()).or_insert((metric.unit.clone(), BTreeSet::new()));
        ensure!(*unit == metric.unit, "{} has the units {unit} and {}", metric.name, metric.unit);
        sets.insert(dimensions);
    }
    let dimensions = |sets: &BTreeSet<BTreeSet<String>>| {
        let sets = sets.iter().map(|set| match set.len() {
            0 => "in all".to_owned(),
            _ => format!("by {}", quote(&set.iter().map(String::as_str).collect::<Vec<_>>())),
        });
        sets.collect::<Vec<_>>().join(", ")
    };
    Ok(found.into_iter().map(|(name, (unit, sets))| (name, (unit, dimensions(&sets)))).collect())
}

fn quote(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The fields of a line, from the page.
pub fn field_names() -> Result<BTreeSet<String>> {
    names("field")
}

/// The metrics, which are fields of a line too, from the page.
pub fn metric_names() -> Result<BTreeSet<String>> {
    names("metric")
}

/// The names in the first column of a table.
fn names(title: &str) -> Result<BTreeSet<String>> {
    let rows = markdown::table(&read_text(PAGE)?, title);
    ensure!(!rows.is_empty(), "{PAGE} does not have a table {title:?}");
    Ok(rows.iter().flat_map(|row| markdown::code_spans(&row[0])).map(str::to_owned).collect())
}
