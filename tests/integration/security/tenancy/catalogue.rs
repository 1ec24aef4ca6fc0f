//! Grants, policies and functions in the catalogue of PostgreSQL, including objects that PostgREST
//! does not expose.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use sqlx::PgConnection;

use super::callers::Caller;
use super::expectations::{
    AUTH_USERS_READERS, CALLER_FUNCTIONS, COLUMNS_WITH_STATISTICS, POLICY_FUNCTIONS, READ_FUNCTIONS,
    READ_HELPERS, READ_INVOKERS, TABLES, Table, Visible, WRITE_FUNCTIONS, WRITE_HELPERS, every_function,
};
use super::tenants::SCHEMA_READER_ROLE;

/// Every privilege in the schemas `public` and `chatkit_private` that a role other than the owner
/// has.
const PRIVILEGES: &str = "
    with granted (what, owner, privilege) as (
      select c.relname, c.relowner, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner)))
      from pg_class as c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      union all
      select format('%s(%s)', c.relname, a.attname), c.relowner, aclexplode(a.attacl)
      from pg_class as c join pg_attribute as a on a.attrelid = c.oid
      where c.relnamespace = 'public'::regnamespace
      union all
      select format('%s.%s()', p.pronamespace::regnamespace, p.proname), p.proowner,
             aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
      from pg_proc as p
      where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace)
      union all
      select 'schema ' || n.nspname, n.nspowner, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)))
      from pg_namespace as n
      where n.nspname = 'chatkit_private'
    )
    select format('%s on %s to %s', lower((privilege).privilege_type), what,
                  case (privilege).grantee when 0 then 'public' else pg_get_userbyid((privilege).grantee) end)
    from granted
    where (privilege).grantee <> owner";

/// Tables without row level security, shared tables of `chatkit_private`, objects that are neither
/// tables nor functions, policies that are not for reading by `authenticated`, overloaded
/// functions, and functions without a fixed search path.
const FORBIDDEN: &str = "
    select format('row level security of %s is off', c.relname) from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
    union all
    select format('chatkit_private.%s is shared with %s', c.relname,
                  case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end)
    from pg_class as c cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = 'chatkit_private'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
      and a.grantee <> c.relowner
    union all
    select format('%s is not a table', c.relname) from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm', 'f', 'S')
      -- The sequence of an identity column.
      and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'i')
    union all
    select format('a policy on %s is for %s to %s', p.tablename, p.cmd, p.roles) from pg_policies as p
    where p.schemaname = 'public'
      and (p.cmd <> 'SELECT' or p.roles <> '{authenticated}' or p.permissive <> 'PERMISSIVE')
    union all
    select format('there are %s functions named %s', count(*), p.proname) from pg_proc as p
    where p.pronamespace = 'public'::regnamespace group by p.proname having count(*) > 1
    union all
    select format('%s has another search path', p.proname) from pg_proc as p
    where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace)
      and p.proconfig is distinct from array['search_path=\"\"']
      and p.proconfig is distinct from array['search_path=\"\"', 'plan_cache_mode=force_custom_plan']
      and p.proconfig is distinct from
        array['search_path=\"\"', 'plan_cache_mode=force_custom_plan', 'enable_sort=off']
      -- The policies of the callers' tables use the search path of the request.
      and not (not p.prosecdef and p.provolatile = 's'
        and has_function_privilege('authenticated', p.oid, 'execute')
        and strpos(coalesce(array_to_string(p.proconfig, ','), ''), 'search_path') = 0)";

const SECURITY_DEFINERS: &str = "
    select format('%s.%s', p.pronamespace::regnamespace, p.proname) from pg_proc as p
    where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace) and p.prosecdef";

/// The columns with planner statistics.
const STATISTICS: &str = "
    select format('%s.%s', c.relname, a.attname)
    from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and coalesce(a.attstattarget, -1) <> 0";

/// Every difference from the expectations.
pub async fn violations(database: &mut PgConnection) -> Result<Vec<String>> {
    let mut found = grants(database).await?;
    found.extend(list(database, FORBIDDEN).await?);
    let definers: BTreeSet<String> = list(database, SECURITY_DEFINERS).await?.into_iter().collect();
    let expected = expected_definers();
    found.extend(definers.difference(&expected).map(|name| format!("{name} is a security definer")));
    found.extend(expected.difference(&definers).map(|name| format!("{name} is not a security definer")));

    let policies = "select tablename::text from pg_policies where schemaname = 'public'";
    let mut policies = list(database, policies).await?;
    policies.sort();
    let mut readable: Vec<&str> =
        TABLES.iter().filter(|table| !table.readable.is_empty()).map(|table| table.name).collect();
    readable.sort_unstable();
    if policies != readable {
        found.push(format!("expected policies on {readable:?}, found {policies:?}"));
    }
    found.extend(statistics(database).await?);
    found.extend(unexpected_objects(database).await?);
    Ok(found)
}

/// The wrong grants, or if there are none, every other difference, which takes longer to find.
pub async fn first_violations(database: &mut PgConnection) -> Result<Vec<String>> {
    let grants = grants(database).await?;
    if grants.is_empty() { violations(database).await } else { Ok(grants) }
}

