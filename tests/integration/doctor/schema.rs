//! The database is not as the migrations make it.

use anyhow::Result;
use local_stack::World;
use sqlx::AssertSqlSafe;

use super::{Fault, finds, found};

// TODO /// Everything that the migrations brought, and their history.
// TODO const EMPTIED: &str = "drop schema chatkit_private cascade; drop schema public cascade; drop schema supabase_migrations cascade;
// TODO     create schema public authorization postgres; grant usage on schema public to anon, authenticated, service_role";
// TODO
// TODO /// What somebody did to the database, in SQL, and what is to be found.
// TODO struct Done {
// TODO     what: &'static str,
// TODO     sql: &'static str,
// TODO     found: Fault<'static>,
// TODO     skipped: &'static [&'static str],
// TODO }
// TODO
// TODO const fn done(what: &'static str, sql: &'static str, code: &'static str, names: &'static str) -> Done {
// TODO     Done { what, sql, found: ("schema", code, names), skipped: &[] }
// TODO }
// TODO
// TODO const WAITING: &[&str] =
// TODO     &["clock", "schema", "webhook", "workflow", "sealing_keys", "agent_server", "approvers"];
// TODO
// TODO const ALL: &[Done] = &[
// TODO     Done {
// TODO         what: "that no migration was applied",
// TODO         sql: EMPTIED,
// TODO         found: ("migrations", "deployment_state_missing", ""),
// TODO         skipped: WAITING,
// TODO     },
// TODO     Done {
// TODO         what: "that the doctor's own function may not be executed",
// TODO         sql: "revoke execute on function public.deployment_state() from service_role",
// TODO         found: ("migrations", "deployment_state_forbidden", ""),
// TODO         skipped: WAITING,
// TODO     },
// TODO     Done {
// TODO         what: "that the last migration of the orchestrator was not applied, by its file",
// TODO         sql: "drop function public.claim_transcripts(integer, integer);
// TODO               delete from supabase_migrations.schema_migrations where version = '20261127001900'",
// TODO         found: ("migrations", "migration_missing", "migrations/20261127001900_transcripts.sql"),
// TODO         skipped: &["schema"],
// TODO     },
// TODO     done(
// TODO         "that row level security is off",
// TODO         "alter table public.chat_sessions disable row level security",
// TODO         "rls_off",
// TODO         "public.chat_sessions",
// TODO     ),
// TODO     done(
// TODO         "that a policy was dropped",
// TODO         "drop policy \"session owner and approvers can read\" on public.chat_messages",
// TODO         "policy_missing",
// TODO         "public.chat_messages",
// TODO     ),
// TODO     done(
// TODO         "that a policy was widened",
// TODO         "alter policy \"session owner and approvers can read\" on public.chat_events using (true)",
// TODO         "policy_changed",
// TODO         "public.chat_events",
// TODO     ),
// TODO     done(
// TODO         "that a policy is for another role",
// TODO         "alter policy \"session owner and approvers can read\" on public.chat_tasks to public",
// TODO         "policy_changed",
// TODO         "public.chat_tasks",
// TODO     ),
// TODO     done(
// TODO         "a policy that nobody wrote down",
// TODO         "create policy everybody on public.chat_sessions for update to authenticated using (true)",
// TODO         "policy_added",
// TODO         "everybody",
// TODO     ),
// TODO     done(
// TODO         "a policy that widens beside one that restricts",
// TODO         "create policy narrow on public.chat_sessions as restrictive for select to authenticated using (true);
// TODO          create policy wide on public.chat_sessions for select to authenticated using (true)",
// TODO         "policy_added",
// TODO         "wide",
// TODO     ),
// TODO     done(
// TODO         "a policy of ours that restricts instead",
// TODO         "drop policy \"session owner and approvers can read\" on public.chat_tasks;
// TODO          create policy \"session owner and approvers can read\" on public.chat_tasks as restrictive for select to authenticated
// TODO            using (true)",
// TODO         "policy_changed",
// TODO         "public.chat_tasks",
// TODO     ),
// TODO     done(
// TODO         "a table that was granted",
// TODO         "grant select, insert on public.chatkit_sessions to authenticated",
// TODO         "grant_added",
// TODO         "insert to authenticated, select to authenticated",
// TODO     ),
// TODO     done(
// TODO         "a column that was granted",
// TODO         "grant select (chatkit_workflow_id) on public.agents to anon",
// TODO         "grant_added",
// TODO         "select (chatkit_workflow_id) to anon",
// TODO     ),
// TODO     done(
// TODO         "a table that was revoked",
// TODO         "revoke select on public.chat_messages from authenticated",
// TODO         "grant_missing",
// TODO         "public.chat_messages",
// TODO     ),
// TODO     done(
// TODO         "a function that anybody may execute",
// TODO         "grant execute on function public.purge_expired(integer, interval) to anon",
// TODO         "function_open",
// TODO         "public.purge_expired",
// TODO     ),
// TODO     done(
// TODO         "a function that the service may not execute",
// TODO         "revoke execute on function public.purge_expired(integer, interval) from service_role",
// TODO         "function_closed",
// TODO         "public.purge_expired",
// TODO     ),
// TODO     done("a function that is gone", "drop function public.purge_expired(integer, interval)", "function_missing", "public.purge_expired"),
// TODO     done(
// TODO         "a function that runs as its caller",
// TODO         "alter function public.purge_expired(integer, interval) security invoker",
// TODO         "function_changed",
// TODO         "public.purge_expired",
// TODO     ),
// TODO     done(
// TODO         "a function that takes names from the search path",
// TODO         "alter function public.purge_expired(integer, interval) reset search_path",
// TODO         "function_changed",
// TODO         "public.purge_expired",
// TODO     ),
// TODO     done(
// TODO         "a function with another body",
// TODO         "create or replace function chatkit_private.check_secret_owner() returns trigger language plpgsql set search_path = ''
// TODO            as 'begin return new; end'",
// TODO         "function_changed",
// TODO         "chatkit_private.check_secret_owner()",
// TODO     ),
// TODO     done(
// TODO         "that a trigger is disabled",
// TODO         "alter table public.chatkit_sessions disable trigger check_secret_owner",
// TODO         "trigger_disabled",
// TODO         "check_secret_owner",
// TODO     ),
// TODO     done(
// TODO         "that a trigger is gone",
// TODO         "drop trigger erase_secrets on public.chat_sessions",
// TODO         "trigger_missing",
// TODO         "erase_secrets",
// TODO     ),
// TODO     done("that a table is gone", "drop table public.throttles", "table_missing", "public.throttles"),
// TODO     done(
// TODO         "that the schema chatkit_private was opened",
// TODO         "grant usage on schema chatkit_private to authenticated",
// TODO         "schema_open",
// TODO         "authenticated",
// TODO     ),
// TODO     done(
// TODO         "that the schema chatkit_private was closed",
// TODO         "revoke usage on schema chatkit_private from service_role",
// TODO         "schema_closed",
// TODO         "service_role",
// TODO     ),
// TODO     done(
// TODO         "a function that looks as the caller and runs as its owner",
// TODO         "alter function chatkit_private.readable_ids(jsonb, uuid[], uuid[]) security definer",
// TODO         "function_changed",
// TODO         "chatkit_private.readable_ids",
// TODO     ),
// TODO ];
// TODO
// TODO pub fn trials() -> Vec<Trial> {
// TODO     let mut trials: Vec<Trial> = ALL
// TODO         .iter()
// TODO         .map(|done| finds(done.what, World::builder(), async move |world: &World| undone(world, done).await))
// TODO         .collect();
// TODO     trials.push(finds("that the webhook is disabled", World::builder(), webhook));
// TODO     trials.push(finds("that pg_net is missing", World::builder(), no_pg_net));
// TODO     trials.push(finds("nothing wrong where there is no webhook", World::builder(), no_webhook));
// TODO     trials.push(finds("nothing wrong with what is another application's", World::builder(), others));
// TODO     trials.push(finds("nothing wrong with policies that restrict", World::builder(), restrictive));
// TODO     trials.push(finds(
// TODO         "nothing wrong where nobody keeps a history of migrations",
// TODO         World::builder(),
// TODO         no_history,
// TODO     ));
// TODO     trials
// TODO }

