-- Agents' servers, the tools they offer, the policy of each tool, and the events they receive.

create table if not exists public.agent_servers (
  org_id uuid not null,
  agent_id text not null,
  url text not null,
  -- The name of a credential in the functions' configuration, never its value.
  credential text,
  timeout_seconds integer not null default 20,
  max_attempts integer not null default 5,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (org_id, agent_id),
  constraint agent_servers_agent_fkey
    foreign key (org_id, agent_id) references public.agents (org_id, id),
  -- Checks the form only. Each call checks whether the resolved address is allowed. Plain http is
  -- for the local stack, which allowlists exact hosts; it is rejected everywhere else.
  constraint agent_servers_url_form
    check (url ~ '^https?://[^[:space:]/?#@]+([/?][^[:space:]#]*)?$'),
  constraint agent_servers_url_length check (char_length(url) <= 2000),
  constraint agent_servers_credential_form check (credential ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint agent_servers_timeout_range check (timeout_seconds between 1 and 60),
  constraint agent_servers_max_attempts_range check (max_attempts between 1 and 20)
);

comment on table public.agent_servers is
  'The MCP server of each agent: its URL, the credential''s name, the timeout of a call and the '
  'number of attempts.';

alter table public.agent_servers enable row level security;
revoke all on table public.agent_servers from public, anon, authenticated, service_role;

-- Returns whether a JSON value is a list of display hints: at most 20 objects {pointer, label,
-- kind}. A hint of the kind `money` may have a currency_pointer and a unit.
create or replace function chatkit_private.is_display(p_display jsonb) returns boolean
language sql immutable parallel safe
set search_path = ''
return case
  when jsonb_typeof(p_display) <> 'array' then false
  else jsonb_array_length(p_display) <= 20 and not exists (
    select from jsonb_array_elements(p_display) as e (hint)
    where not coalesce(case
      when jsonb_typeof(e.hint) <> 'object' then false
      else e.hint - '{pointer,label,kind,currency_pointer,unit}'::text[] = '{}'
        and jsonb_typeof(e.hint -> 'pointer') = 'string'
        and e.hint ->> 'pointer' ~ '^(/([^~/]|~[01])*)*$'
        and char_length(e.hint ->> 'pointer') <= 200
        and chatkit_private.is_text(e.hint -> 'label', 100)
        and e.hint -> 'kind' <@ '["money","date","party","account","text","link"]'
        and jsonb_typeof(e.hint -> 'kind') = 'string'
        and (not e.hint ?| '{currency_pointer,unit}' or e.hint ->> 'kind' = 'money')
        and (
          not e.hint ? 'currency_pointer'
          or (
            jsonb_typeof(e.hint -> 'currency_pointer') = 'string'
            and e.hint ->> 'currency_pointer' ~ '^(/([^~/]|~[01])*)*$'
            and char_length(e.hint ->> 'currency_pointer') <= 200
          )
        )
        and (not e.hint ? 'unit' or e.hint -> 'unit' in ('"major"', '"minor"'))
    end, false)
  )
end;

create table if not exists public.agent_tools (
  org_id uuid not null,
  agent_id text not null,
  name text not null,
  -- What the tool does, for models. Null: the tool is not offered to models.
  description text,
  -- JSON Schema (2020-12) of a call's inputs. The functions check inputs against it; the database
  -- checks its form only. Required with a description: without it a model guesses the inputs.
  input_schema jsonb,
  -- envelope: the tool's arguments are the whole call. plain: they are the call's inputs, and the
  -- rest of the call is in `_meta`.
  arguments text not null default 'envelope',
  -- Whether a call can be repeated under the same idempotency key without a second effect.
  idempotent boolean not null default false,
  -- auto: call at once. confirm: the requester confirms first. ask: another person approves first.
  -- never: do not call.
  policy text not null default 'ask',
  -- JSON pointer (RFC 6901) to the amount in the call's inputs or, without inputs, in the event's
  -- payload.
  amount_pointer text,
  -- The currency of the limits (ISO 4217), and a pointer to the currency of a call. A call in
  -- another currency is never below a limit. With a pointer and no currency, the limits apply to
  -- each currency separately.
  currency text,
  currency_pointer text,
  -- The unit of amounts and limits. Nothing is converted; an amount in minor units is an integer.
  unit text not null default 'major',
  -- Above this amount another person approves first, also under `auto` and `confirm`.
  ask_above numeric,
  -- Above this total of a user's `auto` calls in the last 24 hours, another person approves first.
  ask_above_total numeric,
  -- Above this amount the tool is never called, under any policy and by any decision.
  refuse_above numeric,
  -- Whether `auto` also applies to a call that a model writes after it has read the output of a
  -- tool, if the tool has a limit. Otherwise another person approves such a call: the output may
  -- contain instructions.
  trusts_tool_output boolean not null default false,
  -- Whether an approver's edit that only lowers the amount is released without a second approval.
  release_lowered_amount boolean not null default false,
  risk text not null default 'medium',
  approver text not null default 'other',
  ask_expires_in_seconds integer not null default 86400,
  -- How people are shown the inputs of a call: hints (see is_display), the most important first.
  display jsonb not null default '[]',
  -- The decisions on a call that need a comment: reject, edit, or both.
  comment_required text[] not null default '{}',
  primary key (org_id, agent_id, name),
  constraint agent_tools_server_fkey
    foreign key (org_id, agent_id)
    references public.agent_servers (org_id, agent_id) on delete cascade,
  constraint agent_tools_name_form check (name ~ '^[A-Za-z0-9_.-]{1,128}$'),
  constraint agent_tools_name_not_built_in check (name <> all (chatkit_private.built_in_tools())),
  constraint agent_tools_description_length check (char_length(description) between 1 and 1024),
  constraint agent_tools_description_needs_schema
    check (description is null or input_schema is not null),
  -- The names that model providers accept for a function. A mapped name could belong to two tools.
  constraint agent_tools_name_callable_by_models
    check (description is null or name ~ '^[A-Za-z0-9_-]{1,64}$'),
  constraint agent_tools_input_schema_object check (
    input_schema is null
    or coalesce(jsonb_typeof(input_schema) = 'object' and input_schema -> 'type' = '"object"', false)
  ),
  constraint agent_tools_input_schema_size check (octet_length(input_schema::text) <= 16384),
  constraint agent_tools_arguments_known check (arguments in ('envelope', 'plain')),
  constraint agent_tools_policy_known check (policy in ('auto', 'confirm', 'ask', 'never')),
  -- A confirmation by the requester is not a control, so it is enough only for low risk.
  constraint agent_tools_confirm_is_low_risk check (policy <> 'confirm' or risk = 'low'),
  constraint agent_tools_amount_pointer_form
    check (amount_pointer ~ '^(/([^~/]|~[01])*)*$' and char_length(amount_pointer) <= 200),
  constraint agent_tools_currency_form check (currency ~ '^[A-Z]{3}$'),
  constraint agent_tools_currency_pointer_form
    check (currency_pointer ~ '^(/([^~/]|~[01])*)*$' and char_length(currency_pointer) <= 200),
  constraint agent_tools_unit_known check (unit in ('major', 'minor')),
  constraint agent_tools_limits_have_an_amount
    check (num_nulls(ask_above, ask_above_total, refuse_above) = 3 or amount_pointer is not null),
  constraint agent_tools_lowering_has_an_amount
    check (not release_lowered_amount or amount_pointer is not null),
  constraint agent_tools_ask_above_range check (ask_above >= 0 and ask_above < 'infinity'),
  constraint agent_tools_ask_above_total_range
    check (ask_above_total >= 0 and ask_above_total < 'infinity'),
  constraint agent_tools_refuse_above_range check (refuse_above >= 0 and refuse_above < 'infinity'),
  constraint agent_tools_risk_known check (risk in ('low', 'medium', 'high')),
  constraint agent_tools_approver_known check (approver in ('self', 'other')),
  constraint agent_tools_display_form check (chatkit_private.is_display(display)),
  constraint agent_tools_comment_required_known
    check (comment_required <@ array['reject', 'edit']),
  constraint agent_tools_ask_expires_range check (ask_expires_in_seconds between 1 and 31536000)
);

comment on table public.agent_tools is
  'The allowlist of tools that may be called, each with its approval policy and limits, and with '
  'its description and input schema for models.';

alter table public.agent_tools enable row level security;
revoke all on table public.agent_tools from public, anon, authenticated, service_role;

create table if not exists public.agent_routes (
  org_id uuid not null,
  agent_id text not null,
  -- The order of the registration. Of several routes that take follow-ups, the first is used.
  place integer not null,
  tool text not null,
  event_type text not null,
  -- Null: sessions with any agent.
  session_agent_id text,
  -- Matches sessions whose metadata contains this.
  metadata jsonb not null default '{}',
  primary key (org_id, agent_id, place),
  constraint agent_routes_tool_fkey
    foreign key (org_id, agent_id, tool)
    references public.agent_tools (org_id, agent_id, name) on delete cascade,
  -- Events that the orchestrator writes have no route: an agent that received its own result would
  -- answer again.
  constraint agent_routes_event_type_form check (
    event_type ~ '^[a-z][a-z0-9_]{0,62}$'
    and event_type <> all (array[
      'session_ended', 'hitl_expired', 'agent_result', 'agent_failed', 'agent_call'
    ])
  ),
  constraint agent_routes_session_agent_id_form check (session_agent_id ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint agent_routes_metadata_object check (jsonb_typeof(metadata) = 'object'),
  constraint agent_routes_metadata_size check (octet_length(metadata::text) <= 16384)
);

comment on table public.agent_routes is
  'Which events go to which tool. `agent_follow_up` is special: it goes to the agent that it '
  'names, and a route for it names the tool with which that agent takes follow-ups.';

-- Finds the routes of an event.
create index if not exists agent_routes_by_event on public.agent_routes (org_id, event_type);

-- Finds a tool's routes; covers the foreign key.
create index if not exists agent_routes_by_tool on public.agent_routes (org_id, agent_id, tool);

alter table public.agent_routes enable row level security;
revoke all on table public.agent_routes from public, anon, authenticated, service_role;

-- Rejects unknown fields in a registration: a misspelt limit would otherwise not apply.
create or replace function chatkit_private.reject_unknown_fields(p_objects jsonb, p_known text[])
returns void
language plpgsql immutable
set search_path = ''
as $$
declare
  v_unknown text;
begin
  select k.name into v_unknown
  from jsonb_array_elements(p_objects) as o (value)
  cross join lateral jsonb_object_keys(o.value) as k (name)
  where k.name <> all (p_known)
  order by k.name
  limit 1;
  if v_unknown is not null then
    raise sqlstate 'PT422' using message = 'invalid_agent_server',
      detail = 'unknown_field:' || left(v_unknown, 63);
  end if;
end
$$;

-- Rejects a client tool that has the name of a registered tool of its agent: a model could not
-- distinguish them. The lock orders the registrations of an agent and of its server.
create or replace function chatkit_private.require_distinct_tools(p_org_id uuid, p_agent_id text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_client_tools jsonb;
begin
  select a.client_tools into v_client_tools
  from public.agents as a
  where a.org_id = p_org_id and a.id = p_agent_id
  for no key update;
  if exists (
    select from public.agent_tools as t
    where t.org_id = p_org_id
      and t.agent_id = p_agent_id
      and v_client_tools @> jsonb_build_array(jsonb_build_object('name', t.name))
  ) then
    raise check_violation using
      message = 'a client tool has the name of a tool',
      constraint = 'agents_client_tools_distinct';
  end if;
end
$$;

-- Returns an agent's server, with its tools and routes.
create or replace function chatkit_private.agent_server_response(p_org_id uuid, p_agent_id text)
returns jsonb
language sql stable
set search_path = ''
as $$
  select to_jsonb(a) || jsonb_build_object(
    'created_at', chatkit_private.utc_text(a.created_at),
    'updated_at', chatkit_private.utc_text(a.updated_at),
    'tools', (
      select coalesce(jsonb_agg(to_jsonb(t) - '{org_id,agent_id}'::text[] order by t.name), '[]')
      from public.agent_tools as t
      where t.org_id = a.org_id and t.agent_id = a.agent_id
    ),
    'routes', (
      select coalesce(
        jsonb_agg(to_jsonb(r) - '{place,org_id,agent_id}'::text[] order by r.place), '[]'
      )
      from public.agent_routes as r
      where r.org_id = a.org_id and r.agent_id = a.agent_id
    )
  )
  from public.agent_servers as a
  where a.org_id = p_org_id and a.agent_id = p_agent_id
$$;

create or replace function public.register_agent_server(
  p_org_id uuid,
  p_agent_id text,
  p_url text,
  p_tools jsonb,
  p_routes jsonb,
  p_credential text default null,
  p_timeout_seconds integer default 20,
  p_max_attempts integer default 5
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_constraint text;
  v_column text;
  -- The tool that is being inserted.
  v_pointer text;
begin
  -- The row lock serialises registrations of one agent.
  insert into public.agent_servers as a (
    org_id, agent_id, url, credential, timeout_seconds, max_attempts
  )
  values (p_org_id, p_agent_id, p_url, p_credential, p_timeout_seconds, p_max_attempts)
  on conflict (org_id, agent_id) do update set
    url = excluded.url,
    credential = excluded.credential,
    timeout_seconds = excluded.timeout_seconds,
    max_attempts = excluded.max_attempts,
    updated_at = now();
  delete from public.agent_tools as t where t.org_id = p_org_id and t.agent_id = p_agent_id;

  perform chatkit_private.reject_unknown_fields(p_tools, array[
    'name', 'description', 'input_schema', 'arguments', 'idempotent', 'policy', 'amount_pointer',
    'currency', 'currency_pointer', 'unit', 'ask_above', 'ask_above_total', 'refuse_above',
    'trusts_tool_output', 'release_lowered_amount', 'risk', 'approver', 'ask_expires_in_seconds',
    'display', 'comment_required'
  ]);
  -- One insert for each tool, so that an error has a pointer to the tool.
  for v_index in 0 .. coalesce(jsonb_array_length(p_tools), 0) - 1 loop
    v_pointer := '/p_tools/' || v_index;
    insert into public.agent_tools (
      org_id, agent_id, name, description, input_schema, arguments, idempotent, policy,
      amount_pointer, currency, currency_pointer, unit, ask_above, ask_above_total, refuse_above,
      trusts_tool_output, release_lowered_amount, risk, approver, ask_expires_in_seconds, display,
      comment_required
    )
    select p_org_id, p_agent_id, t.name, t.description, t.input_schema,
           coalesce(t.arguments, 'envelope'), coalesce(t.idempotent, false),
           coalesce(t.policy, 'ask'), t.amount_pointer, t.currency, t.currency_pointer,
           coalesce(t.unit, 'major'), t.ask_above, t.ask_above_total, t.refuse_above,
           coalesce(t.trusts_tool_output, false), coalesce(t.release_lowered_amount, false),
           coalesce(t.risk, 'medium'), coalesce(t.approver, 'other'),
           coalesce(t.ask_expires_in_seconds, 86400), coalesce(nullif(t.display, 'null'), '[]'),
           coalesce(t.comment_required, '{}')
    from jsonb_to_record(p_tools -> v_index) as t (
      name text, description text, input_schema jsonb, arguments text, idempotent boolean,
      policy text, amount_pointer text, currency text, currency_pointer text, unit text,
      ask_above numeric, ask_above_total numeric, refuse_above numeric,
      trusts_tool_output boolean, release_lowered_amount boolean, risk text, approver text,
      ask_expires_in_seconds integer, display jsonb, comment_required text[]
    );
  end loop;
  v_pointer := null;
  perform chatkit_private.require_distinct_tools(p_org_id, p_agent_id);
  perform chatkit_private.reject_unknown_fields(
    p_routes, array['tool', 'event_type', 'session_agent_id', 'metadata']
  );
  insert into public.agent_routes (
    org_id, agent_id, place, tool, event_type, session_agent_id, metadata
  )
  select p_org_id, p_agent_id, r.position, r.value ->> 'tool', r.value ->> 'event_type',
         r.value ->> 'session_agent_id',
         coalesce(nullif(r.value -> 'metadata', 'null'), '{}')
  from jsonb_array_elements(p_routes) with ordinality as r (value, position);

  return jsonb_build_object(
    'agent_server', chatkit_private.agent_server_response(p_org_id, p_agent_id)
  );
exception
  when check_violation or not_null_violation or foreign_key_violation or unique_violation
    or data_exception then
    -- The detail names the constraint or column and the hint is a pointer to the tool, so that the
    -- operator learns which field is wrong.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_agent_server',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate),
      hint = coalesce(v_pointer, '');
end
$$;

comment on function public.register_agent_server is
  'Registers an agent''s server, or replaces its whole registration, including tools and routes. '
  'Pending deliveries for a tool that is no longer listed are not called.';
