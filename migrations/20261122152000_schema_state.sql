-- What the catalogue says of everything that callers could get at, for the doctor to compare with what the migrations make: row
-- level security and policies, grants, functions and who may execute them, triggers. Names and rules only, no row of anybody's.

-- Of whom a grant is of interest here: PUBLIC and the API's roles.
create or replace function private.grantees(p_acl aclitem[], p_privilege text) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(g.grantee order by g.grantee), '[]')
  from (
    select distinct case a.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee) end as grantee
    from pg_catalog.aclexplode(p_acl) as a
    where a.privilege_type = p_privilege
  ) as g
  where g.grantee in ('public', 'anon', 'authenticated', 'service_role')
$$;

-- The tables of `public`. A trigger's definition is left out: that of a webhook holds its secret.
create or replace function private.table_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(c.relname, jsonb_build_object(
    'row_level_security', c.relrowsecurity,
    'policies', (
      select coalesce(jsonb_object_agg(p.policyname, jsonb_build_object(
        'command', lower(p.cmd), 'permissive', p.permissive = 'PERMISSIVE', 'roles', to_jsonb(p.roles),
        'using', p.qual, 'check', p.with_check
      )), '{}')
      from pg_catalog.pg_policies as p
      where p.schemaname = 'public' and p.tablename = c.relname
    ),
    'grants', (
      select coalesce(jsonb_agg(g.granted order by g.granted), '[]')
      from (
        select lower(a.privilege_type) || ' to ' || r.role as granted
        from pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) as a,
          lateral (select case a.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee) end) as r (role)
        where r.role in ('public', 'anon', 'authenticated', 'service_role')
        union
        select lower(a.privilege_type) || ' (' || o.attname || ') to ' || r.role
        from pg_catalog.pg_attribute as o,
          lateral pg_catalog.aclexplode(o.attacl) as a,
          lateral (select case a.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee) end) as r (role)
        where o.attrelid = c.oid and not o.attisdropped and r.role in ('public', 'anon', 'authenticated', 'service_role')
      ) as g
    ),
    -- One that fires on replicas only does not fire for the functions.
    'triggers', (
      select coalesce(jsonb_object_agg(t.tgname, t.tgenabled in ('O', 'A')), '{}')
      from pg_catalog.pg_trigger as t
      where t.tgrelid = c.oid and not t.tgisinternal
    )
  )), '{}')
  from pg_catalog.pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
$$;

-- The functions of `public` and `private`, less those of extensions. The body is told by its fingerprint.
create or replace function private.function_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(
    n.nspname || '.' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
    jsonb_build_object(
      'security_definer', p.prosecdef,
      'settings', coalesce(to_jsonb(p.proconfig), '[]'),
      'body', pg_catalog.md5(p.prosrc),
      'execute', private.grantees(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), 'EXECUTE')
    )
  ), '{}')
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'private')
    and not exists (select from pg_catalog.pg_depend as d where d.objid = p.oid and d.deptype = 'e')
$$;

-- All of it. Whoever may use the schema `private` could call by name what is in it.
create or replace function private.schema_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'tables', private.table_state(),
    'functions', private.function_state(),
    'private_usage', (
      select private.grantees(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)), 'USAGE')
      from pg_catalog.pg_namespace as n
      where n.nspname = 'private'
    )
  )
$$;

revoke all on function private.grantees(aclitem[], text) from public, anon, authenticated, service_role;
revoke all on function private.table_state() from public, anon, authenticated, service_role;
revoke all on function private.function_state() from public, anon, authenticated, service_role;
revoke all on function private.schema_state() from public, anon, authenticated, service_role;
