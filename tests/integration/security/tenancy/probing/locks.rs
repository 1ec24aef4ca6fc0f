//! How long a call takes tells something, too: one that waited for another's row would say that it is there, and hold it up.

use crate::security::tenancy::in_a_project;
use local_stack::postgres::Grants;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use crate::security::tenancy::expectations::{Function, Tenant, every_function};
use crate::security::tenancy::functions;
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::rows;
use crate::security::tenancy::tenants::Tenants;

/// How often it is looked whether somebody waits.
const GLANCE: Duration = Duration::from_millis(30);

/// Every row of the user's that a call of theirs might lock.
const LOCKS: &[&str] = &[
    "select from public.idempotency_keys where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_sessions where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chatkit_sessions where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.idle_checks where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.chat_escalations where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.deliveries where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.delivery_queues where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.transcripts_due where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.erasures where (org_id, user_id) = ('{org}', '{user}') for update",
    "select from public.throttles where org_id = '{org}' and subject in ('{user}', '{session}') for update",
];

// NAME: tenancy: nobody waits for another's rows
/// Others hear at once that there is no such session, while somebody works on it.
#[tokio::test]
async fn for_nobody() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    for function in every_function() {
        let found = violations(&tenants, function).await?;
        ensure!(found.is_empty(), "{}", found.join("\n"));
    }
    Ok(())
}

/// The calls of this function that mix up two tenants and are not answered, or not as they should be. Those for the
/// schedule pass over what is locked, due as it is.
pub async fn violations(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let user = tenants.person(Who::User);
    if function.tenant == Tenant::Due {
        rows::run(tenants, &user.fill(function.before)).await?;
    }
    let mut transaction = tenants.stack.database().begin().await?;
    for lock in LOCKS {
        let lock = user.fill(lock);
        let locked = sqlx::query(AssertSqlSafe(lock.clone())).execute(&mut *transaction).await?;
        ensure!(locked.rows_affected() > 0, "nothing is locked by {lock}");
    }
    let holder: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *transaction).await?;
    let calls = async {
        match function.tenant {
            Tenant::Due => functions::call(tenants, Who::Service, function, user).await.map(|_| Vec::new()),
            // Whoever has the delivery's id began its call, and waits for whoever works on its session.
            Tenant::CallUnderWay => Ok(Vec::new()),
            _ => functions::mixed_up(tenants, function).await,
        }
    };
    let mut calls = pin!(calls);
    let mut waited = 0;
    let found = loop {
        match timeout(GLANCE, &mut calls).await {
            Ok(found) => break found,
            Err(_) => waited += refuse_who_waits_for(tenants, holder).await?,
        }
    };
    transaction.rollback().await?;
    rows::restore(tenants).await?;
    let mut found = found?;
    if waited > 0 {
        found.push(format!("{} waits for what is another's", function.name));
    }
    Ok(found)
}

/// Ends the statements that wait for this connection's locks, and tells how many there were.
async fn refuse_who_waits_for(tenants: &Tenants, holder: i32) -> Result<i64> {
    let refused =
        "select count(pg_cancel_backend(pid)) from pg_stat_activity where $1 = any (pg_blocking_pids(pid))";
    Ok(sqlx::query_scalar(refused).bind(holder).fetch_one(tenants.stack.database()).await?)
}
