//! Privileges that a default grant could add, and missing privileges.

use anyhow::Result;

use super::mutant::{Detector, Mutant};
use super::{function, table};
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::{
    CALLER_FUNCTIONS, Function, POLICY_FUNCTIONS, READ_FUNCTIONS, TABLES, every_function,
};
use crate::security::tenancy::tenants::Tenants;

/// Every privilege on a sequence. No role has one.
const ON_SEQUENCES: &str = "
    select c.relname::text, p.privilege_type
    from pg_class as c, aclexplode(acldefault('s', c.relowner)) as p
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
    order by 1, 2";

/// The roles of the default grants.
const ROLES: &[&str] = &["public", "anon", "authenticated", "service_role"];

/// Every privilege on a table, with each role that does not have it.
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

/// Every function, with each role that may not execute it.
const ON_FUNCTIONS: &str = "
    select p.oid::regprocedure::text, p.proname::text, p.pronamespace::regnamespace::text, r.rolname
    from pg_proc as p, unnest($1::text[]) as r (rolname)
    where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace)
      and not exists (
        select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
        where case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end = r.rolname
      )
    order by 1, 4";

/// A caller whose requests run as this role.
fn callers_with_role(role: &str) -> &'static [Caller] {
    match role {
        "authenticated" => &[Caller::MemberOfOtherOrg],
        "service_role" => &[Caller::Service],
        // A caller without a token has the privileges of `public`.
        _ => &[Caller::NoToken],
    }
}

pub async fn on_tables(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(ON_TABLES).bind(ROLES).fetch_all(tenants.stack.database()).await?;
    rows.into_iter()
        .map(|(name, privilege, role)| {
            let (table, callers) = (table(&name)?, callers_with_role(&role));
            let can_read_keys = role == "authenticated" && !table.readable.is_empty();
            let detector = match privilege.as_str() {
                "SELECT" => Detector::Reading(table, callers),
                "UPDATE" | "DELETE" => Detector::Writing(table, callers),
                "INSERT" if can_read_keys => Detector::Writing(table, callers),
                "INSERT" | "TRUNCATE" => Detector::Statements(table, callers),
                // A reference or a trigger requires the creation of another object.
                _ => Detector::Catalogue,
            };
            let mut mutant = Mutant::grant(&privilege, &format!("public.{name}"), &role, detector);
            if privilege == "SELECT" && role == "authenticated" {
                // A revocation would remove the privilege from the readable columns, too.
                mutant.undo = None;
            }
            Ok(mutant)
        })
        .collect()
}

/// PostgREST does not expose sequences.
pub async fn on_sequences(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as(ON_SEQUENCES).fetch_all(tenants.stack.database()).await?;
    let by_roles = rows.iter().flat_map(|row| ROLES.iter().map(move |role| (row, role)));
    Ok(by_roles
        .map(|((name, privilege), role)| {
            Mutant::grant(privilege, &format!("sequence public.{name}"), role, Detector::Catalogue)
        })
        .collect())
}

/// A read of a column needs the privilege for this column only, so one mutant grants all hidden
/// columns of a table.
pub fn on_hidden_columns() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for table in TABLES.iter().filter(|table| !table.hidden.is_empty()) {
        let columns = table.hidden.split_whitespace().collect::<Vec<_>>().join(", ");
        for role in ROLES {
            let detector = Detector::ReadingHidden(table, callers_with_role(role)[0]);
            let on = format!("public.{}", table.name);
            mutants.push(Mutant::grant(&format!("select ({columns})"), &on, role, detector));
        }
    }
    mutants
}

/// Includes the functions that PostgREST does not expose.
pub async fn on_functions(tenants: &Tenants) -> Result<Vec<Mutant>> {
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as(ON_FUNCTIONS).bind(ROLES).fetch_all(tenants.stack.database()).await?;
    rows.into_iter()
        .map(|(signature, name, schema, role)| {
            let is_for_callers = CALLER_FUNCTIONS.iter().chain(READ_FUNCTIONS).any(|known| *known == name);
            let detector = if schema == "public" && !is_for_callers {
                Detector::Calling(vec![function(&name)?], callers_with_role(&role))
            } else {
                Detector::Catalogue
            };
            Ok(Mutant::grant("execute", &format!("function {signature}"), &role, detector))
        })
        .collect()
}

/// A column of each readable table.
pub fn missing_on_tables() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for table in TABLES {
        if let Some(column) = table.readable.split_whitespace().next() {
            let columns = if table.hidden.is_empty() { String::new() } else { format!("({column})") };
            let on = format!("select {columns} on public.{}", table.name);
            mutants.push(Mutant::revoke(&on, "authenticated", Detector::Reading(table, &[Caller::User])));
        }
    }
    mutants
}

/// The functions that the service, the policies and the write functions need.
pub fn missing_on_functions() -> Vec<Mutant> {
    let mut functions: Vec<&Function> = every_function().collect();
    functions.dedup_by_key(|function| function.name);
    let of_the_service = functions.into_iter().map(|function| {
        let on = format!("execute on function public.{}", function.name);
        Mutant::revoke(&on, "service_role", Detector::Calling(vec![function], &[Caller::Service]))
    });
    // The policy of sessions executes all of them.
    let readers = TABLES.iter().filter(|table| table.name == "chat_sessions");
    let of_policies = readers.flat_map(|table| {
        POLICY_FUNCTIONS.iter().map(move |name| {
            let on = format!("execute on function chatkit_private.{name}");
            Mutant::revoke(&on, "authenticated", Detector::Reading(table, &[Caller::User]))
        })
    });
    let chat_helpers =
        ["readable_chat_session", "chat_session_of_secret", "claims_of_secret", "list_chat_items"].map(
            |name| {
                let on = format!("execute on function chatkit_private.{name}");
                let calls = every_function().filter(|function| function.name == "list_chat_items");
                Mutant::revoke(&on, "service_role", Detector::Calling(calls.collect(), &[Caller::Service]))
            },
        );
    let helpers = ["cancel_session", "decide_escalation", "effective_claims", "readable_ids"]
        .map(|name| format!("execute on function chatkit_private.{name}"));
    let privileges = helpers.into_iter().chain(["usage on schema chatkit_private".to_owned()]);
    let of_writes = privileges.map(|privilege| {
        let calls = every_function().filter(|function| function.name == "decide_escalation");
        let calls = calls.chain(every_function().filter(|function| function.name == "cancel_session"));
        Mutant::revoke(&privilege, "service_role", Detector::Calling(calls.collect(), &[Caller::Service]))
    });
    of_the_service.chain(of_policies).chain(of_writes).chain(chat_helpers).collect()
}
