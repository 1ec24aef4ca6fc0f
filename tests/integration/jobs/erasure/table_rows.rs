//! Rows of all tables. The tables come from the catalogue, so that a table that is added later is
//! included.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::client::TestClient;

/// Rows by table name.
pub type Rows = BTreeMap<String, Vec<Value>>;

/// Tables with rows of users. The record of erasures is kept, so it is not one of them.
const USER_TABLES: &str = "
    select distinct c.relname::text from pg_class as c join pg_attribute as a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not a.attisdropped
      and a.attname in ('user_id', 'session_id', 'subject') and c.relname not in ('erasures', 'chat_escalations')
    union select 'chat_escalations'";

/// Returns the names of the tables with rows of users.
pub async fn user_tables(stack: &LocalStack) -> Result<BTreeSet<String>> {
    let names: Vec<String> = sqlx::query_scalar(USER_TABLES).fetch_all(stack.database()).await?;
    Ok(names.into_iter().collect())
}

/// Reads every row of every table except the record of erasures.
pub async fn read_all(stack: &LocalStack) -> Result<Rows> {
    let tables = "select c.relname::text from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'erasures'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(stack.database()).await?;
    let mut rows = Rows::new();
    for table in tables {
        let query = format!("select to_jsonb(t) from public.{table} as t order by t::text");
        let of_table = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(stack.database()).await;
        rows.insert(table.clone(), of_table.context(table)?);
    }
    Ok(rows)
}

/// Returns the rows of this client's user in their organisation.
pub fn of_user(rows: &Rows, client: &TestClient) -> Rows {
    let (org, user) = (json!(client.user.org_id), json!(client.user.id));
    let of_org: Vec<(&String, &Value)> = rows
        .iter()
        .flat_map(|(table, rows)| rows.iter().map(move |row| (table, row)))
        .filter(|(_, row)| row["org_id"] == org)
        .collect();
    let sessions: BTreeSet<String> = of_org
        .iter()
        .filter(|(table, row)| *table == "chat_sessions" && row["user_id"] == user)
        .map(|(_, row)| row["id"].to_string())
        .collect();
    let is_of_user = |row: &Value| {
        let names_session = |column: &str| sessions.contains(&row[column].to_string());
        row["user_id"] == user
            || row["subject"] == user
            || names_session("subject")
            || names_session("session_id")
    };
    let mut found = Rows::new();
    for (table, row) in of_org.into_iter().filter(|(_, row)| is_of_user(row)) {
        found.entry(table.clone()).or_default().push(row.clone());
    }
    found
}

/// Returns all rows except those of this client's user.
pub fn without_user(rows: &Rows, client: &TestClient) -> Rows {
    let removed = of_user(rows, client);
    let others = rows.iter().map(|(table, rows)| {
        let removed = removed.get(table);
        let is_kept = |row: &&Value| removed.is_none_or(|removed| !removed.contains(row));
        (table.clone(), rows.iter().filter(is_kept).cloned().collect())
    });
    others.collect()
}

/// Returns a description of each row that contains one of the markers in any column.
pub fn containing(rows: &Rows, markers: &[String]) -> Vec<String> {
    let marker_in = |row: &Value| markers.iter().find(|marker| row.to_string().contains(marker.as_str()));
    let found = rows.iter().flat_map(|(table, rows)| {
        rows.iter().filter_map(move |row| Some(format!("{table} contains {:?}: {row}", marker_in(row)?)))
    });
    found.collect()
}
