-- Deciding escalations.

-- Returns why a person with this role (see member_role) may not take a decision now, or null if the
-- person may. check_decision raises the reason as an error, and may_decide shows it. The requester
-- and every approver may reject. Other decisions are restricted: where another person must decide,
-- neither the requester nor the author of the call may; only the requester may confirm.
create or replace function chatkit_private.decision_rejection(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_role text,
  p_decision text
) returns text
language sql
set search_path = ''
as $$
  select case
    when p_role is null then 'not_a_member'
    when not r.is_approver and not r.is_own then 'approver_role_required'
    when p_escalation.status <> 'open' then p_escalation.status
    -- It may have expired although expire_escalations has not closed it yet.
    when p_escalation.expires_at <= clock_timestamp() then 'expired'
    when p_decision = 'reject' and r.is_own then null
    when p_decision <> 'reject' and p_escalation.approver = 'other' and r.is_own
      then 'own_request'
    when p_decision <> 'reject' and p_escalation.approver = 'other' and r.is_author
      then 'author_may_not_decide'
    when p_decision <> 'reject' and p_escalation.kind = 'confirm' and not r.is_own
      then 'requester_must_confirm'
    when (p_decision = any (p_escalation.decisions)) is not true then 'decision_not_offered'
  end
  from (
    select
      p_role in ('owner', 'admin', 'approver') as is_approver,
      p_user_id = p_escalation.user_id as is_own,
      p_user_id is not distinct from p_escalation.author_id
        or p_user_id::text is not distinct from p_escalation.subject #>> '{decision,decidedBy}'
        as is_author
  ) as r
$$;

-- Raises the error of a rejected decision. A person who may not read the escalation gets the same
-- error as for one that does not exist.
create or replace function chatkit_private.raise_decision_rejection(
  p_escalation public.chat_escalations,
  p_reason text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  case
    when p_reason is null then
      return;
    when p_reason = 'approver_role_required' then
      raise sqlstate 'PT404' using message = 'escalation_not_found';
    when p_reason = 'resolved' then
      raise sqlstate 'PT409' using message = 'escalation_resolved', detail = jsonb_build_object(
        'decision', p_escalation.decision,
        'decidedBy', p_escalation.decided_by,
        'decidedAt', p_escalation.decided_at
      )::text;
    when p_reason in ('expired', 'withdrawn') then
      raise sqlstate 'PT409' using message = 'escalation_closed';
    when p_reason = 'decision_not_offered' then
      raise sqlstate 'PT422' using message = p_reason;
    else
      raise sqlstate 'PT403' using message = p_reason;
  end case;
end
$$;

-- Returns the decisions that a person with this role may take now, as {decisions, because}.
-- `because` is the reason why others of the escalation's decisions are missing. It is the same for
-- all of them, or null if none is missing.
create or replace function chatkit_private.may_decide(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_role text
) returns jsonb
language sql
set search_path = ''
as $$
  select jsonb_build_object(
    'decisions',
    coalesce(jsonb_agg(d.decision order by d.position) filter (where r.reason is null), '[]'),
    'because', min(r.reason) filter (where r.reason <> 'decision_not_offered')
  )
  from unnest(
    p_escalation.decisions
      || case when 'reject' = any (p_escalation.decisions) then '{}' else '{reject}'::text[] end
  ) with ordinality as d (decision, position)
  cross join lateral chatkit_private.decision_rejection(
    p_escalation, p_user_id, p_role, d.decision
  ) as r (reason)
$$;

-- Rejects a decision that may not be made. Returns true if the same person already made the same
-- decision, and false if the escalation is open. The caller has locked the session and the
-- escalation. The requester may withdraw without a comment.
create or replace function chatkit_private.check_decision(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_decision text,
  p_subject_hash text,
  p_answer jsonb,
  p_comment text
) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_reason text := chatkit_private.decision_rejection(
    p_escalation, p_user_id, chatkit_private.member_role(p_escalation.org_id, p_user_id), p_decision
  );
begin
  if v_reason in ('not_a_member', 'approver_role_required') then
    perform chatkit_private.raise_decision_rejection(p_escalation, v_reason);
  end if;
  if (p_subject_hash = p_escalation.subject_hash) is not true then
    raise sqlstate 'PT409' using message = 'subject_changed';
  end if;
  if v_reason = 'resolved'
     and (p_escalation.decided_by, p_escalation.decision, p_escalation.answer, p_escalation.comment)
       is not distinct from (p_user_id, p_decision, p_answer, p_comment) then
    return true;
  end if;
  perform chatkit_private.raise_decision_rejection(p_escalation, v_reason);

  if p_decision in ('edit', 'respond') and p_answer is null then
    raise sqlstate 'PT422' using message = 'answer_required';
  end if;
  if p_decision = 'edit' and jsonb_typeof(p_answer) <> 'object' then
    raise sqlstate 'PT422' using message = 'invalid_answer';
  end if;
  if p_comment is null and p_decision = any (p_escalation.comment_required)
     and (p_decision = 'reject' and p_user_id = p_escalation.user_id) is not true then
    raise sqlstate 'PT422' using message = 'comment_required';
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
  p_answer jsonb,
  p_comment text
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
      comment = p_comment, decided_by = p_user_id,
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
