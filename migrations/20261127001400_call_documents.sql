-- Call documents: the document that describes the call of a delivery.

-- Returns the tool of a delivery if it may be called now: it is registered and its agent is
-- enabled. Otherwise returns a row of nulls.
create or replace function chatkit_private.callable_tool(p_delivery public.deliveries)
returns public.agent_tools
language sql stable
set search_path = ''
as $$
  select t
  from public.agent_tools as t
  join public.agents as a on a.org_id = t.org_id and a.id = t.agent_id and a.enabled
  where t.org_id = p_delivery.org_id
    and t.agent_id = p_delivery.agent_id
    and t.name = p_delivery.tool
$$;

-- Returns a decision in the form in which the tool receives it. The answer is included where it is
-- meant for the tool: an edited call, or the answer to the agent's own question. A rejection has
-- no answer. The comment is always included.
create or replace function chatkit_private.decision_payload(p_escalation public.chat_escalations)
returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'escalationId', p_escalation.id,
    'decision', p_escalation.decision,
    'decidedBy', p_escalation.decided_by,
    'decidedAt', chatkit_private.utc_text(p_escalation.decided_at)
  ) || case
    when p_escalation.answer is not null
      and (
        p_escalation.decision = 'edit'
        or (p_escalation.kind = 'agent_asked' and p_escalation.decision <> 'reject')
      )
      then jsonb_build_object('answer', p_escalation.answer)
    else '{}'
  end || case
    when p_escalation.comment is null then '{}'
    else jsonb_build_object('comment', p_escalation.comment)
  end
$$;

-- Returns the call document: what the tool receives, without the idempotency key and without the
-- decision that releases the call. One document serves four purposes: the policy checks it, people
-- see it, the hash of an approval covers it, and the dispatcher sends it.
create or replace function chatkit_private.build_call(p_delivery public.deliveries) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'agentId', p_delivery.agent_id,
    'tool', p_delivery.tool,
    'objective', case e.type when 'agent_follow_up' then e.payload -> 'objective' end
  )) || jsonb_build_object(
    'session', jsonb_build_object(
      'id', s.id, 'orgId', s.org_id, 'userId', s.user_id, 'agentId', s.agent_id,
      'channel', s.channel, 'metadata', s.metadata
    ),
    'event', jsonb_build_object(
      'id', e.id, 'seq', e.seq, 'type', e.type, 'payload', e.payload,
      'actorType', e.actor_type, 'actorId', e.actor_id,
      'occurredAt', chatkit_private.utc_text(e.occurred_at),
      'createdAt', chatkit_private.utc_text(e.created_at)
    )
  ) || case
    when p_delivery.inputs is not null then jsonb_build_object('inputs', p_delivery.inputs)
    when e.type = 'agent_follow_up' and jsonb_typeof(e.payload -> 'inputs') = 'object'
      then jsonb_build_object('inputs', e.payload -> 'inputs')
    else '{}'
  end || coalesce((
    select jsonb_build_object('decision', d.decision)
    from public.chat_escalations as x
    cross join lateral chatkit_private.decision_payload(x) as d (decision)
    where x.id = p_delivery.answer_id and d.decision ? 'answer'
  ), '{}')
  from public.chat_sessions as s
  join public.chat_events as e on e.session_id = s.id and e.id = p_delivery.about_event_id
  where s.id = p_delivery.session_id
$$;

-- Returns the display hints of a tool in the form of a subject. Their pointers lead into the
-- subject: to the call's inputs or, without inputs, to the event's payload.
create or replace function chatkit_private.subject_display(p_display jsonb, p_call jsonb)
returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  select jsonb_agg(
    jsonb_strip_nulls(jsonb_build_object(
      'pointer', i.place || (e.hint ->> 'pointer'),
      'label', e.hint -> 'label',
      'kind', e.hint -> 'kind',
      'currencyPointer', i.place || (e.hint ->> 'currency_pointer'),
      'unit', case e.hint ->> 'kind' when 'money' then coalesce(e.hint ->> 'unit', 'major') end
    ))
    order by e.position
  )
  from jsonb_array_elements(p_display) with ordinality as e (hint, position)
  cross join (
    select case when p_call ? 'inputs' then '/inputs' else '/event/payload' end
  ) as i (place)
$$;
