//! Grants that a default would have made, and grants that are missing.

use anyhow::Result;

use super::mutant::{By, Mutant};
use super::{function, table};
use crate::security::tenancy::expectations::{
    CALLED_BY_CALLERS, Function, READS_AS_CALLERS, RUN_BY_POLICIES, TABLES, every_function,
};
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::tenants::Tenants;

/// Every privilege that there is on a sequence. Nobody has one.
const ON_SEQUENCES: &str = "
    select c.relname::text, p.privilege_type
    from pg_class as c, aclexplode(acldefault('s', c.relowner)) as p
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
    order by 1, 2";

/// Everybody that the defaults grant something to.
const ROLES: &[&str] = &["public", "anon", "authenticated", "service_role"];

/// Every privilege that there is on a table, by everybody who does not have it.
const ON_TABLES: &str = "
    select c.relname::text, p.privilege_type, r.rolname
    from pg_class as c,
      aclexplode(acldefault('r', c.relowner)) as p,
      unnest($1::text[]) as r (rolname)
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not exists (
        select from aclexplode(c.relacl) as g
        where g.privilege_type = p.privilege_type
          and case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end = r.rolname
      )
    order by 1, 2, 3";

/// Every function, by everybody who may not execute it.
const ON_FUNCTIONS: &str = "
    select p.oid::regprocedure::text, p.proname::text, p.pronamespace::regnamespace::text, r.rolname
    from pg_proc as p, unnest($1::text[]) as r (rolname)
    where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace)
      and not exists (
        select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
        where case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end = r.rolname
      )
    order by 1, 4";

/// Somebody who asks as this role.
fn asking_as(role: &str) -> &'static [Who] {
    match role {
        "authenticated" => &[Who::Stranger],
        "service_role" => &[Who::Service],
        // What is granted to everybody is granted to those who show no token.
        _ => &[Who::Nobody],
    }
}

/// Every privilege on every table.
pub async fn on_tables(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(ON_TABLES).bind(ROLES).fetch_all(tenants.stack.database()).await?;
    rows.into_iter()
        .map(|(name, privilege, role)| {
            let (table, callers) = (table(&name)?, asking_as(&role));
            let reads_keys = role == "authenticated" && !table.shown.is_empty();
            let noticed = match privilege.as_str() {
                "SELECT" => By::Reading(table, callers),
                "UPDATE" | "DELETE" => By::Writing(table, callers),
                "INSERT" if reads_keys => By::Writing(table, callers),
                "INSERT" | "TRUNCATE" => By::Statements(table, callers),
                // To refer to a table, or to make a trigger, one has to make something in the database first.
                _ => By::Catalogue,
            };
            let mut mutant = Mutant::grant(&privilege, &format!("public.{name}"), &role, noticed);
            if privilege == "SELECT" && role == "authenticated" {
                // Revoked from the table, it would be revoked from the columns that are shown too.
                mutant.undo = None;
            }
            Ok(mutant)
        })
        .collect()
}

/// Every privilege on every sequence, which PostgREST does not offer.
pub async fn on_sequences(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as(ON_SEQUENCES).fetch_all(tenants.stack.database()).await?;
    let by_roles = rows.iter().flat_map(|row| ROLES.iter().map(move |role| (row, role)));
    Ok(by_roles
        .map(|((name, privilege), role)| {
            Mutant::grant(privilege, &format!("sequence public.{name}"), role, By::Catalogue)
        })
        .collect())
}

/// Reading what is hidden. Reading one column asks for the grant on that one, so a table's are granted at once.
pub fn on_hidden_columns() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for table in TABLES.iter().filter(|table| !table.hidden.is_empty()) {
        let columns = table.hidden.split_whitespace().collect::<Vec<_>>().join(", ");
        for role in ROLES {
            let noticed = By::ReadingHidden(table, asking_as(role)[0]);
            let on = format!("public.{}", table.name);
            mutants.push(Mutant::grant(&format!("select ({columns})"), &on, role, noticed));
        }
    }
    mutants
}

/// Every function, those that PostgREST does not offer too.
pub async fn on_functions(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as(ON_FUNCTIONS).bind(ROLES).fetch_all(tenants.stack.database()).await?;
    rows.into_iter()
        .map(|(signature, name, schema, role)| {
            let for_callers = CALLED_BY_CALLERS.iter().chain(READS_AS_CALLERS).any(|known| *known == name);
            let noticed = if schema == "public" && !for_callers {
                By::Calling(vec![function(&name)?], asking_as(&role))
            } else {
                By::Catalogue
            };
            Ok(Mutant::grant("execute", &format!("function {signature}"), &role, noticed))
        })
        .collect()
}

/// What readers need: a column of each table.
pub fn missing_on_tables() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for table in TABLES {
        if let Some(column) = table.shown.split_whitespace().next() {
            let columns = if table.hidden.is_empty() { String::new() } else { format!("({column})") };
            let on = format!("select {columns} on public.{}", table.name);
            mutants.push(Mutant::revoke(&on, "authenticated", By::Reading(table, &[Who::User])));
        }
    }
    mutants
}

/// What the service needs, and what the policies need.
pub fn missing_on_functions() -> Vec<Mutant> {
    let mut functions: Vec<&Function> = every_function().collect();
    functions.dedup_by_key(|function| function.name);
    let of_the_service = functions.into_iter().map(|function| {
        let on = format!("execute on function public.{}", function.name);
        Mutant::revoke(&on, "service_role", By::Calling(vec![function], &[Who::Service]))
    });
    // The policy on agents runs all but one of them, the others' that one too.
    let readers = TABLES.iter().filter(|table| table.name == "chat_sessions");
    let of_policies = readers.flat_map(|table| {
        RUN_BY_POLICIES.iter().map(move |name| {
            let on = format!("execute on function chatkit_private.{name}");
            Mutant::revoke(&on, "authenticated", By::Reading(table, &[Who::User]))
        })
    });
    let behind =
        ["cancel_session", "decide_escalation"].into_iter().chain(["effective_claims", "readable_ids"]);
    let behind = behind.map(|name| format!("execute on function chatkit_private.{name}"));
    let of_writes = behind.chain(["usage on schema chatkit_private".to_owned()]).map(|privilege| {
        let calls = every_function().filter(|function| function.name == "decide_escalation");
        let calls = calls.chain(every_function().filter(|function| function.name == "cancel_session"));
        Mutant::revoke(&privilege, "service_role", By::Calling(calls.collect(), &[Who::Service]))
    });
    of_the_service.chain(of_policies).chain(of_writes).collect()
}
