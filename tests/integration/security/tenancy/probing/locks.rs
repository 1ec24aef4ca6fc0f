//! A call that waits for a lock on another tenant's row reveals that the row exists, and blocks the
//! other tenant.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::postgres::Grants;
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::{Function, Tenant, every_function};
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{functions, rows, without_functions};

#[tokio::test]
async fn calls_do_not_wait_for_locks_of_other_tenants() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    for function in every_function() {
        let found = violations(&tenants, function).await?;
        ensure!(found.is_empty(), "{}", found.join("\n"));
    }
    Ok(())
}

/// The interval of the searches for waiting statements.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Every row of the user that a call could lock.
const LOCKS: &[&str] = &[
    "select from public.idempotency_keys where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_sessions where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chatkit_sessions where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_threads where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_runs where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_run_chunks where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.idle_checks where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_escalations where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.deliveries where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.delivery_queues where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.transcripts_due where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.erasures where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.throttles where org_id = '{org}' and subject in ('{user}', '{session}') for update",
];

/// The calls with ids of different tenants that wait for a lock, or whose response differs from the
/// expectation. A scheduled function skips locked rows, even though they are due.
pub async fn violations(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let user = tenants.person(Caller::User);
    if function.tenant == Tenant::Schedule {
        rows::execute(tenants, &user.fill(function.setup)).await?;
    }
    let mut transaction = tenants.stack.database().begin().await?;
    for lock in LOCKS {
        let lock = user.fill(lock);
        let locked = sqlx::query(AssertSqlSafe(lock.clone())).execute(&mut *transaction).await?;
        ensure!(locked.rows_affected() > 0, "no row is locked by {lock}");
    }
    let holder: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *transaction).await?;
    let calls = async {
        match function.tenant {
            Tenant::Schedule => {
                functions::call(tenants, Caller::Service, function, user).await.map(|_| Vec::new())
            }
            // Only the run that began the call knows the delivery's id, and it may wait.
            Tenant::RunningCall | Tenant::RunOfProcess => Ok(Vec::new()),
            _ => functions::call_across_tenants(tenants, function).await,
        }
    };
    let mut calls = pin!(calls);
    let mut waited = 0;
    let found = loop {
        match timeout(POLL_INTERVAL, &mut calls).await {
            Ok(found) => break found,
            Err(_) => waited += cancel_waiting_statements(tenants, holder).await?,
        }
    };
    transaction.rollback().await?;
    rows::restore(tenants).await?;
    let mut found = found?;
    if waited > 0 {
        found.push(format!("{} waits for a lock of another tenant", function.name));
    }
    Ok(found)
}

/// Cancels the statements that wait for the locks of this connection, and returns their number.
async fn cancel_waiting_statements(tenants: &Tenants, holder: i32) -> Result<i64> {
    let cancel =
        "select count(pg_cancel_backend(pid)) from pg_stat_activity where $1 = any (pg_blocking_pids(pid))";
    Ok(sqlx::query_scalar(cancel).bind(holder).fetch_one(tenants.stack.database()).await?)
}
