-- Recording events, and applying what they cause.

-- Returns the event that is already recorded under this id, or null. Rejects the id with
-- event_conflict if the content or the actor differs, because accepting it as a repeat would lose
-- an event.
create or replace function chatkit_private.find_recorded_event(
  p_session_id uuid,
  p_given jsonb,
  p_actor_type text,
  p_actor_id text
) returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_event public.chat_events;
begin
  select * into v_event
  from public.chat_events as e
  where e.session_id = p_session_id and e.id = (p_given ->> 'id')::uuid;
  if found
     and (v_event.type, v_event.payload, v_event.occurred_at, v_event.actor_type, v_event.actor_id)
     is distinct from
     (p_given ->> 'type', p_given -> 'payload', (p_given ->> 'occurred_at')::timestamptz,
      p_actor_type, p_actor_id) then
    raise sqlstate 'PT409' using message = 'event_conflict', detail = v_event.id::text;
  end if;
  return v_event;
end
$$;

-- Applies `thread_changed` {threadId}: links a thread at OpenAI to a hosted session. ChatKit sends
-- null when a new thread begins; then there is nothing to link. The threads of a self-hosted
-- session are not at OpenAI; the function that serves the chat links them. A session links at most
-- 100 threads, because each one costs requests to OpenAI: before the session expires, for its
-- transcript, and when it is erased.
create or replace function chatkit_private.link_chatkit_thread(p_event public.chat_events)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_thread_id text := p_event.payload ->> 'threadId';
begin
  if jsonb_typeof(p_event.payload -> 'threadId') is distinct from 'string'
     or exists (
       select from public.chat_sessions as s
       where s.id = p_event.session_id and s.provider <> 'openai_hosted'
     )
     or exists (
       select from public.chatkit_threads as t
       where t.session_id = p_event.session_id and t.thread_id = v_thread_id
     ) then
    return;
  end if;
  -- The caller holds the session's lock, so the count is exact.
  if (
    select count(*) from public.chatkit_threads as t where t.session_id = p_event.session_id
  ) >= 100 then
    raise sqlstate 'PT409' using message = 'too_many_threads', detail = p_event.id::text;
  end if;
  insert into public.chatkit_threads (org_id, user_id, session_id, thread_id)
  values (p_event.org_id, p_event.user_id, p_event.session_id, v_thread_id);
end
$$;

-- Applies `handover` {agentId, fromAgentId?, reason?, summary?}: moves the session to another
-- agent. Fails with agent_changed if the session is no longer with fromAgentId.
create or replace function chatkit_private.hand_over(p_event public.chat_events) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_from text := p_event.payload ->> 'fromAgentId';
  v_session public.chat_sessions;
  v_agent public.agents;
begin
  select * into strict v_session
  from public.chat_sessions as s
  where s.id = p_event.session_id;
  if v_from <> v_session.agent_id then
    raise sqlstate 'PT409' using message = 'agent_changed', detail = v_session.agent_id;
  end if;
  -- A user who may not open an agent may not hand a session over to it either.
  v_agent := chatkit_private.openable_agent(
    p_event.org_id, p_event.user_id, p_event.payload ->> 'agentId'
  );
  if v_agent.id = v_session.agent_id then
    return;
  end if;
  perform chatkit_private.require_channel(v_agent, v_session.channel);
  perform chatkit_private.change_agent(p_event.session_id, v_agent);
  perform chatkit_private.append_handover_note(p_event);
end
$$;

-- Applies `hitl_resolved` {escalationId, decision, answer?, comment?, subjectHash}: the session's
-- user decides, under the same rules as at the endpoint for decisions. That endpoint also checks an
-- answer against its schema. The answer in an event has not been checked, so it is rejected if
-- there is a schema.
create or replace function chatkit_private.decide_by_event(p_event public.chat_events) returns void
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
  if chatkit_private.check_decision(
    v_escalation, p_event.user_id, p_event.payload ->> 'decision',
    p_event.payload ->> 'subjectHash', v_answer, p_event.payload ->> 'comment'
  ) then
    -- Another event already records this decision, and a decision has only one event.
    raise sqlstate 'PT409' using message = 'escalation_resolved', detail = jsonb_build_object(
      'decision', v_escalation.decision,
      'decidedBy', v_escalation.decided_by,
      'decidedAt', v_escalation.decided_at
    )::text;
  end if;
  if v_answer is not null and v_escalation.answer_schema is not null then
    raise sqlstate 'PT422' using message = 'answer_not_checked';
  end if;
  perform chatkit_private.resolve_escalation(
    v_escalation, p_event, p_event.user_id, p_event.payload ->> 'decision', v_answer,
    p_event.payload ->> 'comment'
  );
end
$$;

