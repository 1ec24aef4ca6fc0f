//! Functions that ask less than they should about who is calling, or for whom.

use anyhow::{Context, Result, ensure};

use super::super::rules::{FUNCTIONS, Tenant};
use super::super::tenants::Tenants;
use super::super::who::Who;
use super::mutant::{By, Mutant};
use super::weaker::{Noticed, WEAKER, Weaker};
use super::{function, table};

/// The first step of the RPC functions on a session, and one that does not care whose it is.
const LOCKS: &[&str] = &[
    "private.lock_session_of(p_org_id, p_user_id, p_session_id)",
    "private.lock_session(p_org_id, p_session_id)",
];
const ANYBODYS: &str = "(select s from public.chat_sessions as s where s.id = p_session_id)";

/// All of them.
pub async fn all(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = callers()?;
    for Weaker { of, text, instead, noticed } in WEAKER {
        let sql = edited(tenants, of, text, instead).await?;
        let by = match noticed {
            Noticed::Called(name) => By::Calling(function(name)?, &[Who::Service]),
            Noticed::Guessed(name) => By::Guessing(function(name)?),
            Noticed::Waited(name) => By::Waiting(function(name)?),
        };
        mutants.push(Mutant::new(format!("{of}: {instead:?} instead of {text:?}"), sql, by));
    }
    for function in FUNCTIONS {
        let lock = match function.tenant {
            Tenant::Organisation | Tenant::Person | Tenant::Due => continue,
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
