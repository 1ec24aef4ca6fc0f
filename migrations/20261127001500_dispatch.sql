-- Dispatch of events to agents. The transaction that records an event also creates its deliveries.
-- A dispatcher claims the deliveries that are due.

-- Returns how many more deliveries one action of a person may cause in a session. Together with
-- the limit on depth (a constraint of the table), this stops agents that keep calling each other.
-- Deliveries resumed by a decision are not counted, because a person controls those.
create or replace function chatkit_private.remaining_fan_out(
  p_session_id uuid,
  p_root_event_id uuid
) returns integer
language sql stable
set search_path = ''
as $$
  select greatest(0, 50 - count(*))::integer
  from public.deliveries as d
  where d.session_id = p_session_id and d.root_event_id = p_root_event_id and d.resumes is null
$$;

-- Creates the deliveries of an event, one for each tool. A tool receives the event if its agent
-- has a matching route (event type, the session's current agent, the session's metadata) and the
-- user may use that agent. Creates none beyond the limits on depth and number.
create or replace function chatkit_private.route_event(
  p_event public.chat_events,
  p_root_event_id uuid,
  p_depth integer default 0
) returns void
language plpgsql
set search_path = ''
as $$
begin
  -- Most events have no route.
  if p_depth > 5 or not exists (
    select from public.agent_routes as r
    where r.org_id = p_event.org_id and r.event_type = p_event.type
  ) then
    return;
  end if;
  insert into public.deliveries (
    id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, depth,
    root_event_id
  )
  select chatkit_private.new_id(), p_event.org_id, p_event.user_id, p_event.session_id, p_event.id,
         chatkit_private.next_delivery_seq(p_event.session_id)
           + row_number() over (order by w.agent_id, w.tool) - 1,
         w.agent_id, w.tool, p_event.id, p_depth, p_root_event_id
  from (
    select distinct r.agent_id, r.tool
    from public.agent_routes as r
    join public.chat_sessions as s on s.id = p_event.session_id
    where r.org_id = p_event.org_id
      and r.event_type = p_event.type
      and (r.session_agent_id is null or r.session_agent_id = s.agent_id)
      and s.metadata @> r.metadata
  ) as w
  where chatkit_private.agent_is_open_to(p_event.org_id, p_event.user_id, w.agent_id)
  order by w.agent_id, w.tool
  limit chatkit_private.remaining_fan_out(p_event.session_id, p_root_event_id);
end
$$;

-- Returns the tool with which an agent accepts follow-ups in a session: that of its first matching
-- route. Null if it accepts none.
create or replace function chatkit_private.follow_up_tool(
  p_session public.chat_sessions,
  p_agent_id text
) returns text
language sql stable
set search_path = ''
as $$
  select r.tool
  from public.agent_routes as r
  join public.agents as a on a.org_id = r.org_id and a.id = r.agent_id and a.enabled
  where r.org_id = p_session.org_id
    and r.event_type = 'agent_follow_up'
    and r.agent_id = p_agent_id
    and (r.session_agent_id is null or r.session_agent_id = p_session.agent_id)
    and p_session.metadata @> r.metadata
  order by r.place
  limit 1
$$;

-- Creates a delivery that resumes the call of another one after a decision, and returns it. The
-- call stays the same, or contains what the decision wrote: p_inputs, or the answer to the agent's
-- own question. With p_released_hash, the decision releases the call that has this hash. Without
-- it, the new delivery keeps an earlier release, which applies only while the call has the hash
-- that was released.
create or replace function chatkit_private.resume_delivery(
  p_delivery public.deliveries,
  p_escalation public.chat_escalations,
  p_inputs jsonb default null,
  p_author_id uuid default null,
  p_released_hash text default null
) returns public.deliveries
language sql
set search_path = ''
as $$
  insert into public.deliveries (
    id, org_id, user_id, session_id, event_id, seq, agent_id, tool, resumes, about_event_id, inputs,
    escalation_id, answer_id,
    author_id, release_id, released_hash, depth, root_event_id, request_state
  ) values (
    chatkit_private.new_id(), p_delivery.org_id, p_delivery.user_id, p_delivery.session_id,
    p_escalation.decision_event_id,
    chatkit_private.next_delivery_seq(p_delivery.session_id), p_delivery.agent_id, p_delivery.tool,
    p_delivery.id,
    p_delivery.about_event_id, coalesce(p_inputs, p_delivery.inputs), p_escalation.id,
    case p_escalation.kind when 'agent_asked' then p_escalation.id else p_delivery.answer_id end,
    coalesce(p_author_id, p_delivery.author_id),
    case when p_released_hash is null then p_delivery.release_id else p_escalation.id end,
    coalesce(p_released_hash, p_delivery.released_hash), p_delivery.depth, p_delivery.root_event_id,
    p_delivery.request_state
  )
  returning *
