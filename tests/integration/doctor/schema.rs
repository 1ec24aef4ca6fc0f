//! The schema differs from the one that the migrations create.

use anyhow::{Result, ensure};
use futures_util::{StreamExt, stream};
use local_stack::LocalStack;

use super::{ExpectedFault, execute, expect_faults, start};

#[tokio::test]
async fn missing_migrations_are_reported() -> Result<()> {
    expect_each_reported(MIGRATIONS).await
}

#[tokio::test]
async fn changed_policies_are_reported() -> Result<()> {
    expect_each_reported(POLICIES).await
}

#[tokio::test]
async fn changed_grants_are_reported() -> Result<()> {
    expect_each_reported(GRANTS).await
}

#[tokio::test]
async fn changed_functions_are_reported() -> Result<()> {
    expect_each_reported(FUNCTIONS).await
}

#[tokio::test]
async fn changed_tables_and_triggers_are_reported() -> Result<()> {
    expect_each_reported(TABLES).await
}

#[tokio::test]
async fn objects_of_other_applications_are_not_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let objects = "create table public.theirs (id int); grant all on public.theirs to anon;
        create function public.their_own() returns int language sql as 'select 1';
        create function public.their_trigger() returns trigger language plpgsql as 'begin return null; end';
        create trigger theirs after insert on public.delivery_queues
          for each row execute function public.their_trigger()";
    execute(&stack, objects).await?;
    expect_faults(&stack, &[], &[]).await
}

/// An operator may restrict the operator's own users, for any command and table.
#[tokio::test]
async fn restrictive_policies_of_the_operator_are_not_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let policies = "
        create policy mfa on public.chat_sessions as restrictive for select to authenticated
          using ((select auth.jwt() ->> 'aal') = 'aal2');
        create policy mfa on public.chat_escalations as restrictive to authenticated
          using ((select auth.jwt() ->> 'aal') = 'aal2');
        create policy \"no agents for robots\" on public.agents as restrictive for all to public
          using (auth.jwt() ->> 'client_id' is null)";
    execute(&stack, policies).await?;
    expect_faults(&stack, &[], &[]).await
}

#[tokio::test]
async fn missing_migration_history_is_skipped() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    execute(&stack, "drop schema supabase_migrations cascade").await?;
    expect_faults(&stack, &[], &["migrations"]).await
}

/// A change of the database, and the fault that the doctor reports.
struct Change {
    description: &'static str,
    sql: &'static str,
    fault: ExpectedFault<'static>,
    skipped: &'static [&'static str],
}

const fn change(
    description: &'static str,
    sql: &'static str,
    code: &'static str,
    text: &'static str,
) -> Change {
    Change { description, sql, fault: ("schema", code, text), skipped: &[] }
}

/// The number of stacks of one test at a time. The tests of this file run at the same time, too.
const CONCURRENT_STACKS: usize = 2;

/// Makes each change in a stack of its own.
async fn expect_each_reported(changes: &'static [Change]) -> Result<()> {
    let outcomes = stream::iter(changes)
        .map(|change| async move { (change.description, expect_reported(change).await) })
        .buffer_unordered(CONCURRENT_STACKS);
    let outcomes: Vec<(&str, Result<()>)> = outcomes.collect().await;
    let failures: Vec<String> = outcomes
        .iter()
        .filter_map(|(description, outcome)| Some(format!("{description}: {:#}", outcome.as_ref().err()?)))
        .collect();
    let (failed, all) = (failures.len(), changes.len());
    ensure!(failed == 0, "{failed} of {all} changes were not reported:\n{}", failures.join("\n"));
    Ok(())
}

async fn expect_reported(change: &Change) -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    execute(&stack, change.sql).await?;
    expect_faults(&stack, &[change.fault], change.skipped).await
}

/// Skipped without the function `deployment_state`.
const WITHOUT_STATE: &[&str] =
    &["clock", "schema", "webhook", "workflow", "sealing_keys", "agent_server", "approvers"];

/// Drops everything that the migrations create, and their history.
const DROP_ALL: &str = "drop schema chatkit_private cascade; drop schema public cascade;
    drop schema supabase_migrations cascade;
    create schema public authorization postgres;
    grant usage on schema public to anon, authenticated, service_role";

