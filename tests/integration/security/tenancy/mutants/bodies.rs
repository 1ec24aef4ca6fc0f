//! Functions that ask less than they should about who is calling, or for whom.

use anyhow::{Context, Result, ensure};

use super::mutant::{By, Mutant};
use super::predicates::{Noticed, WEAKER, Weaker};
use super::{calls, function, table};
use super::{erasure, orchestrator};
use crate::security::tenancy::expectations::{Tenant, WRITES_FOR_CALLERS, every_function};
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{functions, rows};

/// The first step of the RPC functions on a session, and one that does not care whose it is.
const LOCKS: &[&str] = &[
    "chatkit_private.lock_session_of(p_org_id, p_user_id, p_session_id)",
    "chatkit_private.lock_session(p_org_id, p_session_id)",
];
const ANYBODYS: &str = "(select s from public.chat_sessions as s where s.id = p_session_id)";

/// A look that shows everything to everybody. What our policies hide from a caller is hidden from a weaker function too; the
/// functions must keep tenants apart without that.
const BLIND: &str = "create or replace function chatkit_private.readable_ids(
      p_claims jsonb, p_session_ids uuid[], p_escalation_ids uuid[] default '{}')
    returns uuid[] language sql set search_path = '' as 'select p_session_ids || p_escalation_ids'";

/// Without the look the functions that write for callers do as the rules say, or each mutant would be noticed for it.
pub async fn hold_without_the_look(tenants: &Tenants) -> Result<()> {
    let undo = definition(tenants, LOOK).await?;
    rows::run(tenants, BLIND).await?;
    for function in every_function().filter(|function| WRITES_FOR_CALLERS.contains(&function.name)) {
        let found = functions::violations(tenants, function, &[Who::Service]).await?;
        ensure!(found.is_empty(), "without the look: {}", found.join("\n"));
    }
    rows::run(tenants, &undo).await
}

/// What looks.
const LOOK: &str = "chatkit_private.readable_ids";

/// All of them.
pub async fn all(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = callers(tenants).await?;
    let look = definition(tenants, LOOK).await?;
    let of_callers = mutants.len();
    for Weaker { of, text, instead, noticed } in
        WEAKER.iter().chain(orchestrator::WEAKER).chain(erasure::WEAKER)
    {
        let whole = definition(tenants, of).await?;
        let by = match noticed {
            Noticed::Called(name) => By::Calling(calls(name)?, &[Who::Service]),
            Noticed::Guessed(name) => By::Guessing(function(name)?),
            Noticed::Waited(name) => By::Waiting(function(name)?),
        };
        mutants.push(edited(format!("{of}: {instead:?} instead of {text:?}"), whole, (text, instead), by)?);
    }
    for function in every_function() {
        let lock = match function.tenant {
            Tenant::SessionOfPerson => LOCKS[0],
            Tenant::SessionOfOrganisation => LOCKS[1],
            _ => continue,
        };
        let schema = if WRITES_FOR_CALLERS.contains(&function.name) { "chatkit_private" } else { "public" };
        let whole = definition(tenants, &format!("{schema}.{}", function.name)).await?;
        let by = By::Calling(vec![function], &[Who::Service]);
        mutants.push(edited(
            format!("{} takes anybody's session", function.name),
            whole,
            (lock, ANYBODYS),
            by,
        )?);
    }
    for mutant in &mut mutants[of_callers..] {
        mutant.sql = format!("{BLIND}; {}", mutant.sql);
        mutant.undo = mutant.undo.take().map(|undo| format!("{look}; {undo}"));
    }
    Ok(mutants)
}

/// Who a token says is calling: a function of `chatkit_private`, what it returns, and an expression instead of its own.
const CALLERS: &[(&str, &str, &str, &str)] = &[
    (
        "anonymous sign-ins belong to the organisation they name",
        "caller_org_id",
        "uuid",
        "chatkit_private.extract_org_id(auth.jwt() -> 'app_metadata')",
    ),
    (
        "users choose their organisation",
        "caller_org_id",
        "uuid",
        "chatkit_private.extract_org_id(auth.jwt() -> 'user_metadata')",
    ),
    ("everybody is an approver", "caller_is_approver", "boolean", "true"),
    ("nobody is an approver", "caller_is_approver", "boolean", "false"),
    (
        "admins are no approvers",
        "caller_is_approver",
        "boolean",
        "chatkit_private.caller_org_role() in ('owner', 'approver')",
    ),
];

async fn callers(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for (what, name, returns, expression) in CALLERS {
        let sql = format!(
            "create or replace function chatkit_private.{name}() returns {returns}
             language sql stable set search_path = '' return {expression}"
        );
        let undo = definition(tenants, &format!("chatkit_private.{name}")).await?;
        let noticed = By::Reading(table("chat_events")?, Who::ALL);
        mutants.push(Mutant::mended((*what).to_owned(), sql, undo, noticed));
    }
    Ok(mutants)
}

/// The statement that makes a function.
async fn definition(tenants: &Tenants, name: &str) -> Result<String> {
    let definition = sqlx::query_scalar("select pg_get_functiondef($1::regproc)").bind(name);
    definition.fetch_one(tenants.stack.database()).await.with_context(|| name.to_owned())
}

/// A function made with another text, and then with its own again.
fn edited(what: String, whole: String, (text, instead): (&str, &str), noticed: By) -> Result<Mutant> {
    ensure!(whole.contains(text), "{what}: it has no such text any more, so it is tried for nothing");
    let sql = whole.replace(text, instead);
    Ok(Mutant::mended(what, sql, whole, noticed))
}
