-- Escalations of deliveries: opening one, and resuming the call after the decision.

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
    author_id, release_id, released_hash, run_id, follows_tool_output, depth, root_event_id,
    request_state
  ) values (
    chatkit_private.new_id(), p_delivery.org_id, p_delivery.user_id, p_delivery.session_id,
    p_escalation.decision_event_id,
    chatkit_private.next_delivery_seq(p_delivery.session_id), p_delivery.agent_id, p_delivery.tool,
    p_delivery.id,
    p_delivery.about_event_id, coalesce(p_inputs, p_delivery.inputs), p_escalation.id,
    case p_escalation.kind when 'agent_asked' then p_escalation.id else p_delivery.answer_id end,
    coalesce(p_author_id, p_delivery.author_id),
    case when p_released_hash is null then p_delivery.release_id else p_escalation.id end,
    coalesce(p_released_hash, p_delivery.released_hash), p_delivery.run_id,
    p_delivery.follows_tool_output, p_delivery.depth, p_delivery.root_event_id,
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
  v_call jsonb := chatkit_private.build_call(p_delivery);
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
    kind, delivery_id, subject, risk, approver, comment_required, author_id, predecessor_id,
    revision
  ) values (
    v_id, p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, v_event.id, 'orchestrator',
    p_ask ->> 'reason', array(select jsonb_array_elements_text(p_ask -> 'decisions')), v_schema,
    clock_timestamp() + make_interval(secs => v_seconds),
    p_kind, p_delivery.id,
    v_call
      || jsonb_build_object('kind', p_kind, 'deliveryId', p_delivery.id,
                            'risk', v_risk, 'approver', v_approver,
                            'ask', v_asked)
      || jsonb_strip_nulls(jsonb_build_object(
        'error', p_error, 'authorId', p_delivery.author_id, 'predecessorId', p_predecessor.id,
        'display', chatkit_private.subject_display(v_tool.display, v_call)
      )),
    v_risk, v_approver, coalesce(v_tool.comment_required, '{}'), p_delivery.author_id, p_predecessor.id,
    case when p_predecessor.id is null then 0 else p_predecessor.revision + 1 end
  );
  perform chatkit_private.touch_session(p_delivery.session_id);
end
$$;

-- Holds a delivery before its call and opens the escalation that its policy decision (p_verdict,
-- see authorize_call) requires: for an approval by another person, an edit, or a confirmation by
-- the requester. An edit must match the tool's input schema.
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
        'decisions', '["edit","reject"]'::jsonb,
        'schema', p_tool.input_schema
      )
      else jsonb_build_object(
        'reason', format(
          'An approval is needed before %s calls %s.', p_delivery.agent_id, p_delivery.tool
        ),
        'decisions', '["approve","edit","reject"]'::jsonb,
        'schema', p_tool.input_schema
      )
    end,
    'system', p_predecessor => p_predecessor, p_tool => p_tool
  );
end
$$;
