//! `docs/operations/observability.md` lists the fields and metrics that the functions emit.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use super::emitted_metrics::parse_metrics;
use super::scenario;
use crate::support::markdown;
use crate::support::project_files::{ensure_same, read_text};

const PAGE: &str = "docs/operations/observability.md";

/// Name, unit, and the names of the dimensions.
type Metric = (String, String, BTreeSet<String>);

#[tokio::test]
async fn page_lists_every_metric_with_unit_and_dimensions() -> Result<()> {
    let mut documented: BTreeSet<Metric> = BTreeSet::new();
    for row in markdown::table(&read_text(PAGE)?, "metric") {
        let [names, unit, dimensions, emitters] = &row[..] else {
            bail!("another number of columns: {row:?}")
        };
        ensure!(!emitters.is_empty(), "{names}: the column of functions is empty");
        let mut sets: Vec<BTreeSet<String>> = markdown::code_spans(dimensions)
            .into_iter()
            .map(|one| BTreeSet::from([one.to_owned()]))
            .collect();
        sets.extend(dimensions.contains("in all").then(BTreeSet::new));
        for name in markdown::code_spans(names) {
            documented.extend(sets.iter().map(|set| (name.to_owned(), unit.clone(), set.clone())));
        }
    }
    let emitted = parse_metrics(scenario::metric_lines().await?)?;
    let emitted = emitted.into_iter().map(|metric| {
        let dimensions = metric.dimension_names();
        (metric.name, metric.unit, dimensions)
    });
    ensure_same((PAGE, &documented), ("the lines", &emitted.collect()))
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
