-- State of the deployment, for the metrics gauges and the doctor.

create or replace function public.service_state() returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  return jsonb_build_object(
    'open_escalations', (
      select count(*)
      from (select from public.chat_escalations as e where e.status = 'open' limit 100000) as o
    ),
    'oldest_undelivered_seconds', coalesce((
      select floor(extract(epoch from v_now - q.due_at))::bigint
      from public.delivery_queues as q
      where q.due_at <= v_now
      order by q.due_at
      limit 1
    ), 0),
    'dead_deliveries', (
      select count(*)
      from (
        select from public.deliveries as d where d.status in ('dead', 'unknown') limit 100000
      ) as o
    )
  );
end
$$;

comment on function public.service_state is
  'Returns the values of the gauges. `open_escalations` and `dead_deliveries` (dead letters and '
  'deliveries of unknown outcome) are counted up to 100,000. `oldest_undelivered_seconds` is how '
  'long the oldest due queue has been due, 0 if none is.';

-- Returns which of PUBLIC and the API's roles have a privilege.
create or replace function chatkit_private.grantees(p_acl aclitem[], p_privilege text) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(g.grantee order by g.grantee), '[]')
  from (
    select distinct
      case a.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee) end as grantee
    from pg_catalog.aclexplode(p_acl) as a
    where a.privilege_type = p_privilege
  ) as g
  where g.grantee in ('public', 'anon', 'authenticated', 'service_role')
$$;

-- Returns the row level security, policies, grants and triggers of the tables in `public`. Trigger
-- definitions are left out, because that of a database webhook contains its secret.
create or replace function chatkit_private.table_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(c.relname, jsonb_build_object(
    'row_level_security', c.relrowsecurity,
    'policies', (
      select coalesce(jsonb_object_agg(p.policyname, jsonb_build_object(
        'command', lower(p.cmd), 'permissive', p.permissive = 'PERMISSIVE',
        'roles', to_jsonb(p.roles),
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
          lateral (
            select case a.grantee
              when 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)
            end
          ) as r (role)
        where r.role in ('public', 'anon', 'authenticated', 'service_role')
        union
        select lower(a.privilege_type) || ' (' || o.attname || ') to ' || r.role
        from pg_catalog.pg_attribute as o,
          lateral pg_catalog.aclexplode(o.attacl) as a,
          lateral (
            select case a.grantee
              when 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)
            end
          ) as r (role)
        where o.attrelid = c.oid
          and not o.attisdropped
          and r.role in ('public', 'anon', 'authenticated', 'service_role')
      ) as g
    ),
    -- A trigger that fires only on replicas counts as disabled.
    'triggers', (
      select coalesce(jsonb_object_agg(t.tgname, t.tgenabled in ('O', 'A')), '{}')
      from pg_catalog.pg_trigger as t
      where t.tgrelid = c.oid and not t.tgisinternal
    )
  )), '{}')
  from pg_catalog.pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
$$;

-- Returns the security mode, settings and grants of the functions in `public` and
-- `chatkit_private`, with an MD5 hash of each body. Functions of extensions are left out.
create or replace function chatkit_private.function_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(
    n.nspname || '.' || p.proname
      || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
    jsonb_build_object(
      'security_definer', p.prosecdef,
      'settings', coalesce(to_jsonb(p.proconfig), '[]'),
      'body', pg_catalog.md5(p.prosrc),
      'execute', chatkit_private.grantees(
        coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), 'EXECUTE'
      )
    )
  ), '{}')
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'chatkit_private')
    and not exists (select from pg_catalog.pg_depend as d where d.objid = p.oid and d.deptype = 'e')
$$;

-- Returns the state of tables and functions, and who may use the schema `chatkit_private`. A role
-- with that privilege can call functions of the schema by name.
create or replace function chatkit_private.schema_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'tables', chatkit_private.table_state(),
    'functions', chatkit_private.function_state(),
    'private_usage', (
      select chatkit_private.grantees(
        coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)), 'USAGE'
      )
      from pg_catalog.pg_namespace as n
      where n.nspname = 'chatkit_private'
    )
  )
$$;

-- Returns the versions of the migrations that the Supabase CLI has recorded as applied, or null if
-- there is no such record. The CLI creates the table, so it may be missing and is read by dynamic
-- SQL.
create or replace function chatkit_private.applied_migrations() returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  v_versions jsonb;
begin
  if to_regclass('supabase_migrations.schema_migrations') is null then
    return null;
  end if;
  execute 'select coalesce(jsonb_agg(m.version order by m.version), ''[]'') from supabase_migrations.schema_migrations as m'
  into v_versions;
  return v_versions;
