//! Statements that the PostgREST-compatible server does not make. PostgREST inserts without reading
//! if the caller does not request the row, whereas the server reads the new row's key. No request
//! truncates a table, but row level security would not prevent it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use sqlx::AssertSqlSafe;

use super::callers::Caller;
use super::expectations::Table;
use super::tenants::Tenants;

/// The statements that are not denied to the roles of these callers.
pub async fn violations(tenants: &Tenants, table: &Table, callers: &[Caller]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut roles = BTreeSet::new();
    for caller in callers.iter().filter(|caller| roles.insert(caller.role())) {
        let name = table.name;
        let denial = format!("permission denied for table {name}");
        for statement in
            [format!("insert into public.{name} default values"), format!("truncate public.{name} cascade")]
        {
            let violation = unless_denied(tenants, *caller, &statement, &denial).await?;
            found.extend(violation.map(|outcome| format!("{caller}: {statement}: {outcome}")));
        }
    }
    Ok(found)
}

/// The outcome of a statement unless it is this error. The transaction is rolled back.
async fn unless_denied(
    tenants: &Tenants,
    caller: Caller,
    statement: &str,
    denial: &str,
) -> Result<Option<String>> {
    let mut transaction = tenants.stack.database().begin().await?;
    let role = format!("set local role {}", caller.role());
    sqlx::query(AssertSqlSafe(role)).execute(&mut *transaction).await.context("setting the role")?;
    let outcome = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *transaction).await;
    transaction.rollback().await?;
    Ok(match outcome {
        Ok(_) => Some("it succeeded".to_owned()),
        Err(error) => match error.as_database_error() {
            Some(error) if error.message() == denial => None,
            _ => Some(error.to_string()),
        },
    })
}
