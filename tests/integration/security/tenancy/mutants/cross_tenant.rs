//! Things that nobody thought of when the rules were written.

use super::mutant::{By, Mutant};

/// The migrations mend it.
const MIGRATE: &str = "";

/// A new table, column, view, function or policy, and functions that run with other names or rights than they were
/// written for.
pub fn all() -> Vec<Mutant> {
    [
        ("a table without a rule", "create table public.invoices (id int)", "drop table public.invoices"),
        (
            "a column without a rule",
            "alter table public.chat_sessions add column notes text",
            "alter table public.chat_sessions drop column notes",
        ),
        (
            "a view, which would be read with its owner's rights",
            "create view public.sessions as select id from public.chat_sessions",
            "drop view public.sessions",
        ),
        (
            "a function without a rule",
            "create function public.sum_up() returns int language sql return 1",
            "drop function public.sum_up()",
        ),
        (
            "a second function of a name",
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
            "a helper that is run by its owner",
            "alter function chatkit_private.session_response security definer",
            "alter function chatkit_private.session_response security invoker",
        ),
        (
            "an RPC function that is run by its caller",
            "alter function public.purge_expired security invoker",
            MIGRATE,
        ),
        (
            "a function that looks as the caller and is run by its owner",
            "alter function public.cancel_session security definer",
            "alter function public.cancel_session security invoker",
        ),
        (
            "a function that writes for callers and is run by its caller",
            "alter function chatkit_private.cancel_session security invoker",
            "alter function chatkit_private.cancel_session security definer",
        ),
        (
            "a function that takes names from the search path",
            "alter function public.purge_expired reset search_path",
            MIGRATE,
        ),
        (
            "a use of the schema of the helpers",
            "grant usage on schema chatkit_private to authenticated",
            "revoke usage on schema chatkit_private from authenticated",
        ),
        (
            "a policy for everybody",
            r#"alter policy "session owner and approvers can read" on public.chat_sessions to public"#,
            MIGRATE,
        ),
        (
            "statistics of a transcript",
            "alter table public.chat_messages alter column content set statistics -1",
            MIGRATE,
        ),
        (
            "one more policy",
            "create policy more on public.chat_sessions for insert to authenticated with check (true)",
            "drop policy more on public.chat_sessions",
        ),
    ]
    .map(|(what, sql, undo)| Mutant {
        what: what.to_owned(),
        sql: sql.to_owned(),
        undo: Some(undo.to_owned()).filter(|undo| undo != MIGRATE),
        noticed: By::Catalogue,
    })
    .into()
}
