//! What is in the tables, as their owner sees it.

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use super::expectations::{MADE_BY_POSTGRES, Sees, TABLES, Table};
use super::person::Person;
use super::roles::Who;
use super::tenants::Tenants;

/// A row, as JSON with the columns as keys.
pub type Row = Map<String, Value>;

/// Every row of a table.
pub async fn all(tenants: &Tenants, table: &str) -> Result<Vec<Row>> {
    let rows = sqlx::query_scalar(AssertSqlSafe(format!("select to_jsonb(t) from public.{table} as t")));
    let rows: Vec<Value> =
        rows.fetch_all(tenants.stack.database()).await.with_context(|| format!("reading {table}"))?;
    Ok(rows.into_iter().filter_map(|row| row.as_object().cloned()).collect())
}

/// Whether everybody has a row in a table from which some are shown: or else it could not be told that it is hidden.
pub fn is_told_apart(tenants: &Tenants, table: &Table, all: &[Row]) -> bool {
    let by_person =
        table.rows.iter().any(|(_, sees)| matches!(sees, Sees::RowsOf(people) if !people.is_empty()));
    let has_one = |who: &Who| all.iter().any(|row| whose(tenants, row) == Some(*who));
    !by_person || Who::PEOPLE.iter().all(has_one)
}

/// The rows of a table that this caller is to be shown, with the columns that are shown.
pub fn shown(tenants: &Tenants, table: &Table, sees: Sees, all: &[Row]) -> Vec<String> {
    let is_shown = |row: &&Row| match sees {
        Sees::Refused => false,
        Sees::RowsOf(people) => whose(tenants, row).is_some_and(|who| people.contains(&who)),
        Sees::Agents(names) => names.contains(&agent(tenants, row).as_str()),
    };
    let columns: Vec<&str> = table.shown.split_whitespace().collect();
    let part = |row: &Row| -> Row {
        row.iter()
            .filter(|(column, _)| columns.contains(&column.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    sorted(all.iter().filter(is_shown).map(part))
}

/// Rows in a form that can be compared, whatever their order and that of their columns. Of times only that they are
/// there: PostgreSQL leaves out zeros at the end of a second's fraction, and not everybody else does.
pub fn sorted(rows: impl Iterator<Item = Row>) -> Vec<String> {
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

/// Whose row it is, in tables that hang off a session.
pub fn whose(tenants: &Tenants, row: &Row) -> Option<Who> {
    tenants.who(row.get("org_id")?.as_str()?, row.get("user_id")?.as_str()?)
}

/// Which agent it is.
fn agent(tenants: &Tenants, row: &Row) -> String {
    let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
    let place = if text("org_id") == tenants.here.to_string() { "here" } else { "elsewhere" };
    format!("{} {place}", text("id"))
}

/// What a fingerprint leaves out.
#[derive(Clone, Copy)]
pub enum But<'a> {
    /// Nothing.
    Nothing,
    /// A person's rows, and what belongs to their organisation as a whole.
    Person(&'a Person),
    /// What belongs to this person's organisation as a whole, and when its sessions are looked at, which follows from it.
    Organisation(&'a Person),
}

impl But<'_> {
    /// The condition on a table's rows.
    fn others(self, table: &str) -> String {
        let (person, whole) = match self {
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
            "idle_checks" if whole => format!("org_id <> '{org}'"),
            _ if whole => "true".to_owned(),
            // A throttle is a user's or a session's, and only says the id.
            "throttles" => {
                format!("(org_id <> '{org}' or subject <> '{user}' and subject not in ({sessions}))")
            }
            _ => format!("(org_id, user_id) <> ('{org}', '{user}')"),
        }
    }
}

/// One text for all that is in the tables.
pub async fn fingerprint(tenants: &Tenants, but: But<'_>) -> Result<String> {
    let tables: Vec<String> = TABLES
        .iter()
        .map(|table| {
            let name = table.name;
            format!("select '{name}' || t::text as row from public.{name} as t where {}", but.others(name))
        })
        .collect();
    let all = format!(
        "select md5(coalesce(string_agg(row, ' ' order by row), '')) from ({}) as t",
        tables.join(" union all ")
    );
    let fingerprint = sqlx::query_scalar(AssertSqlSafe(all)).fetch_one(tenants.stack.database()).await;
    fingerprint.context("taking a fingerprint of the tables")
}

/// Keeps a copy of every table, out of everybody's reach.
pub async fn keep(tenants: &Tenants) -> Result<()> {
    let copies: String = TABLES
        .iter()
        .map(|Table { name, .. }| format!("create table kept.{name} as table public.{name};"))
        .collect();
    run(tenants, &format!("create schema kept; {copies}")).await
}

/// The columns of a table that can be written, with commas between them.
fn written(table: &Table) -> String {
    let columns = table.shown.split_whitespace().chain(table.hidden.split_whitespace());
    // Identities can be written by those who insist.
    let generated = |column: &str| column != "id" && MADE_BY_POSTGRES.contains(&(table.name, column));
    columns.filter(|column| !generated(column)).collect::<Vec<_>>().join(", ")
}

/// Puts the copies back, past every trigger and foreign key.
pub async fn restore(tenants: &Tenants) -> Result<()> {
    let tables: String = TABLES
        .iter()
        .map(|table| {
            let (name, columns) = (table.name, written(table));
            format!(
                "delete from public.{name};
                 insert into public.{name} ({columns}) overriding system value select {columns} from kept.{name};"
            )
        })
        .collect();
    run(tenants, &format!("begin; set local session_replication_role = replica; {tables} commit")).await
}

/// Runs statements as the superuser.
pub async fn run(tenants: &Tenants, statements: &str) -> Result<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(tenants.stack.database()).await;
    done.with_context(|| statements.chars().take(300).collect::<String>())?;
    Ok(())
}
