//! The database is not as the migrations make it.

use anyhow::{Context, Result};
use local_stack::LocalStack;
use sqlx::AssertSqlSafe;

use super::{Fault, finds, found};

/// Everything that the migrations brought, and their history.
const EMPTIED: &str = "drop schema chatkit_private cascade; drop schema public cascade; drop schema supabase_migrations cascade;
    create schema public authorization postgres; grant usage on schema public to anon, authenticated, service_role";

/// What somebody did to the database, in SQL, and what is to be found.
struct Done {
    what: &'static str,
    sql: &'static str,
    found: Fault<'static>,
    skipped: &'static [&'static str],
}

const fn done(what: &'static str, sql: &'static str, code: &'static str, names: &'static str) -> Done {
    Done { what, sql, found: ("schema", code, names), skipped: &[] }
}

const WAITING: &[&str] =
    &["clock", "schema", "webhook", "workflow", "sealing_keys", "agent_server", "approvers"];

const ALL: &[Done] = &[
    Done {
        what: "that no migration was applied",
        sql: EMPTIED,
        found: ("migrations", "deployment_state_missing", ""),
        skipped: WAITING,
    },
    Done {
        what: "that the doctor's own function may not be executed",
        sql: "revoke execute on function public.deployment_state() from service_role",
        found: ("migrations", "deployment_state_forbidden", ""),
        skipped: WAITING,
    },
    Done {
        what: "that the last migration of the orchestrator was not applied, by its file",
        sql: "drop function public.claim_transcripts(integer, integer);
              delete from supabase_migrations.schema_migrations where version = '20261127001900'",
        found: ("migrations", "migration_missing", "migrations/20261127001900_transcripts.sql"),
        skipped: &["schema"],
    },
    done(
        "that row level security is off",
        "alter table public.chat_sessions disable row level security",
        "rls_off",
        "public.chat_sessions",
    ),
    done(
        "that a policy was dropped",
        "drop policy \"session owner and approvers can read\" on public.chat_messages",
        "policy_missing",
        "public.chat_messages",
    ),
    done(
        "that a policy was widened",
        "alter policy \"session owner and approvers can read\" on public.chat_events using (true)",
        "policy_changed",
        "public.chat_events",
    ),
    done(
        "that a policy is for another role",
        "alter policy \"session owner and approvers can read\" on public.chat_tasks to public",
        "policy_changed",
        "public.chat_tasks",
    ),
    done(
        "a policy that nobody wrote down",
        "create policy everybody on public.chat_sessions for update to authenticated using (true)",
        "policy_added",
        "everybody",
    ),
    done(
        "a policy that widens beside one that restricts",
        "create policy narrow on public.chat_sessions as restrictive for select to authenticated using (true);
         create policy wide on public.chat_sessions for select to authenticated using (true)",
        "policy_added",
        "wide",
    ),
    done(
        "a policy of ours that restricts instead",
        "drop policy \"session owner and approvers can read\" on public.chat_tasks;
         create policy \"session owner and approvers can read\" on public.chat_tasks as restrictive for select to authenticated
           using (true)",
        "policy_changed",
        "public.chat_tasks",
    ),
    done(
        "a table that was granted",
        "grant select, insert on public.chatkit_sessions to authenticated",
        "grant_added",
        "insert to authenticated, select to authenticated",
    ),
    done(
        "a column that was granted",
        "grant select (chatkit_workflow_id) on public.agents to anon",
        "grant_added",
        "select (chatkit_workflow_id) to anon",
    ),
    done(
        "a table that was revoked",
        "revoke select on public.chat_messages from authenticated",
        "grant_missing",
        "public.chat_messages",
    ),
    done(
        "a function that anybody may execute",
        "grant execute on function public.purge_expired(integer, interval) to anon",
        "function_open",
        "public.purge_expired",
    ),
    done(
        "a function that the service may not execute",
        "revoke execute on function public.purge_expired(integer, interval) from service_role",
        "function_closed",
        "public.purge_expired",
    ),
    done("a function that is gone", "drop function public.purge_expired(integer, interval)", "function_missing", "public.purge_expired"),
    done(
        "a function that runs as its caller",
        "alter function public.purge_expired(integer, interval) security invoker",
        "function_changed",
        "public.purge_expired",
    ),
    done(
        "a function that takes names from the search path",
        "alter function public.purge_expired(integer, interval) reset search_path",
        "function_changed",
        "public.purge_expired",
    ),
    done(
        "a function with another body",
        "create or replace function chatkit_private.check_secret_owner() returns trigger language plpgsql set search_path = ''
           as 'begin return new; end'",
        "function_changed",
        "chatkit_private.check_secret_owner()",
    ),
    done(
        "that a trigger is disabled",
        "alter table public.chatkit_sessions disable trigger check_secret_owner",
        "trigger_disabled",
        "check_secret_owner",
    ),
    done(
        "that a trigger is gone",
        "drop trigger erase_secrets on public.chat_sessions",
        "trigger_missing",
        "erase_secrets",
    ),
    done("that a table is gone", "drop table public.throttles", "table_missing", "public.throttles"),
    done(
        "that the schema chatkit_private was opened",
        "grant usage on schema chatkit_private to authenticated",
        "schema_open",
        "authenticated",
    ),
    done(
        "that the schema chatkit_private was closed",
        "revoke usage on schema chatkit_private from service_role",
        "schema_closed",
        "service_role",
    ),
    done(
        "a function that looks as the caller and runs as its owner",
        "alter function chatkit_private.readable_ids(jsonb, uuid[], uuid[]) security definer",
        "function_changed",
        "chatkit_private.readable_ids",
    ),
];

