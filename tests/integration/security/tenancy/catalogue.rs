//! What the database itself says about who may do what: also of what PostgREST offers no way to ask.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use sqlx::PgConnection;

use super::expectations::{
    CALLED_BY_CALLERS, LOOKS_AS_CALLERS, PLANNED_BY, READS_AS_CALLERS, READS_USERS, RUN_BY_POLICIES, Sees,
    TABLES, Table, WRITES_FOR_CALLERS, every_function,
};
use super::tenants::SEES_THE_SCHEMA;

/// Everything in the schemas `public` and `chatkit_private` that is granted to somebody other than its owner, in words.
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

/// Tables without row level security, policies for anybody but signed-in readers, functions that run with other names
/// or rights than they were written for or that a call could mean another of, and things that are neither table nor
/// function.
const SWITCHES: &str = "
    select format('row level security of %s is off', c.relname) from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
    union all
    select format('chatkit_private.%s is shared with %s', c.relname, case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end)
    from pg_class as c cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = 'chatkit_private'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and a.grantee <> c.relowner
    union all
    select format('%s is no table', c.relname) from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm', 'f', 'S')
      -- A table may number its rows.
      and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'i')
    union all
    select format('a policy on %s is for %s to %s', p.tablename, p.cmd, p.roles) from pg_policies as p
    where p.schemaname = 'public'
      and (p.cmd <> 'SELECT' or p.roles <> '{authenticated}' or p.permissive <> 'PERMISSIVE')
    union all
    select format('there are %s functions named %s', count(*), p.proname) from pg_proc as p
    where p.pronamespace = 'public'::regnamespace group by p.proname having count(*) > 1
    union all
    select format('%s takes names from the search path', p.proname) from pg_proc as p
    where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace)
      and p.proconfig is distinct from array['search_path=\"\"']
      and p.proconfig is distinct from array['search_path=\"\"', 'plan_cache_mode=force_custom_plan']
      and p.proconfig is distinct from array['search_path=\"\"', 'plan_cache_mode=force_custom_plan', 'enable_sort=off']";

/// The functions that run as their owner. Whoever calls another one is asked for their own rights.
const RUN_BY_OWNERS: &str = "
    select format('%s.%s', p.pronamespace::regnamespace, p.proname) from pg_proc as p
    where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace) and p.prosecdef";

/// The columns of which statistics are kept.
const STATISTICS: &str = "
    select format('%s.%s', c.relname, a.attname)
    from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and coalesce(a.attstattarget, -1) <> 0";

/// Everything that is not as expected.
pub async fn violations(database: &mut PgConnection) -> Result<Vec<String>> {
    let mut found = grants(database).await?;
    found.extend(list(database, SWITCHES).await?);
    let by_owners: BTreeSet<String> = list(database, RUN_BY_OWNERS).await?.into_iter().collect();
    let expected = expected_by_owners();
    found.extend(by_owners.difference(&expected).map(|name| format!("{name} is run by its owner")));
    found.extend(expected.difference(&by_owners).map(|name| format!("{name} is not run by its owner")));

    let one_policy = "select tablename::text from pg_policies where schemaname = 'public'";
    let mut policies = list(database, one_policy).await?;
    policies.sort();
    let mut readable: Vec<&str> =
        TABLES.iter().filter(|table| !table.shown.is_empty()).map(|table| table.name).collect();
    readable.sort_unstable();
    if policies != readable {
        found.push(format!("there are policies on {policies:?}"));
    }
    found.extend(statistics(database).await?);
    found.extend(unexpected(database).await?);
    Ok(found)
}

/// The same, but where a grant is wrong, only the grants: the rest takes longer.
pub async fn first_violations(database: &mut PgConnection) -> Result<Vec<String>> {
    let grants = grants(database).await?;
    if grants.is_empty() { violations(database).await } else { Ok(grants) }
}

/// What is granted and should not be, and what should be and isn't.
async fn grants(database: &mut PgConnection) -> Result<Vec<String>> {
    let privileges = privileges(database).await?;
    let expected = expected_privileges();
    let mut found: Vec<String> =
        privileges.difference(&expected).map(|too_much| format!("granted: {too_much}")).collect();
    found.extend(expected.difference(&privileges).map(|missing| format!("not granted: {missing}")));
    Ok(found)
}

