-- Recording what happened in a session, with what follows from it: a thread linked, an escalation opened, another agent. All
-- of a call or nothing, in the order given.

-- The event that was already taken under this id, or null. The same id with other content is an error of the client's, and so is
-- the same id from another actor: answering "already there" would lose an event.
create or replace function private.recorded_event(p_session_id uuid, p_given jsonb, p_actor_type text, p_actor_id text)
returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_event public.chat_events;
begin
  select * into v_event
  from public.chat_events as e
  where e.session_id = p_session_id and e.id = (p_given ->> 'id')::uuid;
  if found and (v_event.type, v_event.payload, v_event.occurred_at, v_event.actor_type, v_event.actor_id)
     is distinct from
     (p_given ->> 'type', p_given -> 'payload', (p_given ->> 'occurred_at')::timestamptz, p_actor_type, p_actor_id) then
    raise sqlstate 'PT409' using message = 'event_conflict', detail = v_event.id::text;
  end if;
  return v_event;
end
$$;

-- `thread_changed` {threadId}: the thread is one of the session's from now on. ChatKit says null when a new thread begins; there
-- is nothing to link then. A session links at most 100 threads, since each is asked for at OpenAI before the session ends, when
-- its transcript is copied and when it is erased.
create or replace function private.link_thread(p_event public.chat_events) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_thread_id text := p_event.payload ->> 'threadId';
begin
  if jsonb_typeof(p_event.payload -> 'threadId') is distinct from 'string' or exists (
    select from public.chatkit_threads as t where t.session_id = p_event.session_id and t.thread_id = v_thread_id
  ) then
    return;
  end if;
  -- The caller holds the session's lock, so the count is exact.
  if (select count(*) from public.chatkit_threads as t where t.session_id = p_event.session_id) >= 100 then
    raise sqlstate 'PT409' using message = 'too_many_threads', detail = p_event.id::text;
  end if;
  insert into public.chatkit_threads (org_id, user_id, session_id, thread_id)
  values (p_event.org_id, p_event.user_id, p_event.session_id, v_thread_id);
end
$$;

-- `hitl_escalation` {reason, decisions, schema?, expiresInSeconds?}: somebody is asked. Its id is minted by the caller; if that
-- one exists already (it would be another event's), say so and nothing about whose it is.
create or replace function private.open_escalation(p_event public.chat_events, p_escalation_id uuid) returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into public.chat_escalations (
    id, org_id, user_id, session_id, event_id, origin, reason, decisions, answer_schema, expires_at
  ) values (
    p_escalation_id, p_event.org_id, p_event.user_id, p_event.session_id, p_event.id,
    case p_event.actor_type when 'user' then 'browser' else 'orchestrator' end,
    p_event.payload ->> 'reason',
    array(select jsonb_array_elements_text(p_event.payload -> 'decisions')),
    nullif(p_event.payload -> 'schema', 'null'),
    clock_timestamp() + make_interval(secs => (p_event.payload ->> 'expiresInSeconds')::integer)
  )
  on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'escalation_id_taken';
  end if;
end
$$;

-- `handover` {agentId, fromAgentId?, reason?, summary?}: the session moves to another agent, if it is still with the one it is taken from.
-- The old agent's secrets are erased by the session's trigger.
create or replace function private.hand_over(p_event public.chat_events) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_from text := p_event.payload ->> 'fromAgentId';
  v_to text := p_event.payload ->> 'agentId';
  v_current text;
begin
  select s.agent_id into strict v_current from public.chat_sessions as s where s.id = p_event.session_id;
  if v_from <> v_current then
    raise sqlstate 'PT409' using message = 'agent_changed', detail = v_current;
  end if;
  -- Who may not open an agent may not be handed over to it either.
  perform private.openable_agent(p_event.org_id, p_event.user_id, v_to);
  update public.chat_sessions as s set agent_id = v_to where s.id = p_event.session_id and s.agent_id <> v_to;
end
$$;

-- Takes one new event and does what it says.
create or replace function private.take_event(p_session_id uuid, p_given jsonb, p_actor_type text, p_actor_id text)
returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_event public.chat_events;
begin
  -- The end of a session is said by the transaction that ends it, and by nobody else.
  if p_given ->> 'type' = 'session_ended' then
    raise sqlstate 'PT422' using message = 'event_type_reserved';
  end if;
  v_event := private.append_event(
    p_session_id,
    (p_given ->> 'id')::uuid,
    p_given ->> 'type',
    p_given -> 'payload',
    p_actor_type,
    p_actor_id,
    (p_given ->> 'occurred_at')::timestamptz
  );
  case v_event.type
    when 'thread_changed' then perform private.link_thread(v_event);
    when 'hitl_escalation' then perform private.open_escalation(v_event, (p_given ->> 'escalation_id')::uuid);
    when 'handover' then perform private.hand_over(v_event);
    else null;
  end case;
  return v_event;
end
$$;

-- An event as it is answered: its id, place and author, and the escalation that it opened.
create or replace function private.event_json(p_event public.chat_events) returns jsonb
language sql
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_event.id,
    'seq', p_event.seq,
    'type', p_event.type,
    'actor_type', p_event.actor_type,
    'actor_id', p_event.actor_id,
    'occurred_at', p_event.occurred_at,
    'created_at', p_event.created_at
  ) || coalesce((
    select jsonb_build_object('escalation_id', x.id)
    from public.chat_escalations as x
    where x.session_id = p_event.session_id and x.event_id = p_event.id
  ), '{}')
