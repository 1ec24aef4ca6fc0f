-- Beginning a call: whether it may be made is decided in the transaction that would begin it, by the registry and the members of
-- that moment.

-- A call as the router is given it: where it goes, and the document of call_of, which is sent as it stands. `decision` is the
-- answer to the agent's own question or, if it asked none, the decision that set the call going.
create or replace function private.call_json(p_delivery public.deliveries) returns jsonb
language sql stable
set search_path = ''
as $$
  select private.call_of(p_delivery)
    || coalesce((
      select jsonb_build_object('decision', private.decision_json(x))
      from public.chat_escalations as x
      where x.id = coalesce(p_delivery.answer_id, p_delivery.escalation_id)
    ), '{}')
    || jsonb_build_object(
      'id', p_delivery.id,
      'fence', p_delivery.fence,
      'org_id', p_delivery.org_id,
      'user_id', p_delivery.user_id,
      'session_id', p_delivery.session_id,
      'agent_id', p_delivery.agent_id,
      'idempotency_key', p_delivery.event_id,
      'idempotent', t.idempotent,
      'attempt', p_delivery.attempts,
      'max_attempts', v.max_attempts,
      'url', v.url,
      'credential', v.credential,
      'timeout_seconds', v.timeout_seconds,
      'lease_until', p_delivery.lease_until
    )
    || case
      when p_delivery.request_state is null then '{}'
      else jsonb_build_object('request_state', p_delivery.request_state)
    end
  from public.agent_tools as t
  join public.agent_servers as v on v.org_id = t.org_id and v.agent_id = t.agent_id
  where t.org_id = p_delivery.org_id and t.agent_id = p_delivery.agent_id and t.name = p_delivery.tool
$$;

-- Why a requester may not have an agent do anything now: they left the organisation, or the agent is not open to their role. Null
-- if they may, and for an agent that is disabled, of which more is said later.
create or replace function private.requester_refusal(p_delivery public.deliveries) returns text
language sql stable
set search_path = ''
as $$
  select case
    when m.role is null then 'requester_gone'
    when m.role <> all (a.allowed_org_roles) then 'agent_forbidden'
  end
  from public.agents as a
  cross join lateral private.member_role(p_delivery.org_id, p_delivery.user_id) as m (role)
  where a.org_id = p_delivery.org_id and a.id = p_delivery.agent_id
$$;

-- Cancels a delivery before its call, with an event that says why.
create or replace function private.cancel_delivery(p_delivery public.deliveries, p_error text) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.settle_delivery(p_delivery.id, 'withdrawn', p_error);
  perform private.say_failed(p_delivery, p_error, 'system');
end
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
  v_refusal text := private.requester_refusal(p_delivery);
  v_verdict text;
  v_server public.agent_servers;
  v_begun public.deliveries;
  v_predecessor public.chat_escalations;
begin
  select * into v_server
  from public.agent_servers as v
  where v.org_id = p_delivery.org_id and v.agent_id = p_delivery.agent_id;
  -- Whoever made the call has died or lost its way. Nothing is begun after the session's end or for a person who left, not even
  -- again.
  if p_delivery.status = 'running' and not (
    coalesce(v_tool.idempotent, false) and v_refusal is null and private.is_active(p_delivery.session_id)
  ) then
    perform private.lose_track(p_delivery, 'lease_over');
    return null;
  end if;
  if v_refusal is not null then
    perform private.cancel_delivery(p_delivery, v_refusal);
    return null;
  end if;

  if v_tool.name is null then
    perform private.give_up(p_delivery, 'tool_unavailable', false, 'system');
    return null;
  end if;
  if p_delivery.attempts >= v_server.max_attempts and private.verdict_on(v_tool, v_call) <> 'never' then
    perform private.give_up(p_delivery, 'attempts_used_up', true, 'system');
    return null;
  end if;
  v_verdict := private.admit_call(p_delivery, v_tool, v_call);
  if v_verdict = 'never' then
    -- No decision can release it, so there is none to ask for.
    perform private.give_up(p_delivery, 'policy_never', false, 'system');
    return null;
  end if;
  if v_verdict <> 'admitted' then
    if p_delivery.author_id is not null then
      -- The question names where the call was written, unless that is too far back.
      select * into v_predecessor
      from public.chat_escalations as x
      where x.id = p_delivery.escalation_id and x.revision < 5;
    end if;
    perform private.hold_delivery(p_delivery, v_tool, v_verdict, v_predecessor);
    return null;
  end if;

  update public.deliveries as d
  set status = 'running',
      attempts = d.attempts + 1,
      fence = d.fence + 1,
      claim_id = p_claim_id,
      -- No longer than the call may take, and some time to record what came of it: what a dead router had in hand is soon another
      -- router's.
      lease_until = clock_timestamp()
        + make_interval(secs => least(greatest(coalesce(p_lease_seconds, 90), 1), v_server.timeout_seconds + 20))
  where d.id = p_delivery.id
  returning * into v_begun;
  return private.call_json(v_begun);
end
$$;

revoke all on function private.call_json(public.deliveries) from public, anon, authenticated, service_role;
revoke all on function private.requester_refusal(public.deliveries) from public, anon, authenticated, service_role;
revoke all on function private.cancel_delivery(public.deliveries, text) from public, anon, authenticated, service_role;
revoke all on function private.begin_call(public.deliveries, integer, uuid)
  from public, anon, authenticated, service_role;
