-- Beginning a call: whether it may be made is decided in the transaction that would begin it, by the registry of that moment.

-- A call as the router is given it. Null members are left out.
create or replace function private.call_json(p_delivery public.deliveries) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_delivery.id,
    'fence', p_delivery.fence,
    'org_id', p_delivery.org_id,
    'user_id', p_delivery.user_id,
    'session', jsonb_build_object(
      'id', s.id, 'org_id', s.org_id, 'user_id', s.user_id, 'agent_id', s.agent_id, 'channel', s.channel,
      'metadata', s.metadata
    ),
    'event', jsonb_build_object(
      'id', e.id, 'seq', e.seq, 'type', e.type, 'payload', e.payload, 'actor_type', e.actor_type,
      'actor_id', e.actor_id, 'occurred_at', e.occurred_at, 'created_at', e.created_at
    ),
    'agent_id', p_delivery.agent_id,
    'tool', p_delivery.tool,
    'idempotency_key', p_delivery.event_id,
    'idempotent', t.idempotent,
    'attempt', p_delivery.attempts,
    'max_attempts', v.max_attempts,
    'url', v.url,
    'credential', v.credential,
    'timeout_seconds', v.timeout_seconds,
    'lease_until', p_delivery.lease_until
  )
  -- What the policy looked at is what is sent.
  || private.call_of(p_delivery) - '{agentId,tool,event}'::text[]
  || coalesce((
    select jsonb_build_object('decision', jsonb_build_object(
      'escalation_id', x.id, 'decision', x.decision, 'answer', x.answer, 'decided_by', x.decided_by,
      'decided_at', x.decided_at
    ))
    from public.chat_escalations as x
    where x.id = p_delivery.escalation_id
  ), '{}')
  || case
    when p_delivery.request_state is null then '{}'
    else jsonb_build_object('request_state', p_delivery.request_state)
  end
  from public.chat_sessions as s
  join public.chat_events as e on e.session_id = s.id and e.id = p_delivery.about_event_id
  join public.agent_tools as t
    on t.org_id = p_delivery.org_id and t.agent_id = p_delivery.agent_id and t.name = p_delivery.tool
  join public.agent_servers as v on v.org_id = t.org_id and v.agent_id = t.agent_id
  where s.id = p_delivery.session_id
$$;

-- Begins the call of a queue's head, or says why not, which releases the next one; null then. The session is locked, and the
-- delivery is due: pending, or running with its lease over.
create or replace function private.begin_call(
  p_delivery public.deliveries,
  p_lease_seconds integer,
  p_claim_id uuid
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_tool public.agent_tools := private.tool_of(p_delivery);
  v_call jsonb := private.call_of(p_delivery);
  v_verdict text := private.verdict_on(v_tool, v_call);
  v_server public.agent_servers;
  v_begun public.deliveries;
begin
  select * into v_server
  from public.agent_servers as v
  where v.org_id = p_delivery.org_id and v.agent_id = p_delivery.agent_id;
  -- Whoever made the call has died or lost its way. Nothing is begun after the session's end, not even again.
  if p_delivery.status = 'running' and not (
    coalesce(v_tool.idempotent, false) and private.is_active(p_delivery.session_id)
  ) then
    perform private.lose_track(p_delivery, 'lease_over');
    return null;
  end if;

  if v_tool.name is null then
    perform private.give_up(p_delivery, 'tool_unavailable', false, 'system');
    return null;
  end if;
  if v_verdict = 'never' then
    -- Nobody can release it, so nobody is asked.
    perform private.give_up(p_delivery, 'policy_never', false, 'system');
    return null;
  end if;
  if p_delivery.attempts >= v_server.max_attempts then
    perform private.give_up(p_delivery, 'attempts_used_up', true, 'system');
    return null;
  end if;
  -- An approval is good for the call that was approved.
  if v_verdict = 'ask' and p_delivery.released_hash is distinct from private.hash_of(v_call) then
    perform private.settle_delivery(p_delivery.id, 'asked');
    perform private.ask_people(
      p_delivery, 'policy',
      jsonb_build_object(
        'reason', format('%s may do %s only when somebody has approved it.', p_delivery.agent_id, p_delivery.tool),
        'decisions', '["approve","edit","reject"]'::jsonb
      ),
      'system'
    );
    return null;
  end if;

  update public.deliveries as d
  set status = 'running',
      attempts = d.attempts + 1,
      fence = d.fence + 1,
      claim_id = p_claim_id,
      -- No longer than the call may take, and some time to tell of it: what a dead router had in hand is soon somebody else's.
      lease_until = clock_timestamp()
        + make_interval(secs => least(greatest(coalesce(p_lease_seconds, 90), 1), v_server.timeout_seconds + 20))
  where d.id = p_delivery.id
  returning * into v_begun;
  return private.call_json(v_begun);
end
$$;

revoke all on function private.call_json(public.deliveries) from public, anon, authenticated, service_role;
revoke all on function private.begin_call(public.deliveries, integer, uuid)
  from public, anon, authenticated, service_role;
