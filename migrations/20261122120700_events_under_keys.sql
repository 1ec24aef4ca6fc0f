-- Recording events under an idempotency key and a limit. One transaction does it all, so a key needs no lease here, and
-- events have ids of their own: the key only sees to it that it is not used for something else.

-- The function of before goes: with two of one name a call without a key would be ambiguous.
drop function if exists public.record_events(uuid, uuid, uuid, text, jsonb, text);

-- Takes one new event and does what it says.
create or replace function private.take_event(p_session_id uuid, p_given jsonb, p_actor_type text, p_actor_id text)
returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_event public.chat_events;
begin
  -- An end and an expiry are said by the transaction that brings them about, and by nobody else.
  if p_given ->> 'type' in ('session_ended', 'hitl_expired') then
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

-- Records events of one actor. A repeat answers what is stored and changes nothing, also after the session's end. What a user
-- adds is charged; agents and the system answer to nobody's patience but their own.
-- live_chatkit_session_ids: what a handover retired and is still to be cancelled at OpenAI.
create or replace function public.record_events(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_actor_type text,
  p_events jsonb,
  p_actor_id text default null,
  p_idempotency_key text default null,
  p_request_hash text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
  v_session public.chat_sessions;
  v_given jsonb;
  v_event public.chat_events;
  v_answers jsonb := '[]';
  v_new integer := 0;
  v_limit jsonb;
  v_constraint text;
  v_column text;
begin
  v_claim := private.claim_key(p_org_id, p_user_id, 'record_events', p_idempotency_key, p_request_hash, p_session_id);
  v_session := private.lock_session_of(p_org_id, p_user_id, p_session_id);
  -- A token may be older than a dismissal.
  if private.member_role(p_org_id, p_user_id) is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  for v_given in
    select e.value from jsonb_array_elements(p_events) with ordinality as e (value, position) order by e.position
  loop
    v_event := private.recorded_event(p_session_id, v_given, p_actor_type, p_actor_id);
    if v_event.id is null then
      if v_session.status = 'ended' then
        raise sqlstate 'PT409' using message = 'session_ended';
      end if;
      v_event := private.take_event(p_session_id, v_given, p_actor_type, p_actor_id);
      v_new := v_new + 1;
    end if;
    v_answers := v_answers || private.event_json(v_event);
  end loop;

  if v_new > 0 then
    perform private.touch_session(p_session_id);
    if p_actor_type = 'user' then
      v_limit := private.charge(v_session, 'event', v_new);
    end if;
  end if;
  perform private.hold_key(v_claim, p_session_id);
  return jsonb_build_object(
    'events', v_answers,
    'live_chatkit_session_ids', private.retired_chatkit_session_ids(p_session_id),
    'limit', v_limit
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

revoke all on function public.record_events(uuid, uuid, uuid, text, jsonb, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.record_events(uuid, uuid, uuid, text, jsonb, text, text, text) to service_role;