const MIGRATIONS: &[Change] = &[
    Change {
        description: "no migration is applied",
        sql: DROP_ALL,
        fault: ("migrations", "deployment_state_missing", ""),
        skipped: WITHOUT_STATE,
    },
    Change {
        description: "the service may not execute deployment_state",
        sql: "revoke execute on function public.deployment_state() from service_role",
        fault: ("migrations", "deployment_state_forbidden", ""),
        skipped: WITHOUT_STATE,
    },
    Change {
        description: "one migration is not applied",
        sql: "drop function public.claim_transcripts(integer, integer);
              delete from supabase_migrations.schema_migrations where version = '20261127001900'",
        fault: ("migrations", "migration_missing", "migrations/20261127001900_transcripts.sql"),
        skipped: &["schema"],
    },
];

const POLICIES: &[Change] = &[
    change(
        "row level security is disabled",
        "alter table public.chat_sessions disable row level security",
        "rls_off",
        "public.chat_sessions",
    ),
    change(
        "a policy is dropped",
        "drop policy \"session owner and approvers can read\" on public.chat_messages",
        "policy_missing",
        "public.chat_messages",
    ),
    change(
        "a policy is widened",
        "alter policy \"session owner and approvers can read\" on public.chat_events using (true)",
        "policy_changed",
        "public.chat_events",
    ),
    change(
        "a policy is for another role",
        "alter policy \"session owner and approvers can read\" on public.chat_tasks to public",
        "policy_changed",
        "public.chat_tasks",
    ),
    change(
        "a policy is added",
        "create policy everybody on public.chat_sessions for update to authenticated using (true)",
        "policy_added",
        "everybody",
    ),
    change(
        "a permissive policy is added beside a restrictive one",
        "create policy narrow on public.chat_sessions as restrictive for select to authenticated
           using (true);
         create policy wide on public.chat_sessions for select to authenticated using (true)",
        "policy_added",
        "wide",
    ),
    change(
        "a permissive policy is replaced by a restrictive one",
        "drop policy \"session owner and approvers can read\" on public.chat_tasks;
         create policy \"session owner and approvers can read\" on public.chat_tasks
           as restrictive for select to authenticated using (true)",
        "policy_changed",
        "public.chat_tasks",
    ),
];

const GRANTS: &[Change] = &[
    change(
        "a table is granted",
        "grant select, insert on public.chatkit_sessions to authenticated",
        "grant_added",
        "insert to authenticated, select to authenticated",
    ),
    change(
        "a column is granted",
        "grant select (chatkit_workflow_id) on public.agents to anon",
        "grant_added",
        "select (chatkit_workflow_id) to anon",
    ),
    change(
        "a table is revoked",
        "revoke select on public.chat_messages from authenticated",
        "grant_missing",
        "public.chat_messages",
    ),
    change(
        "anon may execute a function",
        "grant execute on function public.purge_expired(integer, interval) to anon",
        "function_open",
        "public.purge_expired",
    ),
    change(
        "the service may not execute a function",
        "revoke execute on function public.purge_expired(integer, interval) from service_role",
        "function_closed",
        "public.purge_expired",
    ),
    change(
        "authenticated may use the schema chatkit_private",
        "grant usage on schema chatkit_private to authenticated",
        "schema_open",
        "authenticated",
    ),
    change(
        "the service may not use the schema chatkit_private",
        "revoke usage on schema chatkit_private from service_role",
        "schema_closed",
        "service_role",
    ),
];

const FUNCTIONS: &[Change] = &[
    change(
        "a function is dropped",
        "drop function public.purge_expired(integer, interval)",
        "function_missing",
        "public.purge_expired",
    ),
    change(
        "a security definer becomes a security invoker",
        "alter function public.purge_expired(integer, interval) security invoker",
        "function_changed",
        "public.purge_expired",
    ),
    change(
        "a security invoker becomes a security definer",
        "alter function chatkit_private.readable_ids(jsonb, uuid[], uuid[]) security definer",
        "function_changed",
        "chatkit_private.readable_ids",
    ),
    change(
        "a function uses the caller's search path",
        "alter function public.purge_expired(integer, interval) reset search_path",
        "function_changed",
        "public.purge_expired",
    ),
    change(
        "a function has another body",
        "create or replace function chatkit_private.check_secret_owner() returns trigger language plpgsql
           set search_path = '' as 'begin return new; end'",
        "function_changed",
        "chatkit_private.check_secret_owner()",
    ),
];

const TABLES: &[Change] = &[
    change("a table is dropped", "drop table public.throttles", "table_missing", "public.throttles"),
    change(
        "a trigger is disabled",
        "alter table public.chatkit_sessions disable trigger check_secret_owner",
        "trigger_disabled",
        "check_secret_owner",
    ),
    change(
        "a trigger is dropped",
        "drop trigger erase_secrets on public.chat_sessions",
        "trigger_missing",
        "erase_secrets",
    ),
];
