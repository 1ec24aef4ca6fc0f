//! Policies that are dropped, permissive or weaker, and disabled row level security.

use anyhow::{Result, bail};

use super::mutant::{Detector, Mutant};
use super::table;
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::TABLES;
use crate::security::tenancy::tenants::Tenants;

/// The conditions of the policies.
const CONDITIONS: &[(&str, &str)] = &[
    ("{org}", "org_id = (select chatkit_private.caller_org_id())"),
    ("{user}", "user_id = (select auth.uid())"),
    ("{approver}", "(select chatkit_private.caller_is_approver())"),
    (
        "{role}",
        "(allowed_org_roles is null or (select chatkit_private.caller_org_role()) = any (allowed_org_roles))",
    ),
];

/// Replacements of `{org} and ({user} or {approver})`.
const SESSION_MUTANTS: &[(&str, &str)] = &[
    ("every member reads", "{org}"),
    ("the organisation does not matter", "{user} or {approver}"),
    ("the organisation matters for approvers only", "{user} or ({org} and {approver})"),
    ("approvers do not read", "{org} and {user}"),
    ("only approvers read", "{org} and {approver}"),
];

/// Replacements of `{org} and enabled and {role}`.
const AGENT_MUTANTS: &[(&str, &str)] = &[
    ("the organisation does not matter", "enabled and {role}"),
    ("disabled agents are visible", "{org} and {role}"),
    ("the role does not matter", "{org} and enabled"),
    ("only agents for every role are visible", "{org} and enabled and allowed_org_roles is null"),
];

pub async fn all(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let policies = "select tablename::text, quote_ident(policyname), qual from pg_policies
        where schemaname = 'public' order by 1, 2";
    let policies: Vec<(String, String, String)> =
        sqlx::query_as(policies).fetch_all(tenants.stack.database()).await?;
    if policies.is_empty() {
        bail!("the database has no policies");
    }
    let mut mutants = Vec::new();
    for (name, policy, condition) in policies {
        let detector = || Ok::<_, anyhow::Error>(Detector::Reading(table(&name)?, Caller::ALL));
        let sql = format!("drop policy {policy} on public.{name}");
        let undo = format!(
            "create policy {policy} on public.{name} for select to authenticated using ({condition})"
        );
        mutants.push(Mutant::with_undo(sql.clone(), sql, undo, detector()?));
        let weaker = if name == "agents" { AGENT_MUTANTS } else { SESSION_MUTANTS };
        for (description, using) in [("all rows are visible", "true")].iter().chain(weaker) {
            let using =
                CONDITIONS.iter().fold((*using).to_owned(), |using, (name, sql)| using.replace(name, sql));
            let alter = |using: &str| format!("alter policy {policy} on public.{name} using ({using})");
            mutants.push(Mutant::with_undo(
                format!("{name}: {description}"),
                alter(&using),
                alter(&condition),
                detector()?,
            ));
        }
    }
    for table in TABLES {
        let [sql, undo] = ["disable", "enable"]
            .map(|action| format!("alter table public.{} {action} row level security", table.name));
        // Without a grant, a read is denied before row level security applies.
        let detector = if table.readable.is_empty() {
            Detector::Catalogue
        } else {
            Detector::Reading(table, Caller::ALL)
        };
        mutants.push(Mutant::with_undo(sql.clone(), sql, undo, detector));
    }
    Ok(mutants)
}