$$;

-- Returns the higher of two risks. Null counts as `low`.
create or replace function chatkit_private.higher_risk(p_one text, p_other text) returns text
language sql immutable parallel safe
set search_path = ''
return case
  when 'high' in (p_one, p_other) then 'high'
  when 'medium' in (p_one, p_other) then 'medium'
  else 'low'
end;

-- Opens an escalation about a delivery, and appends the event that announces it to the session.
-- p_ask is {reason, decisions, schema?, expires_in_seconds?, risk?, approver?}.
--
-- The tool's registration sets the terms. An agent's request can only raise the risk, require a
-- stricter approver and shorten the time. For a tool that is no longer registered, the strictest
-- terms apply.
--
-- p_predecessor is the escalation in which the call was edited or answered. p_tool is the
-- registration that the policy decision used; it is looked up here if the escalation does not come
-- from a policy decision. The subject is the call in its current form, so a decision applies to
-- exactly that call.
create or replace function chatkit_private.open_delivery_escalation(
  p_delivery public.deliveries,
  p_kind text,
  p_ask jsonb,
  p_actor_type text,
  p_actor_id text default null,
  p_error text default null,
  p_predecessor public.chat_escalations default null,
  p_tool public.agent_tools default null
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_tool public.agent_tools := case
    when p_tool.name is null then chatkit_private.callable_tool(p_delivery)
    else p_tool
  end;
  v_id uuid := chatkit_private.new_id();
  v_seconds integer := least(
    (p_ask ->> 'expires_in_seconds')::integer, coalesce(v_tool.ask_expires_in_seconds, 86400)
  );
  v_risk text := chatkit_private.higher_risk(coalesce(v_tool.risk, 'high'), p_ask ->> 'risk');
  v_approver text := case
    when p_kind = 'confirm' then 'self'
    when p_kind = 'policy' or v_risk <> 'low' then 'other'
    -- If another person had to approve the call, the requester may not decide to repeat it.
    when p_kind in ('agent_failed', 'outcome_unknown') and exists (
      select from public.chat_escalations as x
      where x.id = p_delivery.release_id and x.kind <> 'confirm'
    ) then 'other'
    when 'other' in (coalesce(v_tool.approver, 'other'), p_ask ->> 'approver') then 'other'
    else 'self'
  end;
  v_schema jsonb := nullif(p_ask -> 'schema', 'null');
  -- The part that the event and the subject share: the question and the decisions offered.
  v_asked jsonb :=
    jsonb_build_object('reason', p_ask -> 'reason', 'decisions', p_ask -> 'decisions')
    || case when v_schema is null then '{}' else jsonb_build_object('schema', v_schema) end;
  v_event public.chat_events;
begin
  v_event := chatkit_private.append_event(
    p_delivery.session_id, chatkit_private.new_id(), 'hitl_escalation',
    v_asked || jsonb_build_object(
      'escalationId', v_id, 'kind', p_kind, 'deliveryId', p_delivery.id,
      'agentId', p_delivery.agent_id,
      'tool', p_delivery.tool, 'expiresInSeconds', v_seconds
    ),
    p_actor_type, p_actor_id
  );
  insert into public.chat_escalations (
    id, org_id, user_id, session_id, event_id, origin, reason, decisions, answer_schema, expires_at,
    kind, delivery_id, subject, risk, approver, author_id, predecessor_id, revision
  ) values (
    v_id, p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, v_event.id, 'orchestrator',
    p_ask ->> 'reason', array(select jsonb_array_elements_text(p_ask -> 'decisions')), v_schema,
    clock_timestamp() + make_interval(secs => v_seconds),
    p_kind, p_delivery.id,
    chatkit_private.build_call(p_delivery)
      || jsonb_build_object('kind', p_kind, 'deliveryId', p_delivery.id,
                            'risk', v_risk, 'approver', v_approver,
                            'ask', v_asked)
      || jsonb_strip_nulls(jsonb_build_object(
        'error', p_error, 'authorId', p_delivery.author_id, 'predecessorId', p_predecessor.id
      )),
    v_risk, v_approver, p_delivery.author_id, p_predecessor.id,
    case when p_predecessor.id is null then 0 else p_predecessor.revision + 1 end
  );
  perform chatkit_private.touch_session(p_delivery.session_id);
end
$$;

-- Holds a delivery before its call and opens the escalation that its policy decision (p_verdict,
-- see authorize_call) requires: for an approval by another person, an edit, or a confirmation by
-- the requester.
create or replace function chatkit_private.escalate_before_call(
  p_delivery public.deliveries,
  p_tool public.agent_tools,
  p_verdict text,
  p_predecessor public.chat_escalations default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'asked');
  perform chatkit_private.open_delivery_escalation(
    p_delivery,
    case p_verdict when 'confirm' then 'confirm' else 'policy' end,
    case p_verdict
      when 'confirm' then jsonb_build_object(
        'reason', format('Confirm that %s may call %s.', p_delivery.agent_id, p_delivery.tool),
        'decisions', '["approve","reject"]'::jsonb
      )
      when 'unreadable' then jsonb_build_object(
        'reason', format(
          'The amount of this call of %s to %s cannot be compared with its limit. Edit or reject it.',
          p_delivery.agent_id, p_delivery.tool
        ),
        'decisions', '["edit","reject"]'::jsonb
      )
      else jsonb_build_object(
        'reason', format(
          'An approval is needed before %s calls %s.', p_delivery.agent_id, p_delivery.tool
        ),
        'decisions', '["approve","edit","reject"]'::jsonb
      )
    end,
    'system', p_predecessor => p_predecessor, p_tool => p_tool
  );
end
$$;

-- Appends the event `agent_failed` for a delivery.
create or replace function chatkit_private.append_failure_event(
  p_delivery public.deliveries,
  p_error text,
  p_actor_type text,
  p_actor_id text default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.append_event(
    p_delivery.session_id, chatkit_private.new_id(), 'agent_failed',
    jsonb_build_object(
      'deliveryId', p_delivery.id, 'eventId', p_delivery.about_event_id,
      'agentId', p_delivery.agent_id,
      'tool', p_delivery.tool, 'error', p_error
    ),
    p_actor_type, p_actor_id
  );
  perform chatkit_private.touch_session(p_delivery.session_id);
end
$$;

-- Marks a delivery as a dead letter and appends the event `agent_failed`. With p_ask, and while
-- the session is active, opens an escalation that lets a person approve another attempt.
create or replace function chatkit_private.dead_letter(
  p_delivery public.deliveries,
  p_error text,
  p_ask boolean,
  p_actor_type text,
  p_actor_id text default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'dead', p_error);
  perform chatkit_private.append_failure_event(p_delivery, p_error, p_actor_type, p_actor_id);
  if p_ask and chatkit_private.is_active(p_delivery.session_id) then
    perform chatkit_private.open_delivery_escalation(
      p_delivery, 'agent_failed',
      jsonb_build_object(
        'reason', format(
          '%s failed at %s (%s). Approve to try once more.',
          p_delivery.agent_id, p_delivery.tool, p_error
        ),
        'decisions', '["approve","reject"]'::jsonb
      ),
      'system', null, p_error
    );
  end if;
end
$$;

-- Marks a delivery whose call may or may not have been executed. Such a call is not repeated
-- without a decision, so an escalation asks for one. After the session's end the event
-- `agent_failed` is appended instead.
create or replace function chatkit_private.mark_outcome_unknown(
  p_delivery public.deliveries,
  p_error text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'unknown', p_error);
  if chatkit_private.is_active(p_delivery.session_id) then
    perform chatkit_private.open_delivery_escalation(
      p_delivery, 'outcome_unknown',
      jsonb_build_object(
        'reason', format(
          'It is not known whether %s did %s (%s). Approve to call it again.',
          p_delivery.agent_id, p_delivery.tool, p_error
        ),
        'decisions', '["approve","reject"]'::jsonb
      ),
      'system', null, p_error
    );
  else
    perform chatkit_private.append_failure_event(p_delivery, 'outcome_unknown', 'system');
  end if;
end
$$;

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

-- Cancels a delivery before its call, and appends the event `agent_failed` with the reason.
create or replace function chatkit_private.cancel_delivery(
  p_delivery public.deliveries,
  p_error text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'withdrawn', p_error);
  perform chatkit_private.append_failure_event(p_delivery, p_error, 'system');
end
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
  -- The lease of a running call has expired, so the call may have been executed. It is repeated
  -- only if the tool is idempotent, the requester may still use the agent, and the session is
  -- active.
  if p_delivery.status = 'running' and not (
    coalesce(v_tool.idempotent, false) and v_refusal is null
    and chatkit_private.is_active(p_delivery.session_id)
  ) then
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

-- Returns how many more calls an organisation may begin now. At most 16 run at once.
create or replace function chatkit_private.free_slots(p_org_id uuid) returns integer
language sql stable
set search_path = ''
as $$
  select greatest(0, 16 - count(*))::integer
  from public.deliveries as d
  where d.org_id = p_org_id and d.status = 'running' and d.lease_until > clock_timestamp()
$$;

-- Returns organisations that have a due queue, in random order. Usually fewer than 500 queues are
-- due, and reading those is enough. If more are due, they may all belong to one organisation. The
-- function then walks the organisations in hash order from a random start, until it has found 256
-- with a due queue.
create or replace function chatkit_private.due_organisations() returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_start integer := floor(random() * 4294967296 - 2147483648);
  v_from integer;
  v_read integer;
  v_org_ids uuid[];
begin
  select count(*), array_agg(distinct f.org_id)
  into v_read, v_org_ids
  from (
    select q.org_id
    from public.delivery_queues as q
    where q.due_at <= v_now
    order by q.due_at
    limit 500
  ) as f;

  if v_read = 500 then
    v_org_ids := '{}';
    foreach v_from in array array[v_start, -2147483648] loop
      v_org_ids := v_org_ids || array(
        with recursive organisations as (
          (
            select uuid_hash(q.org_id) as place, q.org_id
            from public.delivery_queues as q
            where uuid_hash(q.org_id) >= v_from
            order by uuid_hash(q.org_id), q.org_id
            limit 1
          )
          union all
          select n.place, n.org_id
          from organisations as o
          cross join lateral (
            select uuid_hash(q.org_id) as place, q.org_id
            from public.delivery_queues as q
            where (uuid_hash(q.org_id), q.org_id) > (o.place, o.org_id)
            order by uuid_hash(q.org_id), q.org_id
            limit 1
          ) as n
          -- The second pass ends where the first began.
          where v_from = v_start or n.place < v_start
        )
        select o.org_id
        from organisations as o
        where (v_from = v_start or o.place < v_start)
          and exists (
            select from public.delivery_queues as q where q.org_id = o.org_id and q.due_at <= v_now
          )
        limit 256 - cardinality(v_org_ids)
      );
    end loop;
  end if;

  return array(select o.org_id from unnest(v_org_ids) as o (org_id) order by random());
end
$$;

-- Returns the deliveries that a claim closed or held without a call.
create or replace function chatkit_private.closed_by_claim(p_claim_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', d.id,
    'org_id', d.org_id,
    'session_id', d.session_id,
    'agent_id', d.agent_id,
    'attempt', d.attempts,
    'status', d.status,
    'error', d.error
  ) order by d.session_id, d.seq), '[]')
  from public.deliveries as d
  where d.claim_id = p_claim_id and d.status <> 'running'
