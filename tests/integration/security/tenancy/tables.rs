//! What one table shows and lets happen to it, asked at PostgREST.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use serde_json::{Value, json};

use super::expectations::{MADE_BY_POSTGRES, Sees, Table};
use super::roles::Who;
use super::rows;
use super::rows::{But, Row, shown, sorted};
use super::tenants::Tenants;

/// What these callers read of a table and should not, or should and don't.
pub async fn reading(tenants: &Tenants, table: &Table, callers: &[Who]) -> Result<Vec<String>> {
    let all = rows::all(tenants, table.name).await?;
    ensure!(rows::is_told_apart(tenants, table, &all), "not everybody has a row in {}", table.name);
    let asking = table.rows.iter().filter(|(who, _)| callers.contains(who));
    Ok(try_join_all(asking.map(|(who, sees)| reading_as(tenants, table, *who, *sees, &all))).await?.concat())
}

/// What these callers write into a table, or would but for a policy or a constraint.
pub async fn writing(tenants: &Tenants, table: &Table, callers: &[Who]) -> Result<Vec<String>> {
    let all = rows::all(tenants, table.name).await?;
    let before = rows::fingerprint(tenants, But::Nothing).await?;
    let mut found =
        try_join_all(callers.iter().map(|who| writing_as(tenants, table, *who, &all))).await?.concat();
    if rows::fingerprint(tenants, But::Nothing).await? != before {
        found.push(format!("{} or what hangs off it was changed", table.name));
        rows::restore(tenants).await?;
    }
    Ok(found)
}

async fn writing_as(tenants: &Tenants, table: &Table, who: Who, all: &[Row]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    // One at a time: what a first attempt changes, a second one trips over.
    for (method, filter, body) in attempts(tenants, table, all)? {
        let path = format!("/{}{filter}", table.name);
        let answer = tenants.ask(who, method.clone(), &path, body).await?;
        found.extend(
            unless_refused(&answer, who, table.name).map(|what| format!("{who}: {method} {path}: {what}")),
        );
    }
    Ok(found)
}

async fn reading_as(
    tenants: &Tenants,
    table: &Table,
    who: Who,
    sees: Sees,
    all: &[Row],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let expected = shown(tenants, table, sees, all);
    let columns = table.shown.split_whitespace().collect::<Vec<_>>().join(",");
    for select in [columns.as_str(), "*"] {
        if select.is_empty() {
            continue;
        }
        let answer = tenants.ask(who, Method::GET, &format!("/{}?select={select}", table.name), None).await?;
        let refused = matches!(sees, Sees::Refused) || (select == "*" && !table.hidden.is_empty());
        let wrong =
            if refused { unless_refused(&answer, who, table.name) } else { unless_rows(&answer, &expected) };
        found.extend(wrong.map(|what| format!("{who}: {}?select={select}: {what}", table.name)));
    }
    for column in table.hidden.split_whitespace() {
        found.extend(reading_column(tenants, table, column, who).await?);
    }
    Ok(found)
}

/// Whether this caller reads a hidden column.
pub async fn reading_column(
    tenants: &Tenants,
    table: &Table,
    column: &str,
    who: Who,
) -> Result<Option<String>> {
    let path = format!("/{}?select={column}", table.name);
    let answer = tenants.ask(who, Method::GET, &path, None).await?;
    Ok(unless_refused(&answer, who, table.name).map(|what| format!("{who}: {path}: {what}")))
}

/// Ways to write: put a row in again, give all to the other organisation, delete all. With and without a filter, since
/// a filter reads.
fn attempts(tenants: &Tenants, table: &Table, all: &[Row]) -> Result<Vec<(Method, String, Option<Value>)>> {
    let one = all.iter().find(|row| row.get("org_id") == Some(&json!(tenants.here)));
    let mut one = one.cloned().context("there are no rows, so nothing would be shown")?;
    one.retain(|column, _| !MADE_BY_POSTGRES.contains(&(table.name, column)));
    let (take, of_here) = (json!({ "org_id": tenants.elsewhere }), format!("?org_id=eq.{}", tenants.here));
    Ok(vec![
        (Method::POST, String::new(), Some(json!(one))),
        (Method::PATCH, of_here.clone(), Some(take.clone())),
        (Method::PATCH, String::new(), Some(take)),
        (Method::DELETE, of_here, None),
        (Method::DELETE, String::new(), None),
    ])
}

/// What is wrong with an answer that is to be a refusal for lack of a privilege. A policy's refusal is none: it comes
/// to those who have the privilege. The object is a table, or something else by its kind and name.
pub fn unless_refused((status, body): &(u16, Value), who: Who, object: &str) -> Option<String> {
    let (kind, object) = object.split_once(' ').unwrap_or(("table", object));
    let words = format!("permission denied for {kind} {object}");
    let refused = *status == who.refusal() && body["code"] == "42501" && body["message"] == words;
    (!refused).then(|| format!("{status} {}", brief(body)))
}

fn unless_rows((status, body): &(u16, Value), expected: &[String]) -> Option<String> {
    let Some(rows) = body.as_array().filter(|_| *status == 200) else {
        return Some(format!("{status} {}", brief(body)));
    };
    let rows = sorted(rows.iter().filter_map(|row| row.as_object().cloned()));
    (rows != expected).then(|| {
        let other = rows.iter().find(|row| !expected.contains(row));
        format!("{} rows instead of {}; one that should not be there: {other:?}", rows.len(), expected.len())
    })
}

/// The beginning of a body.
pub fn brief(body: &Value) -> String {
    body.to_string().chars().take(200).collect()
}
