-- What a call is, exactly, and whether it may be made: by the registry as it is in the transaction that would begin it.

-- What stands at a JSON pointer (RFC 6901); null if nothing does. PostgreSQL's own `#>` would take -1 for the last of an array.
create or replace function private.at_pointer(p_document jsonb, p_pointer text) returns jsonb
language plpgsql immutable strict
set search_path = ''
as $$
declare
  v_token text;
  v_found jsonb := p_document;
begin
  foreach v_token in array (string_to_array(p_pointer, '/'))[2:] loop
    v_token := replace(replace(v_token, '~1', '/'), '~0', '~');
    v_found := case jsonb_typeof(v_found)
      when 'object' then v_found -> v_token
      when 'array' then case when v_token ~ '^(0|[1-9][0-9]{0,8})$' then v_found -> v_token::integer end
    end;
  end loop;
  return v_found;
end
$$;

-- The tool, if it may be called at all now: listed, and its agent enabled. Otherwise a row of nulls.
create or replace function private.tool_of(p_delivery public.deliveries) returns public.agent_tools
language sql stable
set search_path = ''
as $$
  select t
  from public.agent_tools as t
  join public.agents as a on a.org_id = t.org_id and a.id = t.agent_id and a.enabled
  where t.org_id = p_delivery.org_id and t.agent_id = p_delivery.agent_id and t.name = p_delivery.tool
$$;

-- What is asked of the agent: this, and nothing else, is what a policy looks at and an approval binds. `p_inputs`: with these
-- inputs instead. A follow-up's inputs are in its event, and so is what it is for.
create or replace function private.call_of(p_delivery public.deliveries, p_inputs jsonb default null) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'agentId', p_delivery.agent_id,
    'tool', p_delivery.tool,
    'objective', case e.type when 'agent_follow_up' then e.payload -> 'objective' end
  )) || jsonb_build_object(
    'event', jsonb_build_object('id', e.id, 'type', e.type, 'payload', e.payload)
  ) || case
    when coalesce(p_inputs, p_delivery.inputs) is not null
      then jsonb_build_object('inputs', coalesce(p_inputs, p_delivery.inputs))
    when e.type = 'agent_follow_up' and jsonb_typeof(e.payload -> 'inputs') = 'object'
      then jsonb_build_object('inputs', e.payload -> 'inputs')
    else '{}'
  end
  from public.chat_events as e
  where e.session_id = p_delivery.session_id and e.id = p_delivery.about_event_id
$$;

-- The amount that a call is about: a number, or a text that is one and nothing else (money is often written so). Null if there is
-- none to be read.
create or replace function private.amount_of(p_call jsonb, p_pointer text) returns numeric
language plpgsql immutable strict
set search_path = ''
as $$
declare
  v_found jsonb := private.at_pointer(
    coalesce(p_call -> 'inputs', p_call -> 'event' -> 'payload'), p_pointer
  );
begin
  if jsonb_typeof(v_found) = 'number'
     or (jsonb_typeof(v_found) = 'string' and v_found #>> '{}' ~ '^-?[0-9]{1,100}(\.[0-9]{1,100})?$') then
    return (v_found #>> '{}')::numeric;
  end if;
  return null;
end
$$;

-- `never`: not called, and nobody can release it. `ask`: a person decides first. `auto`: called.
create or replace function private.verdict_on(p_tool public.agent_tools, p_call jsonb) returns text
language plpgsql immutable
set search_path = ''
as $$
declare
  v_amount numeric := private.amount_of(p_call, p_tool.amount_pointer);
begin
  return case
    when p_tool.name is null or p_tool.policy = 'never' then 'never'
    when v_amount > p_tool.refuse_above then 'never'
    when p_tool.policy = 'ask' then 'ask'
    -- A limit that cannot be held against anything is no leave to go on.
    when num_nonnulls(p_tool.ask_above, p_tool.refuse_above) > 0 and v_amount is null then 'ask'
    when v_amount > p_tool.ask_above then 'ask'
    else 'auto'
  end;
end
$$;

-- Whether a person may put these inputs in the place of what was asked about. Where there is an amount beyond which nobody
-- may go, it must be there to be read: editing is no way around it.
create or replace function private.edit_is_allowed(p_tool public.agent_tools, p_call jsonb) returns boolean
language sql immutable
set search_path = ''
as $$
  select private.verdict_on(p_tool, p_call) <> 'never'
    and (p_tool.refuse_above is null or private.amount_of(p_call, p_tool.amount_pointer) is not null)
$$;

revoke all on function private.at_pointer(jsonb, text) from public, anon, authenticated, service_role;
revoke all on function private.tool_of(public.deliveries) from public, anon, authenticated, service_role;
revoke all on function private.call_of(public.deliveries, jsonb) from public, anon, authenticated, service_role;
revoke all on function private.amount_of(jsonb, text) from public, anon, authenticated, service_role;
revoke all on function private.verdict_on(public.agent_tools, jsonb) from public, anon, authenticated, service_role;
revoke all on function private.edit_is_allowed(public.agent_tools, jsonb) from public, anon, authenticated, service_role;
