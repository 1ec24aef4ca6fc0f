//! Objects and options that no expectation mentions.

use super::mutant::{Detector, Mutant};

/// Without SQL of its own, a mutant is reverted by the migrations.
const MIGRATE: &str = "";

pub fn all() -> Vec<Mutant> {
    [
        ("a table without expectations", "create table public.invoices (id int)", "drop table public.invoices"),
        (
            "a column without expectations",
            "alter table public.chat_sessions add column notes text",
            "alter table public.chat_sessions drop column notes",
        ),
        (
            "a view, which reads with the rights of its owner",
            "create view public.sessions as select id from public.chat_sessions",
            "drop view public.sessions",
        ),
        (
            "a function without expectations",
            "create function public.sum_up() returns int language sql return 1",
            "drop function public.sum_up()",
        ),
        (
            "an overloaded function",
            "create function public.cancel_session(p_session_id uuid) returns int language sql
             security definer set search_path = '' return 1;
             revoke all on function public.cancel_session(uuid) from public, anon, authenticated, service_role",
            "drop function public.cancel_session(uuid)",
        ),
        (
            "a private table that is shared",
            "grant select on chatkit_private.webhook to service_role",
            "revoke select on chatkit_private.webhook from service_role",
        ),
        (
            "a helper as a security definer",
            "alter function chatkit_private.session_response security definer",
            "alter function chatkit_private.session_response security invoker",
        ),
        (
            "an RPC function as a security invoker",
            "alter function public.purge_expired security invoker",
            MIGRATE,
        ),
        (
            "a public write function as a security definer",
            "alter function public.cancel_session security definer",
            "alter function public.cancel_session security invoker",
        ),
        (
            "a private write function as a security invoker",
            "alter function chatkit_private.cancel_session security invoker",
            "alter function chatkit_private.cancel_session security definer",
        ),
        (
            "a function without a fixed search path",
            "alter function public.purge_expired reset search_path",
            MIGRATE,
        ),
        (
            "use of the schema of the helpers",
            "grant usage on schema chatkit_private to authenticated",
            "revoke usage on schema chatkit_private from authenticated",
        ),
        (
            "a policy for every role",
            r#"alter policy "session owner and approvers can read" on public.chat_sessions to public"#,
            MIGRATE,
        ),
        (
            "statistics of the contents of messages",
            "alter table public.chat_messages alter column content set statistics -1",
            MIGRATE,
        ),
        (
            "an additional policy",
            "create policy more on public.chat_sessions for insert to authenticated with check (true)",
            "drop policy more on public.chat_sessions",
        ),
    ]
    .map(|(description, sql, undo)| Mutant {
        description: description.to_owned(),
        sql: sql.to_owned(),
        undo: Some(undo.to_owned()).filter(|undo| undo != MIGRATE),
        detector: Detector::Catalogue,
    })
    .into()
}
