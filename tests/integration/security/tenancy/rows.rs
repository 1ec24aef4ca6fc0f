//! The rows of all tables, read and written as the superuser.

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use super::callers::Caller;
use super::expectations::{GENERATED_COLUMNS, TABLES, Table, Visible};
use super::person::Person;
use super::tenants::Tenants;

/// A row by its columns.
pub type Row = Map<String, Value>;

pub async fn read_all(tenants: &Tenants, table: &str) -> Result<Vec<Row>> {
    let rows = sqlx::query_scalar(AssertSqlSafe(format!("select to_jsonb(t) from public.{table} as t")));
    let rows: Vec<Value> =
        rows.fetch_all(tenants.stack.database()).await.with_context(|| format!("reading {table}"))?;
    Ok(rows.into_iter().filter_map(|row| row.as_object().cloned()).collect())
}

/// Whether each person has a row in a table that people can read. Otherwise a test could not
/// recognise that the row is hidden.
pub fn covers_every_person(tenants: &Tenants, table: &Table, all: &[Row]) -> bool {
    let has_readers = table
        .visible
        .iter()
        .any(|(_, visible)| matches!(visible, Visible::RowsOf(people) if !people.is_empty()));
    let has_row = |caller: &Caller| all.iter().any(|row| owner(tenants, row) == Some(*caller));
    !has_readers || Caller::WITH_SESSIONS.iter().all(has_row)
}

/// The visible rows of a table with their readable columns, normalised.
pub fn visible_rows(tenants: &Tenants, table: &Table, visible: Visible, all: &[Row]) -> Vec<String> {
    let is_visible = |row: &&Row| match visible {
        Visible::Denied => false,
        Visible::RowsOf(people) => owner(tenants, row).is_some_and(|person| people.contains(&person)),
        Visible::Agents(names) => names.contains(&agent(tenants, row).as_str()),
    };
    let columns: Vec<&str> = table.readable.split_whitespace().collect();
    let readable_part = |row: &Row| -> Row {
        row.iter()
            .filter(|(column, _)| columns.contains(&column.as_str()))
            .map(|(column, value)| (column.clone(), value.clone()))
            .collect()
    };
    normalised(all.iter().filter(is_visible).map(readable_part))
}

/// Rows as text, sorted, with sorted columns and without the values of times: PostgreSQL omits
/// trailing zeros of a fraction, other writers keep them.
pub fn normalised(rows: impl Iterator<Item = Row>) -> Vec<String> {
    let text = |(column, value): (&String, &Value)| match value {
        Value::String(_) if column.ends_with("_at") => format!("{column}=…"),
        _ => format!("{column}={value}"),
    };
    let mut texts: Vec<String> = rows
        .map(|row| {
            let mut columns: Vec<String> = row.iter().map(text).collect();
            columns.sort();
            columns.join(" ")
        })
        .collect();
    texts.sort();
    texts
}

/// The owner of a row of a session.
fn owner(tenants: &Tenants, row: &Row) -> Option<Caller> {
    tenants.caller_with_ids(row.get("org_id")?.as_str()?, row.get("user_id")?.as_str()?)
}

/// The name of an agent in the expectations.
fn agent(tenants: &Tenants, row: &Row) -> String {
    let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
    let org = if text("org_id") == tenants.org_id.to_string() { "of org" } else { "of other org" };
    format!("{} {org}", text("id"))
}

/// The rows that a fingerprint omits.
#[derive(Clone, Copy)]
pub enum Except<'a> {
    Nothing,
    /// The rows of a person, and of the person's organisation as a whole.
    Person(&'a Person),
    /// The rows of the person's organisation as a whole, and the due times of its sessions, which
    /// depend on them.
    Organisation(&'a Person),
}

impl Except<'_> {
    /// The condition of the rows that remain.
    fn condition(self, table: &str) -> String {
        let (person, is_organisation) = match self {
            Self::Nothing => return "true".to_owned(),
            Self::Person(person) => (person, false),
            Self::Organisation(person) => (person, true),
        };
        let (org, user) = (person.user.org_id, person.user.id);
        let sessions = format!(
            "select s.id from public.chat_sessions as s where (s.org_id, s.user_id) = ('{org}', '{user}')"
        );
        match table {
            "agents" | "org_limits" | "org_retention" | "agent_servers" | "agent_tools" | "agent_routes" => {
                format!("org_id <> '{org}'")
            }
            "idle_checks" if is_organisation => format!("org_id <> '{org}'"),
            _ if is_organisation => "true".to_owned(),
            // The subject of a throttle is a user, a session, or the organisation of its users.
            "throttles" => {
                let others = format!("subject <> '{user}' and subject not in ({sessions})");
                format!("(org_id <> '{org}' or scope <> 'org' and {others})")
            }
            _ => format!("(org_id, user_id) <> ('{org}', '{user}')"),
        }
    }
}

/// A hash of the rows of all tables.
pub async fn fingerprint(tenants: &Tenants, except: Except<'_>) -> Result<String> {
    let tables: Vec<String> = TABLES
        .iter()
        .map(|Table { name, .. }| {
            let condition = except.condition(name);
            format!("select '{name}' || t::text as row from public.{name} as t where {condition}")
        })
        .collect();
    let hash = format!(
        "select md5(coalesce(string_agg(row, ' ' order by row), '')) from ({}) as t",
        tables.join(" union all ")
    );
    let hash = sqlx::query_scalar(AssertSqlSafe(hash)).fetch_one(tenants.stack.database()).await;
    hash.context("hashing the rows of all tables")
}

/// Copies every table into a schema that no other role can read.
pub async fn back_up(tenants: &Tenants) -> Result<()> {
    let copies: String = TABLES
        .iter()
        .map(|Table { name, .. }| format!("create table backup.{name} as table public.{name};"))
        .collect();
    execute(tenants, &format!("create schema backup; {copies}")).await
}

/// Restores the copies, without triggers and foreign keys.
pub async fn restore(tenants: &Tenants) -> Result<()> {
    let tables: String = TABLES
        .iter()
        .map(|table| {
            let (name, columns) = (table.name, writable_columns(table));
            format!(
                "delete from public.{name};
                 insert into public.{name} ({columns}) overriding system value
                 select {columns} from backup.{name};"
            )
        })
        .collect();
    execute(tenants, &format!("begin; set local session_replication_role = replica; {tables} commit")).await
}

/// The columns of a table that an insert can set, separated by commas.
fn writable_columns(table: &Table) -> String {
    let columns = table.readable.split_whitespace().chain(table.hidden.split_whitespace());
    // `overriding system value` makes identities writable.
    let is_generated = |column: &str| column != "id" && GENERATED_COLUMNS.contains(&(table.name, column));
    columns.filter(|column| !is_generated(column)).collect::<Vec<_>>().join(", ")
}

/// Executes statements as the superuser.
pub async fn execute(tenants: &Tenants, statements: &str) -> Result<()> {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(tenants.stack.database()).await;
    outcome.with_context(|| statements.chars().take(300).collect::<String>())?;
    Ok(())
}