// NAME: doctor: it finds each of ALL
#[tokio::test]
async fn every_change_is_reported() -> Result<()> {
    for done in ALL {
        finds(LocalStack::builder(), async |stack: &LocalStack| undone(stack, done).await)
            .await
            .with_context(|| done.what)?;
    }
    Ok(())
}

// NAME: doctor: it finds that the webhook is disabled
#[tokio::test]
async fn finds_that_the_webhook_is_disabled() -> Result<()> {
    finds(LocalStack::builder(), webhook).await
}

// NAME: doctor: it finds that pg_net is missing
#[tokio::test]
async fn finds_that_pg_net_is_missing() -> Result<()> {
    finds(LocalStack::builder(), no_pg_net).await
}

// NAME: doctor: it finds nothing wrong where there is no webhook
#[tokio::test]
async fn finds_nothing_wrong_where_there_is_no_webhook() -> Result<()> {
    finds(LocalStack::builder(), no_webhook).await
}

// NAME: doctor: it finds nothing wrong with what is another application's
#[tokio::test]
async fn finds_nothing_wrong_with_what_is_another_applications() -> Result<()> {
    finds(LocalStack::builder(), others).await
}

// NAME: doctor: it finds nothing wrong with policies that restrict
#[tokio::test]
async fn finds_nothing_wrong_with_policies_that_restrict() -> Result<()> {
    finds(LocalStack::builder(), restrictive).await
}

// NAME: doctor: it finds nothing wrong where nobody keeps a history of migrations
#[tokio::test]
async fn finds_nothing_wrong_where_nobody_keeps_a_history_of_migrations() -> Result<()> {
    finds(LocalStack::builder(), no_history).await
}

async fn run(stack: &LocalStack, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(stack.database()).await?;
    stack.supabase().reload_schema().await
}

async fn undone(stack: &LocalStack, done: &Done) -> Result<()> {
    run(stack, done.sql).await?;
    found(stack, &[done.found], done.skipped).await.map(drop)
}

async fn others(stack: &LocalStack) -> Result<()> {
    let theirs = "create table public.theirs (id int); grant all on public.theirs to anon;
        create function public.their_own() returns int language sql as 'select 1';
        create function public.their_trigger() returns trigger language plpgsql as 'begin return null; end';
        create trigger theirs after insert on public.delivery_queues for each row execute function public.their_trigger()";
    run(stack, theirs).await?;
    found(stack, &[], &[]).await.map(drop)
}

/// What an operator may demand of their own people, whatever the command and the table.
async fn restrictive(stack: &LocalStack) -> Result<()> {
    let demands = "
        create policy mfa on public.chat_sessions as restrictive for select to authenticated
          using ((select auth.jwt() ->> 'aal') = 'aal2');
        create policy mfa on public.chat_escalations as restrictive to authenticated
          using ((select auth.jwt() ->> 'aal') = 'aal2');
        create policy \"no agents for robots\" on public.agents as restrictive for all to public
          using (auth.jwt() ->> 'client_id' is null)";
    run(stack, demands).await?;
    found(stack, &[], &[]).await.map(drop)
}

async fn no_history(stack: &LocalStack) -> Result<()> {
    run(stack, "drop schema supabase_migrations cascade").await?;
    found(stack, &[], &["migrations"]).await.map(drop)
}

async fn webhook(stack: &LocalStack) -> Result<()> {
    run(stack, "alter table public.delivery_queues disable trigger notify_route_events").await?;
    found(stack, &[("schema", "trigger_disabled", "notify_route_events")], &[]).await.map(drop)
}

async fn no_webhook(stack: &LocalStack) -> Result<()> {
    run(stack, "delete from chatkit_private.webhook").await?;
    found(stack, &[], &["webhook"]).await.map(drop)
}

/// As after a restore, or in a project that was paused.
async fn no_pg_net(stack: &LocalStack) -> Result<()> {
    run(stack, "drop schema net cascade").await?;
    found(stack, &[("webhook", "webhook_extension_missing", "")], &[]).await.map(drop)
}