-- Records one new event, applies its effect and routes it to agents.
create or replace function chatkit_private.apply_event(
  p_session_id uuid,
  p_given jsonb,
  p_actor_type text,
  p_actor_id text
) returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_event public.chat_events;
begin
  -- Only the transaction that causes one of these records it. Only users decide.
  if p_given ->> 'type' in (
       'session_ended', 'hitl_expired', 'agent_result', 'agent_failed', 'agent_follow_up',
       'agent_call'
     )
     or (p_given ->> 'type' = 'hitl_resolved' and p_actor_type <> 'user') then
    raise sqlstate 'PT422' using message = 'event_type_reserved';
  end if;
  v_event := chatkit_private.append_event(
    p_session_id,
    (p_given ->> 'id')::uuid,
    p_given ->> 'type',
    p_given -> 'payload',
    p_actor_type,
    p_actor_id,
    (p_given ->> 'occurred_at')::timestamptz
  );
  case v_event.type
    when 'thread_changed' then perform chatkit_private.link_chatkit_thread(v_event);
    when 'hitl_escalation' then
      perform chatkit_private.open_escalation(v_event, (p_given ->> 'escalation_id')::uuid);
    when 'hitl_resolved' then perform chatkit_private.decide_by_event(v_event);
    when 'handover' then perform chatkit_private.hand_over(v_event);
    when 'session_updated' then
      perform chatkit_private.label_session(p_session_id, v_event.payload);
    else null;
  end case;
  -- resolve_escalation routes decisions. A handover is routed to the session's new agent.
  if v_event.type <> 'hitl_resolved' then
    perform chatkit_private.route_event(v_event, v_event.id);
  end if;
  return v_event;
end
$$;

-- Returns an event as the RPCs return it, with the id of the escalation that it opened.
create or replace function chatkit_private.event_response(p_event public.chat_events) returns jsonb
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

-- Records events of one actor, all or none. A repeated event returns what is recorded and changes
-- nothing, also after the session's end. New events of a user are charged to the rate limit; those
-- of agents and the system are not. `live_chatkit_session_ids` in the response lists the ChatKit
-- sessions that must still be cancelled at OpenAI.
create or replace function chatkit_private.record_events(
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
  v_claim := chatkit_private.claim_idempotency_key(
    p_org_id, p_user_id, 'record_events', p_idempotency_key, p_request_hash, p_session_id
  );
  v_session := chatkit_private.lock_session_of(p_org_id, p_user_id, p_session_id);
  -- The caller's token may be older than the user's removal from the organisation.
  if chatkit_private.member_role(p_org_id, p_user_id) is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  for v_given in
    select e.value
    from jsonb_array_elements(p_events) with ordinality as e (value, position)
    order by e.position
  loop
    v_event := chatkit_private.find_recorded_event(p_session_id, v_given, p_actor_type, p_actor_id);
    if v_event.id is null then
      if v_session.status = 'ended' then
        raise sqlstate 'PT409' using message = 'session_ended';
      end if;
      v_event := chatkit_private.apply_event(p_session_id, v_given, p_actor_type, p_actor_id);
      v_new := v_new + 1;
    end if;
    v_answers := v_answers || chatkit_private.event_response(v_event);
  end loop;

  if v_new > 0 then
    perform chatkit_private.touch_session(p_session_id);
    if p_actor_type = 'user' then
      v_limit := chatkit_private.consume_rate_limit(v_session, 'event', v_new);
    end if;
  end if;
  perform chatkit_private.lease_idempotency_key(v_claim, p_session_id);
  return jsonb_build_object(
    'events', v_answers,
    'live_chatkit_session_ids', chatkit_private.uncancelled_chatkit_session_ids(p_session_id),
    'limit', v_limit
  );
exception
  -- The API validates events before it calls this function. An event that still violates a
  -- constraint is an error of the client. (data_exception: a text is not a UUID, time or number,
  -- or a value is not an array.)
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_event',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

create or replace function public.record_events(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_actor_type text,
  p_events jsonb,
  p_actor_id text default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := chatkit_private.effective_claims(p_org_id, p_user_id, p_claims);
  v_events jsonb := case jsonb_typeof(p_events) when 'array' then p_events else '[]' end;
  v_decided uuid[] := array(
    select chatkit_private.decided_escalation_id(e.value)
    from jsonb_array_elements(v_events) as e
    where chatkit_private.decided_escalation_id(e.value) is not null
  );
  v_ids uuid[] := chatkit_private.readable_ids(v_claims, array[p_session_id], v_decided);
  v_readable boolean := p_session_id = any (v_ids);
begin
  if v_decided <@ v_ids then
    v_events := p_events;
  else
    -- Ids that the policies hide are replaced by random ones, so they give the same errors as ids
    -- that do not exist.
    v_events := (
      select jsonb_agg(
        case
          when chatkit_private.decided_escalation_id(e.value) <> all (v_ids)
          then e.value || jsonb_build_object(
            'id', gen_random_uuid(),
            'payload',
            (e.value -> 'payload') || jsonb_build_object('escalationId', gen_random_uuid())
          )
          else e.value
        end
        order by e.position
      )
      from jsonb_array_elements(v_events) with ordinality as e (value, position)
    );
  end if;
  return chatkit_private.record_events(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end,
    p_actor_type, v_events,
    p_actor_id, case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

comment on function public.record_events is
  'Records events of one actor in a session that the policies let the user read, all or none, '
  'and returns {events, live_chatkit_session_ids, limit}. A repeated event returns what is '
  'recorded and changes nothing; the same id with other content fails with event_conflict. An '
  'event that decides an escalation requires that the user may read the escalation too. '
  '`live_chatkit_session_ids` lists the ChatKit sessions that must still be cancelled at OpenAI.';