$$;

-- Records events of one actor. A repeat answers what is stored and changes nothing, also after the session's end.
-- live_chatkit_session_ids: what a handover retired and is still to be cancelled at OpenAI.
create or replace function public.record_events(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_actor_type text,
  p_events jsonb,
  p_actor_id text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session_of(p_org_id, p_user_id, p_session_id);
  v_given jsonb;
  v_event public.chat_events;
  v_answers jsonb := '[]';
  v_something_new boolean := false;
  v_constraint text;
  v_column text;
begin
  for v_given in
    select e.value from jsonb_array_elements(p_events) with ordinality as e (value, position) order by e.position
  loop
    v_event := private.recorded_event(p_session_id, v_given, p_actor_type, p_actor_id);
    if v_event.id is null then
      if v_session.status = 'ended' then
        raise sqlstate 'PT409' using message = 'session_ended';
      end if;
      v_event := private.take_event(p_session_id, v_given, p_actor_type, p_actor_id);
      v_something_new := true;
    end if;
    v_answers := v_answers || private.event_json(v_event);
  end loop;

  if v_something_new then
    perform private.touch_session(p_session_id);
  end if;
  return jsonb_build_object(
    'events', v_answers,
    'live_chatkit_session_ids', private.retired_chatkit_session_ids(p_session_id)
  );
exception
  -- The edge checks events before; what still does not fit a column is the client's mistake and not ours. (data_exception: a
  -- text that is no uuid, time or number, an array that is none.)
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_event',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

revoke all on function private.recorded_event(uuid, jsonb, text, text) from public, anon, authenticated, service_role;
revoke all on function private.link_thread(public.chat_events) from public, anon, authenticated, service_role;
revoke all on function private.open_escalation(public.chat_events, uuid) from public, anon, authenticated, service_role;
revoke all on function private.hand_over(public.chat_events) from public, anon, authenticated, service_role;
revoke all on function private.take_event(uuid, jsonb, text, text) from public, anon, authenticated, service_role;
revoke all on function private.event_json(public.chat_events) from public, anon, authenticated, service_role;
revoke all on function public.record_events(uuid, uuid, uuid, text, jsonb, text)
  from public, anon, authenticated, service_role;
grant execute on function public.record_events(uuid, uuid, uuid, text, jsonb, text) to service_role;
