//! Policies that are missing, let everybody pass, or ask other things than they should; and row level security that is
//! switched off.

use anyhow::{Result, bail};

use super::mutant::{By, Mutant};
use super::table;
use crate::security::tenancy::expectations::TABLES;
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::tenants::Tenants;

/// What the policies ask, piece by piece.
const PIECES: &[(&str, &str)] = &[
    ("{org}", "org_id = (select chatkit_private.caller_org_id())"),
    ("{user}", "user_id = (select auth.uid())"),
    ("{approver}", "(select chatkit_private.caller_is_approver())"),
    (
        "{role}",
        "(allowed_org_roles is null or (select chatkit_private.caller_org_role()) = any (allowed_org_roles))",
    ),
];

/// Instead of `{org} and ({user} or {approver})`.
const OF_SESSIONS: &[(&str, &str)] = &[
    ("any member reads", "{org}"),
    ("the organisation does not matter", "{user} or {approver}"),
    ("the organisation matters for approvers only", "{user} or ({org} and {approver})"),
    ("approvers don't read", "{org} and {user}"),
    ("only approvers read", "{org} and {approver}"),
];

/// Instead of `{org} and enabled and {role}`.
const OF_AGENTS: &[(&str, &str)] = &[
    ("the organisation does not matter", "enabled and {role}"),
    ("disabled ones are shown", "{org} and {role}"),
    ("the role does not matter", "{org} and enabled"),
    ("only unrestricted ones are shown", "{org} and enabled and allowed_org_roles is null"),
];

/// Every policy and every switch.
pub async fn all(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let policies = "select tablename::text, quote_ident(policyname), qual from pg_policies
        where schemaname = 'public' order by 1, 2";
    let policies: Vec<(String, String, String)> =
        sqlx::query_as(policies).fetch_all(tenants.stack.database()).await?;
    if policies.is_empty() {
        bail!("there are no policies");
    }
    let mut mutants = Vec::new();
    for (name, policy, whole) in policies {
        let by = || Ok::<_, anyhow::Error>(By::Reading(table(&name)?, Who::ALL));
        let sql = format!("drop policy {policy} on public.{name}");
        let undo =
            format!("create policy {policy} on public.{name} for select to authenticated using ({whole})");
        mutants.push(Mutant::mended(sql.clone(), sql, undo, by()?));
        let weaker = if name == "agents" { OF_AGENTS } else { OF_SESSIONS };
        for (what, using) in [("everything is shown", "true")].iter().chain(weaker) {
            let using =
                PIECES.iter().fold((*using).to_owned(), |using, (piece, sql)| using.replace(piece, sql));
            let alter = |using: &str| format!("alter policy {policy} on public.{name} using ({using})");
            mutants.push(Mutant::mended(format!("{name}: {what}"), alter(&using), alter(&whole), by()?));
        }
    }
    for table in TABLES {
        let [sql, undo] = ["disable", "enable"]
            .map(|switch| format!("alter table public.{} {switch} row level security", table.name));
        // Where nobody was granted anything there is nothing that row level security would let pass or stop.
        let noticed = if table.shown.is_empty() { By::Catalogue } else { By::Reading(table, Who::ALL) };
        mutants.push(Mutant::mended(sql.clone(), sql, undo, noticed));
    }
    Ok(mutants)
}
