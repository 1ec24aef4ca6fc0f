//! Reads the SQL definition of each metric from docs/reference/metrics.md.

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::project;

pub struct MetricDefinition {
    /// The path in the API's response, for example `total.sessions.ended`.
    pub path: String,
    sql: String,
}

/// The rows that a metric counts.
pub struct MetricScope<'a> {
    pub org_id: Uuid,
    /// Start of the window, in the API's format.
    pub from: &'a str,
    pub to: &'a str,
    /// Time at which the API computed the metrics.
    pub as_of: &'a str,
    /// Service level: seconds within which people decide.
    pub service_level_seconds: i64,
}

/// Returns every definition of the page, in order.
pub fn definitions() -> Result<Vec<MetricDefinition>> {
    let page = project::root().join("docs/reference/metrics.md");
    let page = std::fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
    let blocks = page.split("\n```sql\n-- ").skip(1);
    blocks
        .map(|block| {
            let (path, rest) = block.split_once('\n').context("an empty SQL block")?;
            let (sql, _) = rest.split_once(";\n```\n").context("a SQL block without an end")?;
            Ok(MetricDefinition { path: path.to_owned(), sql: sql.to_owned() })
        })
        .collect()
}

impl MetricDefinition {
    /// Returns the statement with its placeholders replaced.
    pub fn sql(&self, scope: &MetricScope<'_>) -> String {
        let time = |text: &str| format!("timestamptz '{text}'");
        self.sql
            .replace(":'org'", &format!("'{}'", scope.org_id))
            .replace(":'from'", &time(scope.from))
            .replace(":'to'", &time(scope.to))
            .replace(":'as_of'", &time(scope.as_of))
            .replace(":service_level", &scope.service_level_seconds.to_string())
    }

    /// Runs the statement. Returns one row, or the rows of a list, with the API's field names.
    pub async fn count(&self, database: &PgPool, scope: &MetricScope<'_>) -> Result<Vec<Map<String, Value>>> {
        let sql = self.sql(scope);
        let rows = format!(
            "with counted as ({sql}) select coalesce(jsonb_agg(to_jsonb(c)), '[]') from counted as c"
        );
        let rows: Value = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(database).await.context(sql)?;
        let rows = rows.as_array().into_iter().flatten().filter_map(Value::as_object);
        Ok(rows
            .map(|row| row.iter().map(|(name, value)| (camel_case(name), value.clone())).collect())
            .collect())
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}
