-- Events that users record reach agents and decide escalations.

-- `hitl_resolved` {escalationId, decision, answer?, subjectHash}: the session's user decides, by the same rules as at the
-- decision's own endpoint. But there an answer is checked against its schema before it comes here; of an event's nobody has.
create or replace function private.decide_by_event(p_event public.chat_events) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_escalation public.chat_escalations;
  v_answer jsonb := nullif(p_event.payload -> 'answer', 'null');
begin
  select * into v_escalation
  from public.chat_escalations as x
  where x.id = (p_event.payload ->> 'escalationId')::uuid and x.session_id = p_event.session_id
  for update;
  if not found then
    raise sqlstate 'PT404' using message = 'escalation_not_found';
  end if;
  if private.check_decision(
    v_escalation, p_event.user_id, p_event.payload ->> 'decision', p_event.payload ->> 'subjectHash', v_answer
  ) then
    -- Decided so already, but by another event, and a decision is said once.
    raise sqlstate 'PT409' using message = 'escalation_resolved', detail = jsonb_build_object(
      'decision', v_escalation.decision, 'decidedBy', v_escalation.decided_by, 'decidedAt', v_escalation.decided_at
    )::text;
  end if;
  if v_answer is not null and v_escalation.answer_schema is not null then
    raise sqlstate 'PT422' using message = 'answer_not_checked';
  end if;
  perform private.resolve_escalation(
    v_escalation, p_event, p_event.user_id, p_event.payload ->> 'decision', v_answer
  );
end
$$;

-- Takes one new event and does what it says; then whoever wants to hear of it is told.
create or replace function private.take_event(p_session_id uuid, p_given jsonb, p_actor_type text, p_actor_id text)
returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_event public.chat_events;
begin
  -- These are said by the transaction that brings them about, and by nobody else; and only people decide.
  if p_given ->> 'type' in ('session_ended', 'hitl_expired', 'agent_result', 'agent_failed', 'agent_follow_up')
     or (p_given ->> 'type' = 'hitl_resolved' and p_actor_type <> 'user') then
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
    when 'hitl_resolved' then perform private.decide_by_event(v_event);
    when 'handover' then perform private.hand_over(v_event);
    else null;
  end case;
  -- A decision is routed where it is taken. A handover is told to the agent that has the session now.
  if v_event.type <> 'hitl_resolved' then
    perform private.route_event(v_event, v_event.id);
  end if;
  return v_event;
end
$$;

revoke all on function private.decide_by_event(public.chat_events) from public, anon, authenticated, service_role;
