-- Agents that users can open a session with.

create table if not exists public.agents (
  org_id uuid not null,
  id text not null,
  display_name text not null,
  description text not null,
  chatkit_workflow_id text not null,
  -- Null: the version that OpenAI treats as the workflow's current one.
  chatkit_workflow_version text,
  -- Tracing copies conversations to OpenAI's dashboard, so it is opt-in.
  tracing_enabled boolean not null default false,
  enabled boolean not null default true,
  -- Null: every role.
  allowed_org_roles text[],
  -- A session with this agent ends after this long without activity.
  idle_timeout_seconds integer not null default 86400,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (org_id, id),
  constraint agents_id_form check (id ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint agents_display_name_length check (char_length(display_name) between 1 and 100),
  constraint agents_description_length check (char_length(description) <= 500),
  constraint agents_workflow_id_length check (char_length(chatkit_workflow_id) between 1 and 200),
  -- OpenAI accepts 'latest' when it creates a session, and fails at the session's first message.
  -- It is rejected here, where the operator can still correct it.
  constraint agents_workflow_version_pinned
    check (
      char_length(chatkit_workflow_version) between 1 and 100
      and lower(btrim(chatkit_workflow_version)) <> 'latest'
    ),
  -- With an empty list no user could open the agent; `enabled` is the switch for that.
  constraint agents_allowed_org_roles_known
    check (
      allowed_org_roles <@ array['owner', 'admin', 'approver', 'member']
      and cardinality(allowed_org_roles) > 0
    ),
  constraint agents_idle_timeout_range check (idle_timeout_seconds between 1 and 31536000)
);

comment on table public.agents is
  'Agents that an organisation registered, each with its ChatKit workflow. A member may open a '
  'session with an enabled agent if their role is allowed.';

alter table public.agents enable row level security;
revoke all on table public.agents from public, anon, authenticated, service_role;
-- Members can read what they need to choose an agent, and not its configuration.
grant select (org_id, id, display_name, description) on table public.agents to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.agents
  alter column org_id set statistics 0,
  alter column id set statistics 0,
  alter column display_name set statistics 0,
  alter column description set statistics 0;

drop policy if exists "members can read agents they may open" on public.agents;
create policy "members can read agents they may open" on public.agents
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and enabled
    and (
      allowed_org_roles is null
      or (select chatkit_private.caller_org_role()) = any (allowed_org_roles)
    )
  );

-- Returns the agent if this user may open it now; otherwise raises an error. Opening, renewal and
-- handover all use it, so that all three apply the same checks.
create or replace function chatkit_private.openable_agent(
  p_org_id uuid,
  p_user_id uuid,
  p_agent_id text
) returns public.agents
language plpgsql stable
set search_path = ''
as $$
declare
  v_role text := chatkit_private.member_role(p_org_id, p_user_id);
  v_agent public.agents;
begin
  if v_role is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;

  select * into v_agent
  from public.agents as a
  where a.org_id = p_org_id and a.id = p_agent_id and a.enabled;
  if not found then
    raise sqlstate 'PT422' using message = 'agent_unavailable';
  end if;
  if v_agent.allowed_org_roles is not null and v_role <> all (v_agent.allowed_org_roles) then
    raise sqlstate 'PT403' using message = 'agent_forbidden';
  end if;
  return v_agent;
end
$$;

-- Returns whether an agent is enabled and open to the user's current role in the organisation.
create or replace function chatkit_private.agent_is_open_to(
  p_org_id uuid,
  p_user_id uuid,
  p_agent_id text
) returns boolean
language sql stable
set search_path = ''
as $$
  select exists (
    select from public.agents as a
    cross join lateral chatkit_private.member_role(p_org_id, p_user_id) as m (role)
    where a.org_id = p_org_id
      and a.id = p_agent_id
      and a.enabled
      and m.role is not null
      and (a.allowed_org_roles is null or m.role = any (a.allowed_org_roles))
  )
$$;

create or replace function public.register_agent(
  p_org_id uuid,
  p_agent_id text,
  p_display_name text,
  p_description text,
  p_chatkit_workflow_id text,
  p_chatkit_workflow_version text default null,
  p_enabled boolean default true,
  p_tracing_enabled boolean default false,
  p_allowed_org_roles text[] default null,
  p_idle_timeout_seconds integer default 86400
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_agent public.agents;
  v_constraint text;
  v_column text;
begin
  insert into public.agents as a (
    org_id, id, display_name, description, chatkit_workflow_id, chatkit_workflow_version,
    enabled, tracing_enabled, allowed_org_roles, idle_timeout_seconds
  ) values (
    p_org_id, p_agent_id, p_display_name, p_description,
    p_chatkit_workflow_id, p_chatkit_workflow_version,
    p_enabled, p_tracing_enabled, p_allowed_org_roles, p_idle_timeout_seconds
  )
  on conflict (org_id, id) do update set
    display_name = excluded.display_name,
    description = excluded.description,
    chatkit_workflow_id = excluded.chatkit_workflow_id,
    chatkit_workflow_version = excluded.chatkit_workflow_version,
    enabled = excluded.enabled,
    tracing_enabled = excluded.tracing_enabled,
    allowed_org_roles = excluded.allowed_org_roles,
    idle_timeout_seconds = excluded.idle_timeout_seconds,
    updated_at = now()
  -- Repeating the same registration changes nothing, `updated_at` included.
  where (a.display_name, a.description, a.chatkit_workflow_id, a.chatkit_workflow_version,
         a.enabled, a.tracing_enabled, a.allowed_org_roles, a.idle_timeout_seconds)
    is distinct from
        (excluded.display_name, excluded.description, excluded.chatkit_workflow_id,
         excluded.chatkit_workflow_version, excluded.enabled, excluded.tracing_enabled,
         excluded.allowed_org_roles, excluded.idle_timeout_seconds);

  select * into v_agent from public.agents as a where a.org_id = p_org_id and a.id = p_agent_id;
  return jsonb_build_object('agent', to_jsonb(v_agent) || jsonb_build_object(
    'created_at', chatkit_private.utc_text(v_agent.created_at),
    'updated_at', chatkit_private.utc_text(v_agent.updated_at)
  ));
exception
  when check_violation or not_null_violation then
    -- The detail names the constraint or column, so that the operator learns which field is wrong.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_agent',
      detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.register_agent is
  'Registers an agent, or replaces its whole registration: an argument that a call omits gets its '
  'default. Existing sessions continue; those of a disabled agent get no new client secret.';
