//! What is in the tables: all of them, as the catalogue lists them, so that one that is added later cannot be forgotten here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::client::TestClient;

/// Rows by their tables.
pub type Rows = BTreeMap<String, Vec<Value>>;

/// Tables whose rows are of a person or a session, though not for long: the record of erasures stays.
const OF_PEOPLE: &str = "
    select distinct c.relname::text from pg_class as c join pg_attribute as a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not a.attisdropped
      and a.attname in ('user_id', 'session_id', 'subject') and c.relname not in ('erasures', 'chat_escalations')
    union select 'chat_escalations'";

/// The names of those tables.
pub async fn of_people(stack: &LocalStack) -> Result<BTreeSet<String>> {
    let names: Vec<String> = sqlx::query_scalar(OF_PEOPLE).fetch_all(stack.database()).await?;
    Ok(names.into_iter().collect())
}

/// Every row of every table, but for the record of erasures.
pub async fn all(stack: &LocalStack) -> Result<Rows> {
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

/// The rows of this caller in their organisation.
pub fn of(rows: &Rows, whose: &TestClient) -> Rows {
    let (org, user) = (json!(whose.user.org_id), json!(whose.user.id));
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
    let is_theirs = |row: &Value| {
        let about = |column: &str| sessions.contains(&row[column].to_string());
        row["user_id"] == user || row["subject"] == user || about("subject") || about("session_id")
    };
    let mut found = Rows::new();
    for (table, row) in of_org.into_iter().filter(|(_, row)| is_theirs(row)) {
        found.entry(table.clone()).or_default().push(row.clone());
    }
    found
}

/// What is left without the rows of this caller.
pub fn without(rows: &Rows, whose: &TestClient) -> Rows {
    let theirs = of(rows, whose);
    let others = rows.iter().map(|(table, rows)| {
        let theirs = theirs.get(table);
        let stays = |row: &&Value| theirs.is_none_or(|theirs| !theirs.contains(row));
        (table.clone(), rows.iter().filter(stays).cloned().collect())
    });
    others.collect()
}

/// The tables in which something says one of these words, in whatever column.
pub fn mentioning(rows: &Rows, words: &[String]) -> Vec<String> {
    let says = |row: &Value| words.iter().find(|word| row.to_string().contains(word.as_str()));
    let found = rows.iter().flat_map(|(table, rows)| {
        rows.iter().filter_map(move |row| Some(format!("{table} has {:?}: {row}", says(row)?)))
    });
    found.collect()
}
