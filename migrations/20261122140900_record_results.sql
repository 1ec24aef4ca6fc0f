-- What an agent answers, kept: what it said, the result as an event, follow-ups for other agents, and the session handed over.

-- Appends to the transcript, under the session's lock. What is empty was not said.
create or replace function private.say(p_delivery public.deliveries, p_content text) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_seq bigint;
begin
  if coalesce(p_content, '') = '' then
    return;
  end if;
  update public.chat_sessions as s
  set last_message_seq = s.last_message_seq + 1
  where s.id = p_delivery.session_id
  returning s.last_message_seq into v_seq;
  insert into public.chat_messages (org_id, user_id, session_id, id, seq, role, content, tool_invocation_id)
  values (p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, private.new_id(), v_seq, 'agent', p_content,
          p_delivery.id::text);
  perform private.touch_session(p_delivery.session_id);
end
$$;

-- Which of the follow-ups that an agent wants can be made, in order: [{tool, payload}], or [{refused, agent_id}] and why not.
create or replace function private.follow_ups_of(
  p_delivery public.deliveries,
  p_session public.chat_sessions,
  p_wanted jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_left integer := least(8, private.deliveries_left(p_delivery.session_id, p_delivery.root_event_id));
  v_wanted jsonb;
  v_payload jsonb;
  v_tool text;
  v_refused text;
  v_plan jsonb := '[]';
begin
  for v_wanted in
    select f.value from jsonb_array_elements(coalesce(nullif(p_wanted, 'null'), '[]')) with ordinality as f (value, position)
    order by f.position
    -- The rest is not even noted.
    limit 20
  loop
    v_payload := jsonb_build_object('agentId', v_wanted -> 'agent_id', 'fromAgentId', p_delivery.agent_id)
      || jsonb_strip_nulls(jsonb_build_object('objective', v_wanted -> 'objective'))
      || case when coalesce(v_wanted -> 'inputs', 'null') = 'null' then '{}'
              else jsonb_build_object('inputs', v_wanted -> 'inputs') end;
    v_tool := private.follow_up_tool(p_session, v_wanted ->> 'agent_id');
    v_refused := case
      when p_session.status = 'ended' then 'session_ended'
      when jsonb_typeof(v_wanted -> 'agent_id') is distinct from 'string'
        or jsonb_typeof(v_payload -> 'objective') <> 'string'
        or jsonb_typeof(v_payload -> 'inputs') <> 'object'
        or octet_length(v_payload::text) > 16384 then 'invalid'
      when v_tool is null then 'unknown_agent'
      when not private.agent_is_open_to(p_session.org_id, p_session.user_id, v_wanted ->> 'agent_id')
        then 'agent_forbidden'
      when p_delivery.depth >= 5 then 'too_deep'
      when v_left = 0 then 'too_many'
    end;
    if v_refused is null then
      v_left := v_left - 1;
      v_plan := v_plan || jsonb_build_object('tool', v_tool, 'payload', v_payload);
    else
      v_plan := v_plan || jsonb_build_object('agent_id', left(v_wanted ->> 'agent_id', 63), 'refused', v_refused);
    end if;
  end loop;
  return v_plan;
end
$$;

-- Why an agent may not hand this session over to another; null if it may. It must have the session to hand it over, and its user
-- must be allowed to open the other.
create or replace function private.handover_refusal(
  p_delivery public.deliveries,
  p_session public.chat_sessions,
  p_agent_id text
) returns text
language plpgsql
set search_path = ''
as $$
begin
  if p_session.status = 'ended' then
    return 'session_ended';
  end if;
  if p_session.agent_id <> p_delivery.agent_id or p_session.agent_id = p_agent_id then
    return 'agent_changed';
  end if;
  perform private.openable_agent(p_session.org_id, p_session.user_id, p_agent_id);
  return null;
exception
  when sqlstate 'PT403' or sqlstate 'PT422' then
    return sqlerrm;
end
$$;

-- The result as an event of at most 16 KiB: what does not fit is left out, the notices first if that is enough, and `truncated`
-- says so.
create or replace function private.say_result(
  p_delivery public.deliveries,
  p_outcome jsonb,
  p_refused jsonb
) returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_base jsonb := jsonb_build_object(
    'deliveryId', p_delivery.id, 'eventId', p_delivery.about_event_id, 'agentId', p_delivery.agent_id,
    'tool', p_delivery.tool, 'status', 'completed'
  ) || p_refused;
  v_output jsonb := case
    when coalesce(p_outcome -> 'output', 'null') = 'null' then '{}'
    else jsonb_build_object('output', p_outcome -> 'output')
  end;
  v_notices jsonb := case
    when coalesce(p_outcome -> 'notices', '[]') in ('[]', 'null') then '{}'
    else jsonb_build_object('notices', p_outcome -> 'notices')
  end;
  v_payload jsonb;
begin
  foreach v_payload in array array[
    v_base || v_output || v_notices,
    v_base || v_output || '{"truncated":true}',
    v_base || v_notices || '{"truncated":true}',
    v_base || '{"truncated":true}'
  ] loop
    exit when octet_length(v_payload::text) <= 16384;
  end loop;
  return private.append_event(
    p_delivery.session_id, private.new_id(), 'agent_result', v_payload, 'agent', p_delivery.agent_id
  );
end
$$;

-- An agent is done: the result, then what it wants of others, then the session handed over. What it may not have is noted in the
-- result and is no error: its work is done all the same.
create or replace function private.complete_delivery(p_delivery public.deliveries, p_outcome jsonb) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_plan jsonb;
  v_follow_up jsonb;
  v_handover jsonb := nullif(p_outcome -> 'handover', 'null');
  v_refusal text;
  v_refused jsonb;
  v_event public.chat_events;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_delivery.session_id;
  perform private.settle_delivery(p_delivery.id, 'done');
  v_plan := private.follow_ups_of(p_delivery, v_session, p_outcome -> 'follow_ups');
  if v_handover is not null then
    v_refusal := private.handover_refusal(p_delivery, v_session, v_handover ->> 'agent_id');
  end if;
  select jsonb_strip_nulls(jsonb_build_object(
    'followUpsRefused',
    jsonb_agg(jsonb_build_object('agentId', f.value -> 'agent_id', 'reason', f.value -> 'refused') order by f.position)
      filter (where f.value ? 'refused'),
    'handoverRefused',
    case when v_refusal is not null
      then jsonb_build_object('agentId', left(v_handover ->> 'agent_id', 63), 'reason', v_refusal) end
  ))
  into v_refused
  from jsonb_array_elements(v_plan) with ordinality as f (value, position);
  perform private.say_result(p_delivery, p_outcome, v_refused);
  perform private.touch_session(p_delivery.session_id);

  for v_follow_up in
    select f.value from jsonb_array_elements(v_plan) with ordinality as f (value, position)
    where f.value ? 'tool'
    order by f.position
  loop
    v_event := private.append_event(
      p_delivery.session_id, private.new_id(), 'agent_follow_up', v_follow_up -> 'payload', 'agent', p_delivery.agent_id
    );
    insert into public.deliveries (
      id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, depth, root_event_id
    ) values (
      private.new_id(), v_event.org_id, v_event.user_id, v_event.session_id, v_event.id,
      private.next_delivery_seq(v_event.session_id), v_event.payload ->> 'agentId', v_follow_up ->> 'tool', v_event.id,
      p_delivery.depth + 1, p_delivery.root_event_id
    );
  end loop;

  if v_handover is not null and v_refusal is null then
    v_event := private.append_event(
      p_delivery.session_id, private.new_id(), 'handover',
      jsonb_build_object('agentId', v_handover -> 'agent_id', 'fromAgentId', p_delivery.agent_id)
        || jsonb_strip_nulls(jsonb_build_object('reason', v_handover -> 'reason', 'summary', v_handover -> 'summary')),
      'agent', p_delivery.agent_id
    );
    update public.chat_sessions as s set agent_id = v_handover ->> 'agent_id' where s.id = p_delivery.session_id;
    -- Told to the agent that has the session now.
    perform private.route_event(v_event, p_delivery.root_event_id, p_delivery.depth + 1);
  end if;
end
$$;

revoke all on function private.say(public.deliveries, text) from public, anon, authenticated, service_role;
revoke all on function private.follow_ups_of(public.deliveries, public.chat_sessions, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.handover_refusal(public.deliveries, public.chat_sessions, text)
  from public, anon, authenticated, service_role;
revoke all on function private.say_result(public.deliveries, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.complete_delivery(public.deliveries, jsonb)
  from public, anon, authenticated, service_role;