/// Columns that people and agents write, and that the planner could tell of.
async fn statistics(database: &mut PgConnection) -> Result<Vec<String>> {
    let kept = list(database, STATISTICS).await?;
    let mut found = Vec::new();
    for Table { name, shown, .. } in TABLES {
        let written =
            shown.split_whitespace().filter(|column| !PLANNED_BY.split_whitespace().any(|by| by == *column));
        let columns = written.map(|column| format!("{name}.{column}")).filter(|column| kept.contains(column));
        found.extend(columns.map(|column| format!("statistics are kept of {column}")));
    }
    Ok(found)
}

/// Who was granted what.
pub async fn privileges(database: &mut PgConnection) -> Result<BTreeSet<String>> {
    let of_the_test = format!("to {SEES_THE_SCHEMA}");
    Ok(list(database, PRIVILEGES)
        .await?
        .into_iter()
        .filter(|granted| !granted.ends_with(&of_the_test))
        .collect())
}

/// All of `public` but what writes for callers, which calls its like in `chatkit_private`.
fn expected_by_owners() -> BTreeSet<String> {
    let functions = every_function().map(|function| function.name).chain(CALLED_BY_CALLERS.iter().copied());
    let public =
        functions.filter(|name| !WRITES_FOR_CALLERS.contains(name)).map(|name| format!("public.{name}"));
    let private = WRITES_FOR_CALLERS.iter().chain(READS_USERS).map(|name| format!("chatkit_private.{name}"));
    public.chain(private).collect()
}

fn expected_privileges() -> BTreeSet<String> {
    let mut expected = BTreeSet::from(["usage on schema chatkit_private to service_role".to_owned()]);
    expected.extend(
        WRITES_FOR_CALLERS
            .iter()
            .chain(LOOKS_AS_CALLERS)
            .map(|name| format!("execute on chatkit_private.{name}() to service_role")),
    );
    for Table { name, shown, hidden, .. } in TABLES {
        if hidden.is_empty() {
            expected.insert(format!("select on {name} to authenticated"));
        } else {
            let columns = shown.split_whitespace();
            expected.extend(columns.map(|column| format!("select on {name}({column}) to authenticated")));
        }
    }
    expected.extend(
        every_function().map(|function| format!("execute on public.{}() to service_role", function.name)),
    );
    expected
        .extend(READS_AS_CALLERS.iter().map(|name| format!("execute on public.{name}() to authenticated")));
    expected
        .extend(CALLED_BY_CALLERS.iter().map(|name| format!("execute on public.{name}() to authenticated")));
    expected.extend(
        RUN_BY_POLICIES.iter().map(|name| format!("execute on chatkit_private.{name}() to authenticated")),
    );
    expected
}

/// Tables, columns and functions that the rules don't know, or that are gone; and callers whom a rule has forgotten.
async fn unexpected(database: &mut PgConnection) -> Result<Vec<String>> {
    let tables = "
        select format('the table %s: %s', c.relname, string_agg(a.attname, ' ' order by a.attname))
        from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
        group by c.relname";
    let functions =
        "select format('the function %s', proname) from pg_proc where pronamespace = 'public'::regnamespace";
    let there: BTreeSet<String> =
        list(database, tables).await?.into_iter().chain(list(database, functions).await?).collect();
    let known: BTreeSet<String> = TABLES
        .iter()
        .map(|table| {
            let mut columns: Vec<&str> =
                table.shown.split_whitespace().chain(table.hidden.split_whitespace()).collect();
            columns.sort_unstable();
            format!("the table {}: {}", table.name, columns.join(" "))
        })
        .chain(every_function().map(|function| format!("the function {}", function.name)))
        .chain(CALLED_BY_CALLERS.iter().chain(READS_AS_CALLERS).map(|name| format!("the function {name}")))
        .collect();
    let mut found: Vec<String> =
        there.difference(&known).map(|thing| format!("nothing is expected of {thing}")).collect();
    found.extend(known.difference(&there).map(|thing| format!("there is no longer {thing}")));
    for table in TABLES {
        let callers: Vec<_> = table.rows.iter().map(|(who, _)| *who).collect();
        if callers != super::roles::Who::ALL || table.shown.is_empty() != all_refused(table) {
            found.push(format!("the rules of {} are not those of every caller, once each", table.name));
        }
    }
    Ok(found)
}

fn all_refused(table: &Table) -> bool {
    table.rows.iter().all(|(_, sees)| matches!(sees, Sees::Refused))
}

async fn list(database: &mut PgConnection, query: &'static str) -> Result<Vec<String>> {
    sqlx::query_scalar(query).fetch_all(database).await.context("reading the catalogue")
}
