-- Results of calls: messages, events, follow-ups, handovers and retries.

-- Appends a message of the agent to the transcript, unless it is empty. The caller has locked the
-- session.
create or replace function chatkit_private.append_agent_message(
  p_delivery public.deliveries,
  p_content text
) returns void
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
  insert into public.chat_messages (
    org_id, user_id, session_id, id, seq, role, content, tool_invocation_id
  )
  values (p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, chatkit_private.new_id(),
          v_seq, 'agent', p_content, p_delivery.id::text);
  perform chatkit_private.touch_session(p_delivery.session_id);
end
$$;

-- Returns a plan for the follow-ups that an agent requested, in their order: {tool, payload} for
-- each that can be created, {agent_id, refused} with the reason for each that cannot.
create or replace function chatkit_private.plan_follow_ups(
  p_delivery public.deliveries,
  p_session public.chat_sessions,
  p_wanted jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_left integer :=
    least(8, chatkit_private.remaining_fan_out(p_delivery.session_id, p_delivery.root_event_id));
  v_wanted jsonb;
  v_payload jsonb;
  v_tool text;
  v_refused text;
  v_plan jsonb := '[]';
begin
  for v_wanted in
    select f.value
    from jsonb_array_elements(coalesce(nullif(p_wanted, 'null'), '[]'))
      with ordinality as f (value, position)
    order by f.position
    -- Further ones are ignored and do not appear in the plan.
    limit 20
  loop
    v_payload :=
      jsonb_build_object('agentId', v_wanted -> 'agent_id', 'fromAgentId', p_delivery.agent_id)
      || jsonb_strip_nulls(jsonb_build_object('objective', v_wanted -> 'objective'))
      || case when coalesce(v_wanted -> 'inputs', 'null') = 'null' then '{}'
              else jsonb_build_object('inputs', v_wanted -> 'inputs') end;
    v_tool := chatkit_private.follow_up_tool(p_session, v_wanted ->> 'agent_id');
    v_refused := case
      when p_session.status = 'ended' then 'session_ended'
      when jsonb_typeof(v_wanted -> 'agent_id') is distinct from 'string'
        or jsonb_typeof(v_payload -> 'objective') <> 'string'
        or jsonb_typeof(v_payload -> 'inputs') <> 'object'
        or octet_length(v_payload::text) > 16384 then 'invalid'
      -- The dispatcher checks the inputs against the schema of the tool that would receive them.
      when v_wanted -> 'invalid_inputs' = 'true' then 'invalid_inputs'
      when v_tool is null then 'unknown_agent'
      when not chatkit_private.agent_is_open_to(
        p_session.org_id, p_session.user_id, v_wanted ->> 'agent_id'
      )
        then 'agent_forbidden'
      when p_delivery.depth >= 5 then 'too_deep'
      when v_left = 0 then 'too_many'
    end;
    if v_refused is null then
      v_left := v_left - 1;
      v_plan := v_plan || jsonb_build_object('tool', v_tool, 'payload', v_payload);
    else
      v_plan := v_plan
        || jsonb_build_object('agent_id', left(v_wanted ->> 'agent_id', 63), 'refused', v_refused);
    end if;
  end loop;
  return v_plan;
end
$$;

-- Appends the event `agent_result`, whose payload has at most 16 KiB. If the result does not fit,
-- the notices are left out, or else the output, or else both, and `truncated` is set.
create or replace function chatkit_private.append_result_event(
  p_delivery public.deliveries,
  p_outcome jsonb,
  p_refused jsonb
) returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_base jsonb := jsonb_build_object(
    'deliveryId', p_delivery.id, 'eventId', p_delivery.about_event_id,
    'agentId', p_delivery.agent_id, 'tool', p_delivery.tool, 'status', 'completed'
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
  return chatkit_private.append_event(
    p_delivery.session_id, chatkit_private.new_id(), 'agent_result', v_payload,
    'agent', p_delivery.agent_id
  );
end
$$;

-- Completes a delivery: appends the result, then creates the follow-ups, then hands the session
-- over. Follow-ups and handovers that are not allowed are listed in the result. They are not
-- errors, because the agent's own work is done.
create or replace function chatkit_private.complete_delivery(
  p_delivery public.deliveries,
  p_outcome jsonb
) returns void
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
  -- The answer that continues with the next agent after a handover.
  v_run_id uuid := case when p_delivery.in_turn then p_delivery.run_id end;
  v_event public.chat_events;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_delivery.session_id;
  perform chatkit_private.close_delivery(p_delivery.id, 'done');
  v_plan := chatkit_private.plan_follow_ups(p_delivery, v_session, p_outcome -> 'follow_ups');
  if v_handover is not null then
    v_refusal := chatkit_private.handover_rejection(
      v_session, p_delivery.agent_id, v_handover ->> 'agent_id', v_run_id
    );
  end if;
  select jsonb_strip_nulls(jsonb_build_object(
    'followUpsRefused',
    jsonb_agg(
      jsonb_build_object('agentId', f.value -> 'agent_id', 'reason', f.value -> 'refused')
      order by f.position
    )
      filter (where f.value ? 'refused'),
    'handoverRefused',
    case when v_refusal is not null
      then jsonb_build_object(
        'agentId', left(v_handover ->> 'agent_id', 63), 'reason', v_refusal
      ) end
  ))
  into v_refused
  from jsonb_array_elements(v_plan) with ordinality as f (value, position);
  perform chatkit_private.append_result_event(p_delivery, p_outcome, v_refused);
  perform chatkit_private.touch_session(p_delivery.session_id);

  for v_follow_up in
    select f.value from jsonb_array_elements(v_plan) with ordinality as f (value, position)
    where f.value ? 'tool'
    order by f.position
  loop
    v_event := chatkit_private.append_event(
      p_delivery.session_id, chatkit_private.new_id(), 'agent_follow_up', v_follow_up -> 'payload',
      'agent', p_delivery.agent_id
    );
    insert into public.deliveries (
      id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, depth,
      root_event_id
    ) values (
      chatkit_private.new_id(), v_event.org_id, v_event.user_id, v_event.session_id, v_event.id,
      chatkit_private.next_delivery_seq(v_event.session_id),
      v_event.payload ->> 'agentId', v_follow_up ->> 'tool', v_event.id,
      p_delivery.depth + 1, p_delivery.root_event_id
    );
  end loop;

  if v_handover is not null and v_refusal is null then
    perform chatkit_private.hand_over_by_agent(
      v_session, p_delivery.agent_id, v_handover, p_delivery.root_event_id, p_delivery.depth + 1,
      v_run_id
    );
  end if;
end
$$;

-- Schedules another attempt, or makes the delivery a dead letter if no attempts are left or the
-- session has ended. The delay grows exponentially up to five minutes and is random, so that
-- dispatchers do not retry at the same moment. It is not shorter than the delay that the server
-- requested, up to one hour.
create or replace function chatkit_private.retry_delivery(
  p_delivery public.deliveries,
  p_outcome jsonb
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_max_attempts integer;
begin
  select v.max_attempts into v_max_attempts
  from public.agent_servers as v
  where v.org_id = p_delivery.org_id and v.agent_id = p_delivery.agent_id;

  if not chatkit_private.is_active(p_delivery.session_id) then
    perform chatkit_private.dead_letter(p_delivery, p_outcome ->> 'error', false, 'system');
  elsif p_delivery.attempts >= coalesce(v_max_attempts, 0) then
    perform chatkit_private.dead_letter(p_delivery, p_outcome ->> 'error', true, 'system');
  else
    update public.deliveries as d
    set status = 'pending',
        error = p_outcome ->> 'error',
        lease_until = null,
        next_attempt_at = clock_timestamp() + make_interval(secs => greatest(
          random() * least(300, power(2, d.attempts)),
          least(3600, coalesce((p_outcome ->> 'retry_after_seconds')::double precision, 0))
        ))
    where d.id = p_delivery.id;
  end if;
end
$$;

-- Holds a delivery and opens an escalation, because the agent needs an answer to continue. If the
-- session has ended, cancels the delivery instead.
create or replace function chatkit_private.escalate_for_agent(
  p_delivery public.deliveries,
  p_outcome jsonb
) returns void
language plpgsql
set search_path = ''
as $$
begin
  if not chatkit_private.is_active(p_delivery.session_id) then
    perform chatkit_private.close_delivery(p_delivery.id, 'withdrawn', 'session_ended');
    perform chatkit_private.append_failure_event(p_delivery, 'session_ended', 'system');
    return;
  end if;
  update public.deliveries as d
  set status = 'asked', error = null, lease_until = null, finished_at = clock_timestamp(),
      request_state = nullif(p_outcome -> 'request_state', 'null')
  where d.id = p_delivery.id;
  perform chatkit_private.open_delivery_escalation(
    p_delivery, 'agent_asked', p_outcome -> 'ask', 'agent', p_delivery.agent_id
  );
  -- The agent cannot know the id of the escalation that its result opens.
  update public.chat_tasks as t
  set escalation_id = x.id
  from jsonb_array_elements(coalesce(nullif(p_outcome -> 'tasks', 'null'), '[]')) as g (task)
  cross join public.chat_escalations as x
  where t.session_id = p_delivery.session_id
    and t.id = g.task ->> 'id'
    and t.requires_hitl
    and t.escalation_id is null
    and x.delivery_id = p_delivery.id
    and x.status = 'open';
end
$$;

create or replace function public.finish_delivery(
  p_delivery_id uuid,
  p_fence bigint,
  p_outcome jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_delivery public.deliveries := chatkit_private.lock_delivery(p_delivery_id);
  v_in_turn boolean;
  v_constraint text;
  v_column text;
begin
  if (v_delivery.finished_fence = p_fence) is not true then
    if v_delivery.status <> 'running' or (v_delivery.fence = p_fence) is not true then
      return jsonb_build_object('finished', false);
    end if;

    -- In the self-hosted chat the model reads the message and speaks to the user.
    if v_delivery.run_id is null then
      perform chatkit_private.append_agent_message(v_delivery, p_outcome ->> 'message');
    end if;
    if coalesce(p_outcome -> 'tasks', 'null') not in ('null', '[]') then
      perform public.record_tasks(v_delivery.org_id, v_delivery.session_id, p_outcome -> 'tasks');
    end if;
    case p_outcome ->> 'kind'
      when 'completed' then
        perform chatkit_private.complete_delivery(v_delivery, p_outcome);
      when 'failed' then
        if v_delivery.in_turn then
          -- A model learns at once that its call failed, and may make another one. If a person
          -- approved or replayed the first one later, it would be made twice.
          perform chatkit_private.close_delivery(
            v_delivery.id, 'withdrawn', p_outcome ->> 'error'
          );
          perform chatkit_private.append_failure_event(
            v_delivery, p_outcome ->> 'error', 'agent', v_delivery.agent_id
          );
        else
          perform chatkit_private.dead_letter(
            v_delivery, p_outcome ->> 'error', true, 'agent', v_delivery.agent_id
          );
        end if;
      when 'ask' then
        perform chatkit_private.escalate_for_agent(v_delivery, p_outcome);
      when 'retry' then
        perform chatkit_private.retry_delivery(v_delivery, p_outcome);
      when 'unknown' then
        perform chatkit_private.mark_outcome_unknown(v_delivery, p_outcome ->> 'error');
      else
        raise sqlstate 'PT422' using message = 'invalid_outcome', detail = 'kind';
    end case;

    v_in_turn := v_delivery.in_turn;
    update public.deliveries as d
    set finished_fence = p_fence, finished_as = d.status
    where d.id = p_delivery_id
    returning * into v_delivery;
    perform chatkit_private.append_call_result(v_delivery, v_in_turn, p_outcome);
  end if;
  return jsonb_build_object(
    'finished', true,
    'status', v_delivery.finished_as,
    'call_output', chatkit_private.stored_call_output(v_delivery),
    'call_items', chatkit_private.held_call_items(v_delivery),
    'next_agent', chatkit_private.next_agent(v_delivery.run_id, v_delivery.agent_id),
    'live_chatkit_session_ids',
    chatkit_private.uncancelled_chatkit_session_ids(v_delivery.session_id)
  );
exception
  -- The dispatcher validates a result before it calls this function. A result that still does not
  -- fit is rejected as a whole, and the dispatcher can finish the call as `failed`.
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_outcome',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

comment on function public.finish_delivery is
  'Records the outcome of a call; a repeated call returns the same response. `finished` is '
  'false, and nothing changes, if p_fence is outdated because another claim took the delivery '
  'over. `call_output` is the output that a model receives for a call of its turn, and null for '
  'any other call. `call_items` are the task and the card of a call about which a person must '
  'decide. `next_agent` is the agent that continues the answer, if the call has handed its session '
  'over within the turn. After the session''s end the result is recorded, but no follow-up or '
  'handover '
  'begins. '
  '`live_chatkit_session_ids` lists the ChatKit sessions that must still be cancelled at OpenAI. '
  'An outcome that violates a constraint fails with invalid_outcome.';
