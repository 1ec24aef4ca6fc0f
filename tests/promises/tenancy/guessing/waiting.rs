//! How long a call takes tells something, too: one that waited for another's row would say that it is there, and hold it up.

use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::World;
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use super::super::functions;
use super::super::rows;
use super::super::rules::{FUNCTIONS, Function, Tenant};
use super::super::tenants::Tenants;
use super::super::who::Who;

/// Much longer than a call takes, and less than what ends a statement.
const PATIENCE: Duration = Duration::from_secs(6);

/// Every row of the user's that a call of theirs might lock.
const LOCKS: &[&str] = &[
    "select from public.idempotency_keys where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_sessions where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chatkit_sessions where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.idle_checks where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.throttles where org_id = '{org}' and subject in ('{user}', '{session}') for update",
];

/// Others hear at once that there is no such session, while somebody works on it.
pub async fn for_nobody(world: World) -> Result<()> {
    let tenants = Tenants::new(world).await?;
    for function in FUNCTIONS {
        let found = violations(&tenants, function).await?;
        ensure!(found.is_empty(), "{}", found.join("\n"));
    }
    Ok(())
}

/// The calls of this function that mix up two tenants and are not answered, or not as they should be. Those for the
/// schedule pass over what is locked.
pub async fn violations(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let mut transaction = tenants.world.database().begin().await?;
    for lock in LOCKS {
        let lock = tenants.person(Who::User).fill(lock);
        let locked = sqlx::query(AssertSqlSafe(lock.clone())).execute(&mut *transaction).await?;
        ensure!(locked.rows_affected() > 0, "nothing is locked by {lock}");
    }
    let answered = timeout(PATIENCE, async {
        if function.tenant == Tenant::Due {
            functions::call(tenants, Who::Service, function, tenants.person(Who::User)).await?;
        }
        functions::mixed_up(tenants, function).await
    });
    let found =
        answered.await.unwrap_or_else(|_| Ok(vec![format!("{} waits for what is another's", function.name)]));
    transaction.rollback().await?;
    rows::restore(tenants).await?;
    found
}