$$;

-- Returns the calls that a claim began and that are still running, or null if there are none.
create or replace function chatkit_private.begun_by_claim(p_claim_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_agg(c.call)
  from (
    select chatkit_private.delivery_payload(d) as call
    from public.deliveries as d
    where d.claim_id = p_claim_id and d.status = 'running' and d.lease_until > clock_timestamp()
    order by d.session_id
  ) as c
  -- Null if the tool was removed from the registration after the claim.
  where c.call is not null
$$;

-- Chooses up to p_limit sessions whose queue is due, and locks each session and its queue. Every
-- organisation gets the same share. An organisation without free slots, or one that another claim
-- is processing, is skipped. `more` reports that other queues may be due, and `served_org_ids`
-- lists the organisations that were not skipped.
create or replace function chatkit_private.lock_due_sessions(
  p_now timestamptz,
  p_limit integer,
  out session_ids uuid[],
  out served_org_ids uuid[],
  out more boolean
)
language plpgsql
set search_path = ''
-- A generic plan may scan the whole table; the plan for the actual organisation and time does not.
set plan_cache_mode = force_custom_plan
as $$
declare
  v_org_ids uuid[] := chatkit_private.due_organisations();
  v_share integer := greatest(1, ceil(p_limit::numeric / greatest(1, cardinality(v_org_ids))));
  v_left integer := p_limit;
  v_org_id uuid;
  v_slots integer;
  v_locked uuid[];
begin
  session_ids := '{}';
  served_org_ids := '{}';
  more := false;
  foreach v_org_id in array v_org_ids loop
    if v_left = 0 then
      more := true;
      exit;
    end if;
    -- One claim at a time in an organisation, so that two claims do not count the same free slots.
    if not pg_try_advisory_xact_lock(1835364455, hashtext(v_org_id::text)) then
      more := true;
      continue;
    end if;
    v_slots := chatkit_private.free_slots(v_org_id);
    continue when v_slots = 0;
    served_org_ids := served_org_ids || v_org_id;

    -- A session that another transaction has locked is claimed next time.
    v_locked := array(
      select q.session_id
      from public.delivery_queues as q
      join public.chat_sessions as s on s.id = q.session_id
      where q.org_id = v_org_id and q.due_at <= p_now
      order by q.due_at
      limit least(v_share, v_slots, v_left)
      for update of s, q skip locked
    );
    v_left := v_left - cardinality(v_locked);
    session_ids := session_ids || v_locked;
  end loop;
end
$$;

-- Begins the first call of a session that is due and may be made, and returns it; null if there is
-- none. A delivery that cannot be called is closed, which releases the next one. One claim closes
-- at most 20 deliveries of a session.
create or replace function chatkit_private.begin_due_call(
  p_session_id uuid,
  p_now timestamptz,
  p_lease_seconds integer,
  p_claim_id uuid
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_delivery public.deliveries;
  v_call jsonb;
begin
  for v_try in 1..20 loop
    select * into v_delivery
    from public.deliveries as d
    where d.session_id = p_session_id and d.status in ('pending', 'running')
    order by d.seq
    limit 1;
    exit when not found or coalesce(v_delivery.lease_until, v_delivery.next_attempt_at) > p_now;
    v_call := chatkit_private.begin_call(v_delivery, p_lease_seconds, p_claim_id);
    exit when v_call is not null;
    update public.deliveries as d
    set claim_id = p_claim_id
    where d.id = v_delivery.id and d.status <> 'running';
  end loop;
  return v_call;
end
$$;

create or replace function public.claim_deliveries(
  p_limit integer,
  p_lease_seconds integer,
  p_claim_id uuid default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_claim_id uuid := coalesce(p_claim_id, gen_random_uuid());
  v_calls jsonb := chatkit_private.begun_by_claim(p_claim_id);
  v_settled jsonb := chatkit_private.closed_by_claim(p_claim_id);
  v_locked record;
  v_session_id uuid;
  v_call jsonb;
  v_bytes bigint := 0;
  v_more boolean;
begin
  if v_calls is not null or v_settled <> '[]' then
    return jsonb_build_object(
      'deliveries', coalesce(v_calls, '[]'), 'settled', v_settled, 'next_due_in_seconds', 0
    );
  end if;

  v_calls := '[]';
  v_locked := chatkit_private.lock_due_sessions(
    v_now, least(greatest(coalesce(p_limit, 1), 1), 100)
  );
  v_more := v_locked.more;
  -- Sessions are processed in the order of their ids, as in every transaction that works on
  -- several.
  for v_session_id in select u.id from unnest(v_locked.session_ids) as u (id) order by u.id loop
    if v_bytes > 1572864 then
      v_more := true;
      exit;
    end if;
    v_call := chatkit_private.begin_due_call(v_session_id, v_now, p_lease_seconds, v_claim_id);
    if v_call is not null then
      v_calls := v_calls || v_call;
      v_bytes := v_bytes + octet_length(v_call::text);
    end if;
  end loop;

  -- The dispatcher claims again at once only if there are free slots. Otherwise the organisation
  -- is served when one of its calls is finished or a lease expires.
  v_more := v_more or exists (
    select
    from unnest(v_locked.served_org_ids) as o (id)
    where exists (
        select from public.delivery_queues as q where q.org_id = o.id and q.due_at <= v_now
      )
      and chatkit_private.free_slots(o.id) > 0
  );
  return jsonb_build_object(
    'deliveries', v_calls,
    'settled', chatkit_private.closed_by_claim(v_claim_id),
    'next_due_in_seconds', case
      when v_more then 0
      else (
        select greatest(0, extract(epoch from q.due_at - clock_timestamp()))
        from public.delivery_queues as q
        where q.due_at > v_now
        order by q.due_at
        limit 1
      )
    end
  );
end
$$;

comment on function public.claim_deliveries is
  'Begins up to p_limit calls (about 1.5 MiB), the same share for every organisation, and leases '
  'them to the caller. `settled` lists deliveries that were closed or held without a call, to be '
  'counted and logged like other outcomes: an expired lease, a tool that its policy forbids, a '
  'required decision, a requester who left. With the id of an earlier claim whose response was '
  'lost, returns that claim''s running calls and settled deliveries again. `next_due_in_seconds` '
  'is when to claim again: 0 if more is due now, null if nothing is queued.';
