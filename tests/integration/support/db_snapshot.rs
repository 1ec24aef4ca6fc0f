//! What must not change: every row of every table, and what OpenAI was asked.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use local_stack::LocalStack;
use sqlx::AssertSqlSafe;

/// How the stack stood at a moment: a number of rows and a digest of them for each table, and OpenAI's calls.
#[derive(Debug, PartialEq)]
pub struct DbSnapshot {
    tables: BTreeMap<String, (i64, String)>,
    calls: usize,
}

impl DbSnapshot {
    pub async fn of(stack: &LocalStack) -> Result<Self> {
        let names = "select format('%I.%I', table_schema, table_name)::text from information_schema.tables
            where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')";
        let names: Vec<String> = sqlx::query_scalar(names).fetch_all(stack.database()).await?;
        let each = names.iter().map(|name| {
            format!(
                "select '{name}', count(*), coalesce(md5(string_agg(t::text, chr(10) order by t::text)), '') from {name} t"
            )
        });
        let all = each.collect::<Vec<_>>().join(" union all ");
        let rows: Vec<(String, i64, String)> = sqlx::query_as(AssertSqlSafe(all))
            .fetch_all(stack.database())
            .await
            .context("counting the rows of every table")?;
        let tables = rows.into_iter().map(|(name, count, digest)| (name, (count, digest))).collect();
        Ok(Self { tables, calls: stack.openai().requests().len() })
    }

    /// What is different now, where anything is.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let changed = self.tables.iter().filter(|(name, rows)| now.tables.get(*name) != Some(rows));
        let mut changed: Vec<String> = changed.map(|(name, _)| name.clone()).collect();
        if self.calls != now.calls {
            changed.push(format!("{} calls of OpenAI", now.calls - self.calls));
        }
        (!changed.is_empty()).then(|| changed.join(", "))
    }

    /// How many tables were looked at, and how many rows they hold.
    pub fn size(&self) -> (usize, i64) {
        (self.tables.len(), self.tables.values().map(|(count, _)| count).sum())
    }
}
