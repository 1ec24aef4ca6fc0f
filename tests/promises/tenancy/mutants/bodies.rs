//! Functions that ask less than they should about who is calling, or for whom.

use anyhow::{Context, Result, ensure};

use super::super::rules::{FUNCTIONS, Tenant};
use super::super::tenants::Tenants;
use super::super::who::Who;
use super::mutant::{By, Mutant};
use super::{function, table};

/// A function, a piece of its text, what stands there instead, and the RPC function by which that must be noticed.
const WEAKER: &[(&str, &str, &str, &str)] = &[
    ("private.lock_session_of", "s.org_id = p_org_id", "true", "cancel_session"),
    ("private.lock_session_of", "s.user_id = p_user_id", "true", "cancel_session"),
    ("private.lock_session", "s.org_id = p_org_id", "true", "record_tasks"),
    ("private.member_role", "private.org_id_of(u.raw_app_meta_data) = p_org_id", "true", "open_session"),
    ("public.open_session", "and s.org_id = p_org_id and s.user_id = p_user_id", "", "open_session"),
    ("public.open_session", "and s.user_id = p_user_id", "", "open_session"),
    (
        "public.register_agent",
        "select * into v_agent",
        "update public.agents set description = ''; select * into v_agent",
        "register_agent",
    ),
    (
        "public.record_tasks",
        "insert into public.chat_tasks as t",
        "update public.chat_tasks set title = '-'; insert into public.chat_tasks as t",
        "record_tasks",
    ),
];

/// The first step of the RPC functions on a session, and one that does not care whose it is.
const LOCKS: &[&str] = &[
    "private.lock_session_of(p_org_id, p_user_id, p_session_id)",
    "private.lock_session(p_org_id, p_session_id)",
];
const ANYBODYS: &str = "(select s from public.chat_sessions as s where s.id = p_session_id)";

/// All of them.
pub async fn all(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = callers()?;
    for (name, text, instead, by) in WEAKER {
        let sql = edited(tenants, name, text, instead).await?;
        let what = format!("{name}: {instead:?} instead of {text:?}");
        mutants.push(Mutant::new(what, sql, By::Calling(function(by)?, &[Who::Service])));
    }
    for function in FUNCTIONS {
        let lock = match function.tenant {
            Tenant::Organisation | Tenant::Person => continue,
            Tenant::SessionOfPerson => LOCKS[0],
            Tenant::SessionOfOrganisation => LOCKS[1],
        };
        let sql = edited(tenants, &format!("public.{}", function.name), lock, ANYBODYS).await?;
        mutants.push(Mutant::new(
            format!("{} takes anybody's session", function.name),
            sql,
            By::Calling(function, &[Who::Service]),
        ));
    }
    Ok(mutants)
}

/// Who a token says is calling: a function of `private`, what it returns, and an expression instead of its own.
const CALLERS: &[(&str, &str, &str, &str)] = &[
    (
        "anonymous sign-ins belong to the organisation they name",
        "caller_org_id",
        "uuid",
        "private.org_id_of(auth.jwt() -> 'app_metadata')",
    ),
    (
        "users choose their organisation",
        "caller_org_id",
        "uuid",
        "private.org_id_of(auth.jwt() -> 'user_metadata')",
    ),
    ("everybody is an approver", "caller_is_approver", "boolean", "true"),
    ("nobody is an approver", "caller_is_approver", "boolean", "false"),
    (
        "admins are no approvers",
        "caller_is_approver",
        "boolean",
        "private.caller_org_role() in ('owner', 'approver')",
    ),
];

fn callers() -> Result<Vec<Mutant>> {
    let weaker = |(what, name, returns, expression): &(&str, &str, &str, &str)| {
        let sql = format!(
            "create or replace function private.{name}() returns {returns}
             language sql stable set search_path = '' return {expression}"
        );
        Ok(Mutant::new((*what).to_owned(), sql, By::Reading(table("chat_events")?, Who::ALL)))
    };
    CALLERS.iter().map(weaker).collect()
}

/// The statement that makes a function with another text.
async fn edited(tenants: &Tenants, name: &str, text: &str, instead: &str) -> Result<String> {
    let definition = sqlx::query_scalar("select pg_get_functiondef($1::regproc)").bind(name);
    let definition: String =
        definition.fetch_one(tenants.world.database()).await.with_context(|| name.to_owned())?;
    ensure!(definition.contains(text), "{name} has no {text:?} any more, so it is tried for nothing");
    Ok(definition.replace(text, instead))
}
