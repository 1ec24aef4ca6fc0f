-- Beginning the call of a delivery, and returning it to the dispatcher.

-- Returns a call as the dispatcher receives it: the server to send it to, and the document of
-- build_call, which the dispatcher sends unchanged. `decision` is the answer to the agent's own
-- question or, without one, the decision that resumed the call. Null if the tool is no longer
-- registered.
create or replace function chatkit_private.delivery_payload(p_delivery public.deliveries)
returns jsonb
language sql stable
set search_path = ''
as $$
  select chatkit_private.build_call(p_delivery)
    || coalesce((
      select jsonb_build_object('decision', chatkit_private.decision_payload(x))
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
      'input_schema', t.input_schema,
      'follow_up_schemas', chatkit_private.follow_up_schemas(p_delivery.session_id),
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
  where t.org_id = p_delivery.org_id
    and t.agent_id = p_delivery.agent_id
    and t.name = p_delivery.tool
$$;

-- Returns whether a call whose lease has expired is made again. It may have been executed, so the
-- tool must be idempotent, the requester must still be allowed to use the agent, and the session
-- must be active.
create or replace function chatkit_private.may_repeat_call(p_delivery public.deliveries)
returns boolean
language sql stable
set search_path = ''
as $$
  select coalesce((chatkit_private.callable_tool(p_delivery)).idempotent, false)
    and chatkit_private.requester_rejection(p_delivery) is null
    and chatkit_private.is_active(p_delivery.session_id)
$$;

-- Begins the call of the first delivery in a queue and returns it. If the call may not be made,
-- closes or holds the delivery, which releases the next one, and returns null. The caller has
-- locked the session, and the delivery is due: pending, or running with an expired lease.
create or replace function chatkit_private.begin_call(
  p_delivery public.deliveries,
  p_lease_seconds integer,
  p_claim_id uuid
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_tool public.agent_tools := chatkit_private.callable_tool(p_delivery);
  v_call jsonb := chatkit_private.build_call(p_delivery);
  v_refusal text := chatkit_private.requester_rejection(p_delivery);
  v_verdict text;
  v_server public.agent_servers;
  v_begun public.deliveries;
  v_predecessor public.chat_escalations;
begin
  select * into v_server
  from public.agent_servers as v
  where v.org_id = p_delivery.org_id and v.agent_id = p_delivery.agent_id;
  if p_delivery.status = 'running' and not chatkit_private.may_repeat_call(p_delivery) then
    perform chatkit_private.mark_outcome_unknown(p_delivery, 'lease_over');
    return null;
  end if;
  if v_refusal is not null then
    perform chatkit_private.cancel_delivery(p_delivery, v_refusal);
    return null;
  end if;

  if v_tool.name is null then
    perform chatkit_private.dead_letter(p_delivery, 'tool_unavailable', false, 'system');
    return null;
  end if;
  if p_delivery.attempts >= v_server.max_attempts
     and chatkit_private.policy_decision(v_tool, v_call) <> 'never' then
    perform chatkit_private.dead_letter(p_delivery, 'attempts_used_up', true, 'system');
    return null;
  end if;
  v_verdict := chatkit_private.authorize_call(p_delivery, v_tool, v_call);
  if v_verdict = 'never' then
    -- No decision can release the call, so no escalation is opened.
    perform chatkit_private.dead_letter(p_delivery, 'policy_never', false, 'system');
    return null;
  end if;
  if v_verdict <> 'admitted' then
    if p_delivery.author_id is not null then
      -- The escalation names the one in which the call was edited, unless the limit on edits is
      -- reached.
      select * into v_predecessor
      from public.chat_escalations as x
      where x.id = p_delivery.escalation_id and x.revision < 5;
    end if;
    perform chatkit_private.escalate_before_call(p_delivery, v_tool, v_verdict, v_predecessor);
    return null;
  end if;

  update public.deliveries as d
  set status = 'running',
      attempts = d.attempts + 1,
      fence = d.fence + 1,
      claim_id = p_claim_id,
      -- The lease covers the call's timeout and the time to record the result, and is not longer,
      -- so another dispatcher soon claims the calls of one that stopped.
      lease_until = clock_timestamp()
        + make_interval(
          secs => least(greatest(coalesce(p_lease_seconds, 90), 1), v_server.timeout_seconds + 20)
        )
  where d.id = p_delivery.id
  returning * into v_begun;
  return chatkit_private.delivery_payload(v_begun);
end
$$;
