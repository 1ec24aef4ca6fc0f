-- Agents that users can open a session with.

-- Returns whether a JSON value is a text of 1 to p_max characters.
create or replace function chatkit_private.is_text(p_value jsonb, p_max integer) returns boolean
language sql immutable parallel safe
set search_path = ''
return jsonb_typeof(p_value) is not distinct from 'string'
  and char_length(p_value #>> '{}') between 1 and p_max;

-- Returns whether a JSON value is a prompt of a start screen: {label, prompt, icon?}.
create or replace function chatkit_private.is_start_prompt(p_prompt jsonb) returns boolean
language sql immutable parallel safe
set search_path = ''
return case
  when jsonb_typeof(p_prompt) <> 'object' then false
  else p_prompt - '{label,prompt,icon}'::text[] = '{}'
    and chatkit_private.is_text(p_prompt -> 'label', 100)
    and chatkit_private.is_text(p_prompt -> 'prompt', 2000)
    and (not p_prompt ? 'icon' or chatkit_private.is_text(p_prompt -> 'icon', 50))
end;

-- Returns whether a JSON value is a start screen, which the page gives to ChatKit.js: {greeting?,
-- prompts?}, with at most 10 prompts.
create or replace function chatkit_private.is_start_screen(p_screen jsonb) returns boolean
language sql immutable parallel safe
set search_path = ''
return case
  when jsonb_typeof(p_screen) <> 'object' then false
  when jsonb_typeof(p_screen -> 'prompts') <> 'array' then false
  else p_screen - '{greeting,prompts}'::text[] = '{}'
    and (not p_screen ? 'greeting' or chatkit_private.is_text(p_screen -> 'greeting', 200))
    and jsonb_array_length(coalesce(p_screen -> 'prompts', '[]')) <= 10
    and not exists (
      select from jsonb_array_elements(p_screen -> 'prompts') as e (prompt)
      where not chatkit_private.is_start_prompt(e.prompt)
    )
end;

-- Returns the names of the built-in tools: those that this deployment itself offers to models.
create or replace function chatkit_private.built_in_tools() returns text[]
language sql immutable parallel safe
set search_path = ''
return array['ask_person', 'hand_over_to_agent', 'set_task'];

-- Returns whether a JSON value is a list of client tools, which run in the page: at most 20 objects
-- {name, description, input_schema} with different names, in 64 KiB.
create or replace function chatkit_private.is_client_tools(p_tools jsonb) returns boolean
language sql immutable parallel safe
set search_path = ''
return case
  when jsonb_typeof(p_tools) <> 'array' then false
  else jsonb_array_length(p_tools) <= 20
    and octet_length(p_tools::text) <= 65536
    and not exists (
      select from jsonb_array_elements(p_tools) as e (tool)
      where not coalesce(case
        when jsonb_typeof(e.tool) <> 'object' then false
        else e.tool - '{name,description,input_schema}'::text[] = '{}'
          and jsonb_typeof(e.tool -> 'name') = 'string'
          and e.tool ->> 'name' ~ '^[A-Za-z0-9_-]{1,64}$'
          and e.tool ->> 'name' <> all (chatkit_private.built_in_tools())
          and chatkit_private.is_text(e.tool -> 'description', 1024)
          and jsonb_typeof(e.tool -> 'input_schema') = 'object'
          and e.tool -> 'input_schema' -> 'type' = '"object"'
          and octet_length((e.tool -> 'input_schema')::text) <= 16384
      end, false)
    )
    and (
      select count(*) = count(distinct e.tool ->> 'name')
      from jsonb_array_elements(p_tools) as e (tool)
    )
end;

create table if not exists public.agents (
  org_id uuid not null,
  id text not null,
  display_name text not null,
  description text not null,
  -- Who runs the chat: OpenAI, with a workflow, or this deployment, with a model.
  provider text not null,
  chatkit_workflow_id text,
  -- Null: the version that OpenAI treats as the workflow's current one.
  chatkit_workflow_version text,
  -- Tracing copies conversations to OpenAI's dashboard, so it is opt-in.
  tracing_enabled boolean not null default false,
  model text,
  instructions text,
  -- Null: the model's default.
  reasoning_effort text,
  max_input_tokens integer,
  max_output_tokens integer,
  max_turn_seconds integer,
  -- The calls of tools that one answer may make.
  max_tool_calls integer,
  start_screen jsonb,
  -- The built-in tools that the model may call.
  built_in_tools text[],
  -- Tools that the model may call and that run in the page (see is_client_tools).
  client_tools jsonb,
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
  constraint agents_provider_known check (provider in ('openai_hosted', 'self_hosted')),
  -- An agent has the settings of its provider and none of the other one's.
  constraint agents_settings_of_provider check (
    case provider
      when 'openai_hosted' then
        chatkit_workflow_id is not null
        and num_nonnulls(
          model, instructions, reasoning_effort, max_input_tokens, max_output_tokens,
          max_turn_seconds, max_tool_calls, start_screen, built_in_tools, client_tools
        ) = 0
      when 'self_hosted' then
        num_nonnulls(chatkit_workflow_id, chatkit_workflow_version) = 0
        and not tracing_enabled
        and num_nulls(
          model, instructions, max_input_tokens, max_output_tokens, max_turn_seconds,
          max_tool_calls, start_screen, built_in_tools, client_tools
        ) = 0
    end
  ),
  constraint agents_model_length check (char_length(model) between 1 and 200),
  constraint agents_instructions_size check (octet_length(instructions) <= 32768),
  -- The values of the Responses API. A model may support fewer.
  constraint agents_reasoning_effort_known
    check (reasoning_effort in ('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max')),
  constraint agents_max_input_tokens_range check (max_input_tokens between 1000 and 2000000),
  constraint agents_max_output_tokens_range check (max_output_tokens between 16 and 200000),
  -- A turn ends before Lambda's limit of 900 seconds.
  constraint agents_max_turn_seconds_range check (max_turn_seconds between 5 and 840),
  constraint agents_max_tool_calls_range check (max_tool_calls between 1 and 128),
  constraint agents_start_screen_form check (chatkit_private.is_start_screen(start_screen)),
  constraint agents_built_in_tools_known
    check (built_in_tools <@ chatkit_private.built_in_tools()),
  constraint agents_client_tools_form check (chatkit_private.is_client_tools(client_tools)),
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
  'Agents that an organisation registered, each with its provider: a ChatKit workflow at OpenAI, '
  'or a model that this deployment calls. A member may open a session with an enabled agent if '
  'their role is allowed.';

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
  p_chatkit_workflow_id text default null,
  p_chatkit_workflow_version text default null,
  p_enabled boolean default true,
  p_tracing_enabled boolean default false,
  p_allowed_org_roles text[] default null,
  p_idle_timeout_seconds integer default 86400,
  p_provider text default null,
  p_model text default null,
  p_instructions text default null,
  p_reasoning_effort text default null,
  p_max_input_tokens integer default null,
  p_max_output_tokens integer default null,
  p_max_turn_seconds integer default null,
  p_start_screen jsonb default null,
  p_max_tool_calls integer default null,
  p_built_in_tools text[] default null,
  p_client_tools jsonb default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_provider text := coalesce(
    p_provider, case when p_model is null then 'openai_hosted' else 'self_hosted' end
  );
  v_self_hosted boolean := v_provider = 'self_hosted';
  v_agent public.agents;
  v_constraint text;
  v_column text;
begin
  insert into public.agents as a (
    org_id, id, display_name, description, enabled, allowed_org_roles, idle_timeout_seconds,
    provider, chatkit_workflow_id, chatkit_workflow_version, tracing_enabled,
    model, instructions, reasoning_effort,
    max_input_tokens, max_output_tokens, max_turn_seconds, max_tool_calls, start_screen,
    built_in_tools, client_tools
  ) values (
    p_org_id, p_agent_id, p_display_name, p_description,
    p_enabled, p_allowed_org_roles, p_idle_timeout_seconds,
    v_provider, p_chatkit_workflow_id, p_chatkit_workflow_version, p_tracing_enabled,
    p_model, coalesce(p_instructions, case when v_self_hosted then '' end), p_reasoning_effort,
    coalesce(p_max_input_tokens, case when v_self_hosted then 100000 end),
    coalesce(p_max_output_tokens, case when v_self_hosted then 4096 end),
    coalesce(p_max_turn_seconds, case when v_self_hosted then 300 end),
    coalesce(p_max_tool_calls, case when v_self_hosted then 16 end),
    coalesce(nullif(p_start_screen, 'null'), case when v_self_hosted then '{}'::jsonb end),
    coalesce(p_built_in_tools, case when v_self_hosted then '{}'::text[] end),
    coalesce(nullif(p_client_tools, 'null'), case when v_self_hosted then '[]'::jsonb end)
  )
  on conflict (org_id, id) do update set
    display_name = excluded.display_name,
    description = excluded.description,
    enabled = excluded.enabled,
    allowed_org_roles = excluded.allowed_org_roles,
    idle_timeout_seconds = excluded.idle_timeout_seconds,
    provider = excluded.provider,
    chatkit_workflow_id = excluded.chatkit_workflow_id,
    chatkit_workflow_version = excluded.chatkit_workflow_version,
    tracing_enabled = excluded.tracing_enabled,
    model = excluded.model,
    instructions = excluded.instructions,
    reasoning_effort = excluded.reasoning_effort,
    max_input_tokens = excluded.max_input_tokens,
    max_output_tokens = excluded.max_output_tokens,
    max_turn_seconds = excluded.max_turn_seconds,
    max_tool_calls = excluded.max_tool_calls,
    start_screen = excluded.start_screen,
    built_in_tools = excluded.built_in_tools,
    client_tools = excluded.client_tools,
    updated_at = now()
  -- Repeating the same registration changes nothing, `updated_at` included.
  where to_jsonb(a) - '{created_at,updated_at}'::text[]
    is distinct from to_jsonb(excluded) - '{created_at,updated_at}'::text[];
  perform chatkit_private.require_distinct_tools(p_org_id, p_agent_id);

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
  'default. The provider is openai_hosted, which requires a workflow, or self_hosted, which '
  'requires a model. If omitted, it is self_hosted for a registration with a model. Existing '
  'sessions continue with the model settings that they copied; those of a disabled agent get no '
  'new client secret.';
