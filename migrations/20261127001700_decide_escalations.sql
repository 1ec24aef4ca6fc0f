-- Deciding escalations.

-- Rejects a decision that this person may not make. The requester and every approver may reject.
-- Other decisions are restricted: where another person must decide, neither the requester nor the
-- author of the call may; only the requester may confirm.
create or replace function chatkit_private.check_decider(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_decision text
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_role text := chatkit_private.member_role(p_escalation.org_id, p_user_id);
  v_own boolean := p_escalation.user_id = p_user_id;
begin
  if v_role is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  -- A person who may not read the escalation gets the same error as for one that does not exist.
  if v_role not in ('owner', 'admin', 'approver') and not v_own then
    raise sqlstate 'PT404' using message = 'escalation_not_found';
  end if;
  if p_decision = 'reject' then
    return;
  end if;
  if p_escalation.approver = 'other' then
    if v_own then
      raise sqlstate 'PT403' using message = 'own_request';
    end if;
    if p_user_id = p_escalation.author_id
       or p_user_id::text = p_escalation.subject #>> '{decision,decidedBy}' then
      raise sqlstate 'PT403' using message = 'author_may_not_decide';
    end if;
  end if;
  if p_escalation.kind = 'confirm' and not v_own then
    raise sqlstate 'PT403' using message = 'requester_must_confirm';
  end if;
end
$$;

-- Rejects a decision that may not be made. Returns true if the same person already made the same
-- decision, and false if the escalation is open. The caller has locked the session and the
-- escalation.
create or replace function chatkit_private.check_decision(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_decision text,
  p_subject_hash text,
  p_answer jsonb
) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.check_decider(p_escalation, p_user_id, p_decision);
  if (p_subject_hash = p_escalation.subject_hash) is not true then
    raise sqlstate 'PT409' using message = 'subject_changed';
  end if;

  if p_escalation.status = 'resolved' then
    if (p_escalation.decided_by, p_escalation.decision, p_escalation.answer)
       is not distinct from (p_user_id, p_decision, p_answer) then
      return true;
    end if;
    raise sqlstate 'PT409' using message = 'escalation_resolved', detail = jsonb_build_object(
      'decision', p_escalation.decision,
      'decidedBy', p_escalation.decided_by,
      'decidedAt', p_escalation.decided_at
    )::text;
  end if;
  -- It may have expired although expire_escalations has not closed it yet.
  if p_escalation.status <> 'open' or p_escalation.expires_at <= clock_timestamp() then
    raise sqlstate 'PT409' using message = 'escalation_closed';
  end if;
  if (p_decision = any (p_escalation.decisions)) is not true
     and (p_decision = 'reject' and p_user_id = p_escalation.user_id) is not true then
    raise sqlstate 'PT422' using message = 'decision_not_offered';
  end if;
  if p_decision in ('edit', 'respond') and p_answer is null then
    raise sqlstate 'PT422' using message = 'answer_required';
  end if;
  if p_decision = 'edit' and jsonb_typeof(p_answer) <> 'object' then
    raise sqlstate 'PT422' using message = 'invalid_answer';
  end if;
  return false;
end
$$;

-- Resumes a delivery with a call that a decision changed: an edit, or an answer to the agent. If
-- the changed call needs an approval, opens another escalation, which the author may not decide.
-- It is opened here and not when the call begins, so that the author's request fails if there is
-- no other approver. If the registration allows it, an approver's edit that only lowers the amount
-- needs no second approval.
create or replace function chatkit_private.resume_with_new_call(
  p_delivery public.deliveries,
  p_escalation public.chat_escalations
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_tool public.agent_tools := chatkit_private.callable_tool(p_delivery);
  v_inputs jsonb := case p_escalation.decision when 'edit' then p_escalation.answer end;
  v_author uuid := p_escalation.decided_by;
  v_written public.deliveries :=
    chatkit_private.resume_delivery(p_delivery, p_escalation, v_inputs, v_author);
  v_call jsonb := chatkit_private.build_call(v_written);
  v_verdict text := chatkit_private.delivery_decision(v_written, v_tool, v_call);
begin
  if v_verdict in ('never', 'unreadable') then
    -- An edit that the policy forbids is rejected. After an answer, begin_call applies the policy.
    if v_inputs is not null then
      raise sqlstate 'PT422' using message = 'policy_forbids';
    end if;
    return;
  end if;
  if v_tool.release_lowered_amount
     and v_inputs is not null
     and v_author <> p_escalation.user_id
     and chatkit_private.member_role(p_escalation.org_id, v_author)
       in ('owner', 'admin', 'approver')
     and chatkit_private.only_lowers_amount(
       v_tool, chatkit_private.subject_call(p_escalation.subject), v_call
     ) then
    update public.deliveries as d
    set release_id = p_escalation.id, released_hash = chatkit_private.content_hash(v_call)
    where d.id = v_written.id;
    return;
  end if;
  if v_verdict <> 'ask' then
    return;
  end if;

  if p_escalation.revision >= 5 then
    raise sqlstate 'PT409' using message = 'too_many_edits';
  end if;
  if not chatkit_private.has_other_approver(
    p_escalation.org_id,
    array[p_escalation.user_id, v_author, (v_call #>> '{decision,decidedBy}')::uuid]
  ) then
    raise sqlstate 'PT409' using message = 'no_other_approver';
  end if;
  perform chatkit_private.escalate_before_call(v_written, v_tool, 'ask', p_escalation);
end
$$;

-- Closes an escalation with a decision that an event records, and carries the decision out.
create or replace function chatkit_private.resolve_escalation(
  p_escalation public.chat_escalations,
  p_event public.chat_events,
  p_user_id uuid,
  p_decision text,
  p_answer jsonb
) returns public.chat_escalations
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_escalation public.chat_escalations;
  v_delivery public.deliveries;
begin
  update public.chat_escalations as x
  set status = 'resolved', closed_at = v_now, decision = p_decision, answer = p_answer,
      decided_by = p_user_id,
      decided_at = v_now, decision_event_id = p_event.id
  where x.id = p_escalation.id
  returning * into strict v_escalation;
  perform chatkit_private.touch_session(v_escalation.session_id);

  if v_escalation.kind = 'browser' then
    -- It does not release a delivery. The decision is routed to agents like any other event.
    perform chatkit_private.route_event(p_event, p_event.id);
    return v_escalation;
  end if;

  select * into strict v_delivery
  from public.deliveries as d
  where d.id = v_escalation.delivery_id
  for update;
  if v_escalation.kind in ('agent_failed', 'outcome_unknown') then
    -- An approval repeats the same call with the same key. After a rejection the delivery stays
    -- closed.
    if p_decision = 'approve' then
      perform chatkit_private.requeue_delivery(v_delivery.id, v_escalation.id);
    end if;
    return v_escalation;
  end if;
  if p_decision = 'reject'
     and (v_escalation.kind <> 'agent_asked' or 'reject' <> all (v_escalation.decisions)) then
    perform chatkit_private.close_delivery(v_delivery.id, 'withdrawn', 'rejected');
    return v_escalation;
  end if;

  if p_decision = 'approve' and v_escalation.kind in ('policy', 'confirm')
     and v_delivery.fence > 0 then
    -- The call was made before and may have been executed, so it is repeated with its own key and
    -- in the form that was displayed.
    update public.deliveries as d
    set escalation_id = v_escalation.id, release_id = v_escalation.id,
        released_hash =
          chatkit_private.content_hash(chatkit_private.subject_call(v_escalation.subject))
    where d.id = v_delivery.id;
    perform chatkit_private.requeue_delivery(v_delivery.id, v_escalation.id);
    return v_escalation;
  end if;
  perform chatkit_private.close_delivery(v_delivery.id, 'done');
  if p_decision = 'edit'
     or (v_escalation.kind = 'agent_asked' and p_decision <> 'reject' and p_answer is not null) then
    perform chatkit_private.resume_with_new_call(v_delivery, v_escalation);
  else
    perform chatkit_private.resume_delivery(
      v_delivery, v_escalation,
      -- An approval releases the call that was displayed. An answer to the agent's question does
      -- not release a call.
      p_released_hash => case
        when v_escalation.kind in ('policy', 'confirm') then
          chatkit_private.content_hash(chatkit_private.subject_call(v_escalation.subject))
      end
    );
  end if;
  return v_escalation;
end
$$;

-- Decides an escalation. If the same person repeats the decision that was recorded, the response
-- is the same. Every other decision on a resolved escalation fails with escalation_resolved, whose
-- detail contains the recorded decision. p_event_id is the id of the event `hitl_resolved`;
-- without it, an id is generated.
create or replace function chatkit_private.decide_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid,
  p_decision text,
  p_subject_hash text,
  p_answer jsonb default null,
  p_event_id uuid default null,
  p_idempotency_key text default null,
  p_request_hash text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_role text := chatkit_private.member_role(p_org_id, p_user_id);
  v_answer jsonb := nullif(p_answer, 'null');
  v_session_id uuid;
  v_claim public.idempotency_keys;
  v_escalation public.chat_escalations;
  v_event public.chat_events;
  v_replayed boolean;
  v_constraint text;
  v_column text;
begin
  if v_role is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  -- The permission is part of this query, so a user without it never waits for the session's lock.
  select x.session_id into v_session_id
  from public.chat_escalations as x
  where x.id = p_escalation_id
    and x.org_id = p_org_id
    and (x.user_id = p_user_id or v_role in ('owner', 'admin', 'approver'));
  if not found then
    raise sqlstate 'PT404' using message = 'escalation_not_found';
  end if;

  v_claim := chatkit_private.claim_idempotency_key(
    p_org_id, p_user_id, 'decide_escalation', p_idempotency_key, p_request_hash
  );
  perform chatkit_private.lock_session(p_org_id, v_session_id);
  select * into strict v_escalation
  from public.chat_escalations as x
  where x.id = p_escalation_id
  for update;
  v_replayed :=
    chatkit_private.check_decision(v_escalation, p_user_id, p_decision, p_subject_hash, v_answer);

  if not v_replayed then
    v_event := chatkit_private.append_event(
      v_session_id, coalesce(p_event_id, chatkit_private.new_id()), 'hitl_resolved',
      jsonb_build_object('escalationId', p_escalation_id, 'decision', p_decision)
        || case when v_answer is null then '{}' else jsonb_build_object('answer', v_answer) end,
      'user', p_user_id::text
    );
    v_escalation :=
      chatkit_private.resolve_escalation(v_escalation, v_event, p_user_id, p_decision, v_answer);
  end if;
  select * into strict v_event
  from public.chat_events as e
  where e.session_id = v_session_id and e.id = v_escalation.decision_event_id;
  perform chatkit_private.lease_idempotency_key(v_claim, null);
  return jsonb_build_object(
    'escalation', to_jsonb(v_escalation),
    'event', chatkit_private.event_response(v_event),
    'replayed', v_replayed
  );
exception
  when unique_violation then
    raise sqlstate 'PT409' using message = 'event_conflict', detail = p_event_id::text;
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_decision',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

create or replace function public.decide_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid,
  p_decision text,
  p_subject_hash text,
  p_answer jsonb default null,
  p_event_id uuid default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := chatkit_private.effective_claims(p_org_id, p_user_id, p_claims);
  v_readable boolean :=
    p_escalation_id = any (chatkit_private.readable_ids(v_claims, '{}', array[p_escalation_id]));
begin
  -- An escalation that the policies hide is replaced by a random id, so it gives the same error as
  -- one that does not exist.
  return chatkit_private.decide_escalation(
    p_org_id, p_user_id, case when v_readable then p_escalation_id else gen_random_uuid() end,
    p_decision, p_subject_hash, p_answer, p_event_id,
    case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

comment on function public.decide_escalation is
  'Decides an escalation that the policies let the user read, and returns {escalation, event, '
  'replayed}. If the same person repeats the decision that was recorded, the response is the '
  'same; any other decision fails with escalation_resolved, whose detail contains the recorded '
  'one. p_subject_hash must be the hash of the escalation''s subject, otherwise the decision '
  'fails with subject_changed.';