end
$$;

-- Returns the number of organisations that have fewer than two approvers although their agents may
-- need an approval by another person. A single approver cannot edit a call, because another person
-- must approve the edit.
create or replace function chatkit_private.organisations_short_of_approvers() returns bigint
language sql stable
set search_path = ''
as $$
  with approvers as (
    select chatkit_private.extract_org_id(u.raw_app_meta_data) as org_id, count(*) as n
    from auth.users as u
    where chatkit_private.member_role(
      chatkit_private.extract_org_id(u.raw_app_meta_data), u.id
    ) in ('owner', 'admin', 'approver')
    group by 1
  )
  select count(*)
  from (
    select distinct t.org_id
    from public.agent_tools as t
    join public.agents as a on (a.org_id, a.id) = (t.org_id, t.agent_id)
    where a.enabled
      and t.policy <> 'never'
      and (t.policy = 'ask' or num_nonnulls(t.ask_above, t.ask_above_total, t.refuse_above) > 0
           or t.risk <> 'low' or t.approver = 'other')
  ) as o
  left join approvers as p on p.org_id = o.org_id
  where coalesce(p.n, 0) < 2
$$;

create or replace function public.deployment_state() returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  c_most constant integer := 200;
begin
  return jsonb_build_object(
    'now', clock_timestamp(),
    -- Supabase makes a database read-only when its disk is full.
    'read_only', current_setting('default_transaction_read_only')::boolean,
    'schema', chatkit_private.schema_state(),
    'webhook', chatkit_private.webhook_state(),
    'migrations', chatkit_private.applied_migrations(),
    'workflow_count', (
      select count(distinct (a.chatkit_workflow_id, a.chatkit_workflow_version))
      from public.agents as a
      where a.enabled and a.provider = 'openai_hosted'
    ),
    'workflows', (
      select coalesce(jsonb_agg(to_jsonb(w) order by w.agents desc, w.workflow_id), '[]')
      from (
        select a.chatkit_workflow_id as workflow_id, a.chatkit_workflow_version as workflow_version,
               min(a.id) as agent_id,
               count(*) as agents
        from public.agents as a
        where a.enabled and a.provider = 'openai_hosted'
        group by a.chatkit_workflow_id, a.chatkit_workflow_version
        order by count(*) desc, a.chatkit_workflow_id
        limit c_most
      ) as w
    ),
    'self_hosted_agents', (
      select jsonb_build_object('agent_id', min(a.id), 'agents', count(*))
      from public.agents as a
      where a.enabled and a.provider = 'self_hosted'
    ),
    'agent_server_count', (
      select count(distinct (s.url, s.credential))
      from public.agent_servers as s
      join public.agents as a on (a.org_id, a.id) = (s.org_id, s.agent_id)
      where a.enabled
    ),
    'agent_servers', (
      select coalesce(jsonb_agg(to_jsonb(v) order by v.agents desc, v.url), '[]')
      from (
        select s.url, s.credential, min(s.agent_id) as agent_id,
               count(distinct (s.org_id, s.agent_id)) as agents,
               coalesce(
                 jsonb_agg(distinct jsonb_build_object(
                   'name', t.name, 'arguments', t.arguments, 'input_schema', t.input_schema,
                   'is_described', t.description is not null,
                   'is_for_models', a.provider = 'self_hosted' and t.arguments = 'plain'
                 )) filter (where t.policy <> 'never'),
                 '[]'
               ) as tools
        from public.agent_servers as s
        join public.agents as a on (a.org_id, a.id) = (s.org_id, s.agent_id)
        left join public.agent_tools as t on (t.org_id, t.agent_id) = (s.org_id, s.agent_id)
        where a.enabled
        group by s.url, s.credential
        order by count(distinct (s.org_id, s.agent_id)) desc, s.url
        limit c_most
      ) as v
    ),
    'organisations_short_of_approvers', chatkit_private.organisations_short_of_approvers(),
    -- Keys of secrets that may still be returned to a client.
    'sealing_key_ids', (
      select coalesce(jsonb_agg(distinct k.sealing_key_id), '[]')
      from public.chatkit_sessions as k
      where k.sealed_secret is not null and k.expires_at > clock_timestamp()
    )
  );
end
$$;

comment on function public.deployment_state is
  'Returns what the doctor checks: schema, webhook, migrations, workflows, self-hosted agents, '
  'agent servers, approvers and sealing keys. Many organisations may share a workflow or a server, so each one '
  'is listed once, with one of its agents and their number. At most 200 of each are listed; '
  '`workflow_count` and `agent_server_count` count all of them.';
