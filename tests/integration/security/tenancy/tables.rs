//! Reads and writes of a table by requests to PostgREST.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use serde_json::{Value, json};

use super::callers::Caller;
use super::expectations::{GENERATED_COLUMNS, Table, Visible};
use super::rows::{self, Except, Row, normalised, visible_rows};
use super::tenants::Tenants;

/// Differences between the rows and columns that these callers read and those that they should.
pub async fn read_violations(tenants: &Tenants, table: &Table, callers: &[Caller]) -> Result<Vec<String>> {
    let all = rows::read_all(tenants, table.name).await?;
    ensure!(rows::covers_every_person(tenants, table, &all), "a person has no row in {}", table.name);
    let readers = table.visible.iter().filter(|(caller, _)| callers.contains(caller));
    let found = readers.map(|(caller, visible)| read_as(tenants, table, *caller, *visible, &all));
    Ok(try_join_all(found).await?.concat())
}

/// Writes by these callers that are not denied for lack of a privilege.
pub async fn write_violations(tenants: &Tenants, table: &Table, callers: &[Caller]) -> Result<Vec<String>> {
    let all = rows::read_all(tenants, table.name).await?;
    let before = rows::fingerprint(tenants, Except::Nothing).await?;
    let writes = callers.iter().map(|caller| write_as(tenants, table, *caller, &all));
    let mut found = try_join_all(writes).await?.concat();
    if rows::fingerprint(tenants, Except::Nothing).await? != before {
        found.push(format!("a write to {} changed rows", table.name));
        rows::restore(tenants).await?;
    }
    Ok(found)
}

async fn read_as(
    tenants: &Tenants,
    table: &Table,
    caller: Caller,
    visible: Visible,
    all: &[Row],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let expected = visible_rows(tenants, table, visible, all);
    let columns = table.readable.split_whitespace().collect::<Vec<_>>().join(",");
    for select in [columns.as_str(), "*"] {
        if select.is_empty() {
            continue;
        }
        let path = format!("/{}?select={select}", table.name);
        let response = tenants.request(caller, Method::GET, &path, None).await?;
        let is_denied = matches!(visible, Visible::Denied) || (select == "*" && !table.hidden.is_empty());
        let violation = if is_denied {
            unless_denied(&response, caller, table.name)
        } else {
            unless_rows(&response, &expected)
        };
        found.extend(violation.map(|outcome| format!("{caller}: {path}: {outcome}")));
    }
    for column in table.hidden.split_whitespace() {
        found.extend(read_hidden_column(tenants, table, column, caller).await?);
    }
    Ok(found)
}

/// A violation if this caller reads a hidden column.
pub async fn read_hidden_column(
    tenants: &Tenants,
    table: &Table,
    column: &str,
    caller: Caller,
) -> Result<Option<String>> {
    let path = format!("/{}?select={column}", table.name);
    let response = tenants.request(caller, Method::GET, &path, None).await?;
    let violation = unless_denied(&response, caller, table.name);
    Ok(violation.map(|outcome| format!("{caller}: {path}: {outcome}")))
}

async fn write_as(tenants: &Tenants, table: &Table, caller: Caller, all: &[Row]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    // One after another, because a write that succeeds can make the next one fail.
    for (method, filter, body) in writes(tenants, table, all)? {
        let path = format!("/{}{filter}", table.name);
        let response = tenants.request(caller, method.clone(), &path, body).await?;
        let violation = unless_denied(&response, caller, table.name);
        found.extend(violation.map(|outcome| format!("{caller}: {method} {path}: {outcome}")));
    }
    Ok(found)
}

/// Insert a copy of a row, move all rows to the other organisation, delete all rows. With and
/// without a filter, because a filter reads.
fn writes(tenants: &Tenants, table: &Table, all: &[Row]) -> Result<Vec<(Method, String, Option<Value>)>> {
    let row = all.iter().find(|row| row.get("org_id") == Some(&json!(tenants.org_id)));
    let mut row = row.cloned().with_context(|| format!("{} has no row to copy", table.name))?;
    row.retain(|column, _| !GENERATED_COLUMNS.contains(&(table.name, column)));
    let to_other_org = json!({ "org_id": tenants.other_org_id });
    let of_org = format!("?org_id=eq.{}", tenants.org_id);
    Ok(vec![
        (Method::POST, String::new(), Some(json!(row))),
        (Method::PATCH, of_org.clone(), Some(to_other_org.clone())),
        (Method::PATCH, String::new(), Some(to_other_org)),
        (Method::DELETE, of_org, None),
        (Method::DELETE, String::new(), None),
    ])
}

/// The response, unless it denies a privilege. The error of a policy is a violation, because it
/// requires the privilege. The object is a table, or has its kind before its name.
pub fn unless_denied((status, body): &(u16, Value), caller: Caller, object: &str) -> Option<String> {
    let (kind, object) = object.split_once(' ').unwrap_or(("table", object));
    let message = format!("permission denied for {kind} {object}");
    let is_denied =
        *status == caller.denied_status() && body["code"] == "42501" && body["message"] == message;
    (!is_denied).then(|| format!("{status} {}", truncated(body)))
}

/// The difference, unless the response has these rows.
fn unless_rows((status, body): &(u16, Value), expected: &[String]) -> Option<String> {
    let Some(rows) = body.as_array().filter(|_| *status == 200) else {
        return Some(format!("{status} {}", truncated(body)));
    };
    let rows = normalised(rows.iter().filter_map(|row| row.as_object().cloned()));
    (rows != expected).then(|| {
        let unexpected = rows.iter().find(|row| !expected.contains(row));
        format!("expected {} rows, found {}, for example {unexpected:?}", expected.len(), rows.len())
    })
}

/// The beginning of a body.
pub fn truncated(body: &Value) -> String {
    body.to_string().chars().take(200).collect()
}