async fn run(world: &World, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(world.database()).await?;
    world.supabase().reload_schema().await
}

async fn undone(world: &World, done: &Done) -> Result<()> {
    run(world, done.sql).await?;
    found(world, &[done.found], done.skipped).await.map(drop)
}

async fn others(world: &World) -> Result<()> {
    let theirs = "create table public.theirs (id int); grant all on public.theirs to anon;
        create function public.their_own() returns int language sql as 'select 1';
        create function public.their_trigger() returns trigger language plpgsql as 'begin return null; end';
        create trigger theirs after insert on public.delivery_queues for each row execute function public.their_trigger()";
    run(world, theirs).await?;
    found(world, &[], &[]).await.map(drop)
}

/// What an operator may demand of their own people, whatever the command and the table.
async fn restrictive(world: &World) -> Result<()> {
    let demands = "
        create policy mfa on public.chat_sessions as restrictive for select to authenticated
          using ((select auth.jwt() ->> 'aal') = 'aal2');
        create policy mfa on public.chat_escalations as restrictive to authenticated
          using ((select auth.jwt() ->> 'aal') = 'aal2');
        create policy \"no agents for robots\" on public.agents as restrictive for all to public
          using (auth.jwt() ->> 'client_id' is null)";
    run(world, demands).await?;
    found(world, &[], &[]).await.map(drop)
}

async fn no_history(world: &World) -> Result<()> {
    run(world, "drop schema supabase_migrations cascade").await?;
    found(world, &[], &["migrations"]).await.map(drop)
}

async fn webhook(world: &World) -> Result<()> {
    run(world, "alter table public.delivery_queues disable trigger notify_route_events").await?;
    found(world, &[("schema", "trigger_disabled", "notify_route_events")], &[]).await.map(drop)
}

async fn no_webhook(world: &World) -> Result<()> {
    run(world, "delete from chatkit_private.webhook").await?;
    found(world, &[], &["webhook"]).await.map(drop)
}

/// As after a restore, or in a project that was paused.
async fn no_pg_net(world: &World) -> Result<()> {
    run(world, "drop schema net cascade").await?;
    found(world, &[("webhook", "webhook_extension_missing", "")], &[]).await.map(drop)
}
