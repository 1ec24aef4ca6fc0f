//! `docs/operations/observability.md` names exactly what is emitted.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::emitted_metrics::emitted;
use super::scenario;
use crate::support::markdown;
use crate::support::project_files::{same, text};

const PAGE: &str = "docs/operations/observability.md";

/// Name, unit, and the names of the dimensions.
type Metric = (String, String, BTreeSet<String>);

/// The fields of a line, as the page names them.
pub fn fields() -> Result<BTreeSet<String>> {
    let rows = markdown::table(&text(PAGE)?, "field");
    ensure!(!rows.is_empty(), "{PAGE} has no table of fields");
    Ok(rows.iter().flat_map(|row| markdown::quoted(&row[0])).map(str::to_owned).collect())
}

/// The metrics, as the page names them: members of the line, too.
pub fn metric_names() -> Result<BTreeSet<String>> {
    let rows = markdown::table(&text(PAGE)?, "metric");
    Ok(rows.iter().flat_map(|row| markdown::quoted(&row[0])).map(str::to_owned).collect())
}

// NAME: seen: docs/operations/observability.md names every metric, with its unit and dimensions, and no other
#[tokio::test]
async fn metrics() -> Result<()> {
    let mut said: BTreeSet<Metric> = BTreeSet::new();
    for row in markdown::table(&text(PAGE)?, "metric") {
        let [names, unit, dimensions, written] = &row[..] else { anyhow::bail!("other columns: {row:?}") };
        ensure!(!written.is_empty(), "nobody writes {names}");
        let mut sets: Vec<BTreeSet<String>> =
            markdown::quoted(dimensions).into_iter().map(|one| BTreeSet::from([one.to_owned()])).collect();
        sets.extend(dimensions.contains("in all").then(BTreeSet::new));
        for name in markdown::quoted(names) {
            said.extend(sets.iter().map(|set| (name.to_owned(), unit.clone(), set.clone())));
        }
    }
    let emitted = emitted(scenario::lines().await?)?;
    let emitted = emitted.into_iter().map(|one| (one.name.clone(), one.unit.clone(), one.set())).collect();
    same((PAGE, &said), ("the lines", &emitted))
}

// NAME: seen: docs/operations/observability.md names every field of a line, and no other
#[tokio::test]
async fn fields_there() -> Result<()> {
    let (lines, mut written) = (scenario::lines().await?, BTreeSet::new());
    let metrics: BTreeSet<String> = emitted(lines)?.into_iter().map(|metric| metric.name).collect();
    for line in lines {
        let members = line.json.as_object().context("a line that is no object")?.keys();
        written.extend(members.filter(|name| *name != "_aws" && !metrics.contains(*name)).cloned());
    }
    let mut said = fields()?;
    // Only where there were more calls than a line has room for.
    said.remove("upstream_unlisted");
    same((PAGE, &said), ("the lines", &written))
}
