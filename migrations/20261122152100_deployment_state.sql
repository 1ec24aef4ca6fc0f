-- What the doctor needs from the database, in one answer: the schema, the history of migrations, and what the registry and the sealed
-- secrets need of the configuration. No organisation, user or session is named, and nothing that one of them wrote.

-- The migrations that the Supabase CLI has noted as applied, or null where nobody keeps that history. Its table is of the CLI's
-- making, so it is asked for before it is named.
create or replace function private.applied_migrations() returns jsonb
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

-- How many organisations have agents that may need an approval by another person, and fewer than two people who may approve. The one
-- there is could edit nothing, since the edit would be another's to approve.
create or replace function private.organisations_short_of_approvers() returns bigint
language sql stable
set search_path = ''
as $$
  with approvers as (
    select private.org_id_of(u.raw_app_meta_data) as org_id, count(*) as n
    from auth.users as u
    where private.member_role(private.org_id_of(u.raw_app_meta_data), u.id) in ('owner', 'admin', 'approver')
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

-- Many organisations share a workflow or a server: each is told of once, with one of the agents that it is for and how many there
-- are. `workflow_count` and `agent_server_count` say how many there are where not all are told of.
create or replace function public.deployment_state() returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  c_most constant integer := 200;
begin
  return jsonb_build_object(
    'now', clock_timestamp(),
    -- What Supabase sets where the disk is full.
    'read_only', current_setting('default_transaction_read_only')::boolean,
    'schema', private.schema_state(),
    'webhook', private.webhook_state(),
    'migrations', private.applied_migrations(),
    'workflow_count', (
      select count(distinct (a.chatkit_workflow_id, a.chatkit_workflow_version)) from public.agents as a where a.enabled
    ),
    'workflows', (
      select coalesce(jsonb_agg(to_jsonb(w) order by w.agents desc, w.workflow_id), '[]')
      from (
        select a.chatkit_workflow_id as workflow_id, a.chatkit_workflow_version as workflow_version, min(a.id) as agent_id,
               count(*) as agents
        from public.agents as a
        where a.enabled
        group by a.chatkit_workflow_id, a.chatkit_workflow_version
        order by count(*) desc, a.chatkit_workflow_id
        limit c_most
      ) as w
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
        select s.url, s.credential, min(s.agent_id) as agent_id, count(distinct (s.org_id, s.agent_id)) as agents,
               coalesce(jsonb_agg(distinct t.name) filter (where t.policy <> 'never'), '[]') as tools
        from public.agent_servers as s
        join public.agents as a on (a.org_id, a.id) = (s.org_id, s.agent_id)
        left join public.agent_tools as t on (t.org_id, t.agent_id) = (s.org_id, s.agent_id)
        where a.enabled
        group by s.url, s.credential
        order by count(distinct (s.org_id, s.agent_id)) desc, s.url
        limit c_most
      ) as v
    ),
    'organisations_short_of_approvers', private.organisations_short_of_approvers(),
    -- Of secrets that could still be handed out.
    'sealing_key_ids', (
      select coalesce(jsonb_agg(distinct k.sealing_key_id), '[]')
      from public.chatkit_sessions as k
      where k.sealed_secret is not null and k.expires_at > clock_timestamp()
    )
  );
end
$$;

revoke all on function private.organisations_short_of_approvers() from public, anon, authenticated, service_role;
revoke all on function private.applied_migrations() from public, anon, authenticated, service_role;
revoke all on function public.deployment_state() from public, anon, authenticated, service_role;
grant execute on function public.deployment_state() to service_role;
