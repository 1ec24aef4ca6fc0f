//! What one table lets happen to it by statements that PostgREST's stand-in never makes, asked at the database.
//! PostgREST inserts without reading where nothing is asked back, and its stand-in reads a new row's key. No request
//! truncates; but row level security would not stop what did.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use sqlx::AssertSqlSafe;

use super::expectations::Table;
use super::roles::Who;
use super::tenants::Tenants;

/// Everything of that kind that is not refused to these callers.
pub async fn violations(tenants: &Tenants, table: &Table, callers: &[Who]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    // The database is told the role and nothing else about them.
    let mut roles = BTreeSet::new();
    for who in callers.iter().filter(|who| roles.insert(who.role())) {
        let name = table.name;
        for statement in
            [format!("insert into public.{name} default values"), format!("truncate public.{name} cascade")]
        {
            let wrong =
                attempt(tenants, *who, &statement, &format!("permission denied for table {name}")).await?;
            found.extend(wrong.map(|what| format!("{who}: {statement}: {what}")));
        }
    }
    Ok(found)
}

/// What comes of a statement, where it is not this refusal. It is rolled back.
async fn attempt(tenants: &Tenants, who: Who, statement: &str, refusal: &str) -> Result<Option<String>> {
    let mut transaction = tenants.stack.database().begin().await?;
    let role = format!("set local role {}", who.role());
    sqlx::query(AssertSqlSafe(role)).execute(&mut *transaction).await.context("becoming the role")?;
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *transaction).await;
    transaction.rollback().await?;
    Ok(match done {
        Ok(_) => Some("it was done".to_owned()),
        Err(error) => match error.as_database_error() {
            Some(refused) if refused.message() == refusal => None,
            _ => Some(error.to_string()),
        },
    })
}
