//! Functions without a condition that keeps tenants apart or selects due rows.

use anyhow::{Context, Result, ensure};

use super::mutant::{Detector, Mutant};
use super::{calls, chat, erasure, function, maintenance, orchestrator, sessions, table};
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::{Tenant, WRITE_FUNCTIONS, every_function};
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{functions, rows};

/// A replacement in the body of a function.
pub struct BodyMutant {
    pub function: &'static str,
    pub text: &'static str,
    pub replacement: &'static str,
    pub detected_by: DetectedBy,
}

/// The calls of an RPC function that detect a mutant.
pub enum DetectedBy {
    /// Calls for a tenant, and with the same ids for others.
    Call(&'static str),
    /// Calls with ids of others in the arguments.
    ForeignIds(&'static str),
    /// Calls while rows of others are locked.
    LockWait(&'static str),
}

pub const fn mutant(
    function: &'static str,
    text: &'static str,
    replacement: &'static str,
    detected_by: DetectedBy,
) -> BodyMutant {
    BodyMutant { function, text, replacement, detected_by }
}

pub async fn all(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = caller_mutants(tenants).await?;
    let mut without_check = body_mutants(tenants).await?;
    without_check.extend(lock_mutants(tenants).await?);
    let policy_check = definition(tenants, POLICY_CHECK).await?;
    for mutant in &mut without_check {
        mutant.sql = format!("{WITHOUT_POLICY_CHECK}; {}", mutant.sql);
        mutant.undo = mutant.undo.take().map(|undo| format!("{policy_check}; {undo}"));
    }
    mutants.extend(without_check);
    Ok(mutants)
}

/// The control: without the check of the policies, the functions that write for a caller still meet
/// their expectations. Otherwise every mutant would be detected because of the missing check.
pub async fn expect_no_violations_without_policy_check(tenants: &Tenants) -> Result<()> {
    let undo = definition(tenants, POLICY_CHECK).await?;
    rows::execute(tenants, WITHOUT_POLICY_CHECK).await?;
    for function in every_function().filter(|function| WRITE_FUNCTIONS.contains(&function.name)) {
        let found = functions::violations(tenants, function, &[Caller::Service]).await?;
        ensure!(found.is_empty(), "without the check of the policies:\n{}", found.join("\n"));
    }
    rows::execute(tenants, &undo).await
}

/// The function that checks the policies for a caller.
const POLICY_CHECK: &str = "chatkit_private.readable_ids";

/// A check that always succeeds. The policies would hide rows of others from a weaker function,
/// too, but the functions must keep tenants apart without them.
const WITHOUT_POLICY_CHECK: &str = "create or replace function chatkit_private.readable_ids(
      p_claims jsonb, p_session_ids uuid[], p_escalation_ids uuid[] default '{}')
    returns uuid[] language sql set search_path = '' as 'select p_session_ids || p_escalation_ids'";

/// The definition of a function, in the statement that creates it.
async fn definition(tenants: &Tenants, name: &str) -> Result<String> {
    let definition = sqlx::query_scalar("select pg_get_functiondef($1::regproc)").bind(name);
    definition.fetch_one(tenants.stack.database()).await.with_context(|| name.to_owned())
}

/// Replaces a text in the definition of a function.
fn replaced(
    description: String,
    definition: String,
    (text, replacement): (&str, &str),
    detector: Detector,
) -> Result<Mutant> {
    ensure!(definition.contains(text), "{description}: the function does not contain the text");
    let sql = definition.replace(text, replacement);
    Ok(Mutant::with_undo(description, sql, definition, detector))
}

async fn body_mutants(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let tables =
        [sessions::MUTANTS, chat::MUTANTS, maintenance::MUTANTS, orchestrator::MUTANTS, erasure::MUTANTS];
    let mut mutants = Vec::new();
    for BodyMutant { function: name, text, replacement, detected_by } in tables.into_iter().flatten() {
        let detector = match detected_by {
            DetectedBy::Call(rpc) => Detector::Calling(calls(rpc)?, &[Caller::Service]),
            DetectedBy::ForeignIds(rpc) => Detector::UsingForeignIds(function(rpc)?),
            DetectedBy::LockWait(rpc) => Detector::WaitingForLocks(function(rpc)?),
        };
        let description = format!("{name}: {replacement:?} instead of {text:?}");
        let definition = definition(tenants, name).await?;
        mutants.push(replaced(description, definition, (text, replacement), detector)?);
    }
    Ok(mutants)
}

/// The statements by which functions lock a session of a tenant.
const LOCK_OF_PERSON: &str = "chatkit_private.lock_session_of(p_org_id, p_user_id, p_session_id)";
const LOCK_OF_ORGANISATION: &str = "chatkit_private.lock_session(p_org_id, p_session_id)";

/// The same for any tenant.
const ANY_SESSION: &str = "(select s from public.chat_sessions as s where s.id = p_session_id)";

async fn lock_mutants(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for function in every_function() {
        let lock = match function.tenant {
            Tenant::SessionOfPerson => LOCK_OF_PERSON,
            Tenant::SessionOfOrganisation => LOCK_OF_ORGANISATION,
            _ => continue,
        };
        let schema = if WRITE_FUNCTIONS.contains(&function.name) { "chatkit_private" } else { "public" };
        let description = format!("{} accepts the session of any tenant", function.name);
        let definition = definition(tenants, &format!("{schema}.{}", function.name)).await?;
        let detector = Detector::Calling(vec![function], &[Caller::Service]);
        mutants.push(replaced(description, definition, (lock, ANY_SESSION), detector)?);
    }
    Ok(mutants)
}

/// Mutants of the functions that read the caller from the token: description, name, type and body.
const CALLER_MUTANTS: &[(&str, &str, &str, &str)] = &[
    (
        "an anonymous sign-in is a member of the organisation in its token",
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
    ("every caller is an approver", "caller_is_approver", "boolean", "true"),
    ("no caller is an approver", "caller_is_approver", "boolean", "false"),
    (
        "an admin is not an approver",
        "caller_is_approver",
        "boolean",
        "chatkit_private.caller_org_role() in ('owner', 'approver')",
    ),
];

async fn caller_mutants(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for (description, name, returns, expression) in CALLER_MUTANTS {
        let sql = format!(
            "create or replace function chatkit_private.{name}() returns {returns}
             language sql stable set search_path = '' return {expression}"
        );
        let undo = definition(tenants, &format!("chatkit_private.{name}")).await?;
        let detector = Detector::Reading(table("chat_events")?, Caller::ALL);
        mutants.push(Mutant::with_undo((*description).to_owned(), sql, undo, detector));
    }
    Ok(mutants)
}
