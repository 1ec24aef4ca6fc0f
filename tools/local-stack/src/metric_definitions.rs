//! The SQL by which docs/reference/metrics.md says that each figure can be counted again.

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::project;

/// A definition of the page.
pub struct Definition {
    /// What it counts, as a path into the API's answer: `total.sessions.ended`.
    pub path: String,
    sql: String,
}

/// What is counted.
pub struct Scope<'a> {
    /// Whose.
    pub org_id: Uuid,
    /// The window, as the API's answer says it.
    pub from: &'a str,
    /// Its end.
    pub to: &'a str,
    /// The moment at which the API counted.
    pub as_of: &'a str,
    /// Within how many seconds people are to decide.
    pub service_level_seconds: i64,
}

/// Every definition of the page, in its order.
pub fn definitions() -> Result<Vec<Definition>> {
    let page = project::root().join("docs/reference/metrics.md");
    let page = std::fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
    let blocks = page.split("\n```sql\n-- ").skip(1);
    blocks
        .map(|block| {
            let (path, rest) = block.split_once('\n').context("an empty block")?;
            let (sql, _) = rest.split_once(";\n```\n").context("a block without an end")?;
            Ok(Definition { path: path.to_owned(), sql: sql.to_owned() })
        })
        .collect()
}

impl Definition {
    /// The statement for what is asked.
    pub fn sql(&self, scope: &Scope<'_>) -> String {
        let time = |text: &str| format!("timestamptz '{text}'");
        self.sql
            .replace(":'org'", &format!("'{}'", scope.org_id))
            .replace(":'from'", &time(scope.from))
            .replace(":'to'", &time(scope.to))
            .replace(":'as_of'", &time(scope.as_of))
            .replace(":service_level", &scope.service_level_seconds.to_string())
    }

    /// What it counts, under the names that the API has for it: a row, or the rows of a list.
    pub async fn count(&self, database: &PgPool, scope: &Scope<'_>) -> Result<Vec<Map<String, Value>>> {
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
