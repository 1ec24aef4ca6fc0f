//! Snapshots of all tables and of the requests to OpenAI, which show that nothing changed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use local_stack::LocalStack;
use sqlx::AssertSqlSafe;

/// The number and the digest of the rows of each table, and the number of requests to OpenAI.
#[derive(Debug, PartialEq)]
pub struct DbSnapshot {
    tables: BTreeMap<String, (i64, String)>,
    openai_requests: usize,
}

impl DbSnapshot {
    pub async fn take(stack: &LocalStack) -> Result<Self> {
        let names = "select format('%I.%I', table_schema, table_name)::text from information_schema.tables
            where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')";
        let names: Vec<String> = sqlx::query_scalar(names).fetch_all(stack.database()).await?;
        let queries = names.iter().map(|name| {
            format!(
                "select '{name}', count(*), coalesce(md5(string_agg(t::text, chr(10) order by t::text)), '') from {name} t"
            )
        });
        let query = queries.collect::<Vec<_>>().join(" union all ");
        let rows: Vec<(String, i64, String)> = sqlx::query_as(AssertSqlSafe(query))
            .fetch_all(stack.database())
            .await
            .context("reading the rows of every table")?;
        let tables = rows.into_iter().map(|(name, count, digest)| (name, (count, digest))).collect();
        Ok(Self { tables, openai_requests: stack.openai().requests().len() })
    }

    /// The names of the tables that changed, and the number of requests to OpenAI; `None` if equal.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let changed = self.tables.iter().filter(|(name, rows)| now.tables.get(*name) != Some(rows));
        let mut changed: Vec<String> = changed.map(|(name, _)| name.clone()).collect();
        if self.openai_requests != now.openai_requests {
            changed.push(format!("{} requests to OpenAI", now.openai_requests - self.openai_requests));
        }
        (!changed.is_empty()).then(|| changed.join(", "))
    }

    /// The number of tables and the number of their rows.
    pub fn size(&self) -> (usize, i64) {
        (self.tables.len(), self.tables.values().map(|(count, _)| count).sum())
    }
}