/// Privileges that are granted and should not be, and the reverse.
async fn grants(database: &mut PgConnection) -> Result<Vec<String>> {
    let privileges = privileges(database).await?;
    let expected = expected_privileges();
    let mut found: Vec<String> =
        privileges.difference(&expected).map(|privilege| format!("granted: {privilege}")).collect();
    found.extend(expected.difference(&privileges).map(|privilege| format!("not granted: {privilege}")));
    Ok(found)
}

/// Readable columns with statistics that are not expected to have them: an estimate of the planner
/// could reveal values of other tenants.
async fn statistics(database: &mut PgConnection) -> Result<Vec<String>> {
    let with_statistics = list(database, STATISTICS).await?;
    let is_expected = |column: &str| COLUMNS_WITH_STATISTICS.split_whitespace().any(|name| name == column);
    let mut found = Vec::new();
    for Table { name, readable, .. } in TABLES {
        let columns = readable.split_whitespace().filter(|column| !is_expected(column));
        let columns = columns.map(|column| format!("{name}.{column}"));
        let columns = columns.filter(|column| with_statistics.contains(column));
        found.extend(columns.map(|column| format!("{column} has statistics")));
    }
    Ok(found)
}

/// Every privilege, without those of the role of the test.
pub async fn privileges(database: &mut PgConnection) -> Result<BTreeSet<String>> {
    let to_test_role = format!("to {SCHEMA_READER_ROLE}");
    let privileges = list(database, PRIVILEGES).await?.into_iter();
    Ok(privileges.filter(|privilege| !privilege.ends_with(&to_test_role)).collect())
}

/// All functions of `public` except those that write for callers, which call a security definer
/// with the same name in `chatkit_private`.
fn expected_definers() -> BTreeSet<String> {
    let functions = every_function().map(|function| function.name).chain(CALLER_FUNCTIONS.iter().copied());
    let public =
        functions.filter(|name| !WRITE_FUNCTIONS.contains(name)).map(|name| format!("public.{name}"));
    let private = WRITE_FUNCTIONS.iter().chain(AUTH_USERS_READERS).chain(READ_HELPERS);
    let private = private.map(|name| format!("chatkit_private.{name}"));
    public.chain(private).collect()
}

fn expected_privileges() -> BTreeSet<String> {
    let mut expected = BTreeSet::from(["usage on schema chatkit_private to service_role".to_owned()]);
    expected.extend(
        WRITE_FUNCTIONS
            .iter()
            .chain(WRITE_HELPERS)
            .map(|name| format!("execute on chatkit_private.{name}() to service_role")),
    );
    for Table { name, readable, hidden, .. } in TABLES {
        if hidden.is_empty() {
            expected.insert(format!("select on {name} to authenticated"));
        } else {
            let columns = readable.split_whitespace();
            expected.extend(columns.map(|column| format!("select on {name}({column}) to authenticated")));
        }
    }
    expected.extend(
        every_function().map(|function| format!("execute on public.{}() to service_role", function.name)),
    );
    expected.extend(READ_FUNCTIONS.iter().map(|name| format!("execute on public.{name}() to authenticated")));
    expected
        .extend(CALLER_FUNCTIONS.iter().map(|name| format!("execute on public.{name}() to authenticated")));
    expected.extend(
        POLICY_FUNCTIONS
            .iter()
            .chain(READ_HELPERS)
            .chain(READ_INVOKERS)
            .map(|name| format!("execute on chatkit_private.{name}() to authenticated")),
    );
    expected
}

/// Tables, columns and functions without expectations and the reverse, and tables whose
/// expectations do not list every caller once.
async fn unexpected_objects(database: &mut PgConnection) -> Result<Vec<String>> {
    let tables = "
        select format('the table %s: %s', c.relname, string_agg(a.attname, ' ' order by a.attname))
        from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
        group by c.relname";
    let functions =
        "select format('the function %s', proname) from pg_proc where pronamespace = 'public'::regnamespace";
    let existing: BTreeSet<String> =
        list(database, tables).await?.into_iter().chain(list(database, functions).await?).collect();
    let expected: BTreeSet<String> = TABLES
        .iter()
        .map(|table| {
            let mut columns: Vec<&str> =
                table.readable.split_whitespace().chain(table.hidden.split_whitespace()).collect();
            columns.sort_unstable();
            format!("the table {}: {}", table.name, columns.join(" "))
        })
        .chain(every_function().map(|function| format!("the function {}", function.name)))
        .chain(CALLER_FUNCTIONS.iter().chain(READ_FUNCTIONS).map(|name| format!("the function {name}")))
        .collect();
    let mut found: Vec<String> =
        existing.difference(&expected).map(|object| format!("without expectations: {object}")).collect();
    found.extend(expected.difference(&existing).map(|object| format!("does not exist: {object}")));
    for table in TABLES {
        let callers: Vec<Caller> = table.visible.iter().map(|(caller, _)| *caller).collect();
        if callers != Caller::ALL || table.readable.is_empty() != is_denied_to_all(table) {
            found.push(format!("the expectations of {} do not list every caller once", table.name));
        }
    }
    Ok(found)
}

fn is_denied_to_all(table: &Table) -> bool {
    table.visible.iter().all(|(_, visible)| matches!(visible, Visible::Denied))
}

async fn list(database: &mut PgConnection, query: &'static str) -> Result<Vec<String>> {
    sqlx::query_scalar(query).fetch_all(database).await.context("reading the catalogue")
}
