-- Deciding: one person's word on exactly what was asked. Membership and role are read in the deciding transaction, the session's
-- lock makes one winner, and the decision sets going what it was about and nothing else.

-- Refuses a decision that may not be taken; says whether it was already, by the same person and in the same way. The session
-- and the escalation are locked.
create or replace function private.check_decision(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_decision text,
  p_subject_hash text,
  p_answer jsonb
) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_role text := private.member_role(p_escalation.org_id, p_user_id);
  v_own boolean := p_escalation.user_id = p_user_id;
begin
  if v_role is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  -- To who may not read it, it does not exist.
  if v_role not in ('owner', 'admin', 'approver') and not v_own then
    raise sqlstate 'PT404' using message = 'escalation_not_found';
  end if;
  if v_own and (p_escalation.risk <> 'low' or p_escalation.approver = 'other' or p_escalation.kind = 'policy') then
    raise sqlstate 'PT403' using message = 'own_request';
  end if;
  if (p_subject_hash = p_escalation.subject_hash) is not true then
    raise sqlstate 'PT409' using message = 'subject_changed';
  end if;

  if p_escalation.status = 'resolved' then
    if (p_escalation.decided_by, p_escalation.decision, p_escalation.answer)
       is not distinct from (p_user_id, p_decision, p_answer) then
      return true;
    end if;
    raise sqlstate 'PT409' using message = 'escalation_resolved', detail = jsonb_build_object(
      'decision', p_escalation.decision, 'decidedBy', p_escalation.decided_by, 'decidedAt', p_escalation.decided_at
    )::text;
  end if;
  -- Its time may be over before anybody sweeps.
  if p_escalation.status <> 'open' or p_escalation.expires_at <= clock_timestamp() then
    raise sqlstate 'PT409' using message = 'escalation_closed';
  end if;
  if (p_decision = any (p_escalation.decisions)) is not true then
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

-- Closes an escalation by the decision that an event says, and does what follows from it.
create or replace function private.resolve_escalation(
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
  v_inputs jsonb := case p_decision when 'edit' then p_answer end;
  v_call jsonb;
begin
  update public.chat_escalations as x
  set status = 'resolved', closed_at = v_now, decision = p_decision, answer = p_answer, decided_by = p_user_id,
      decided_at = v_now, decision_event_id = p_event.id
  where x.id = p_escalation.id
  returning * into strict v_escalation;
  perform private.touch_session(v_escalation.session_id);

  if v_escalation.kind = 'browser' then
    -- It releases nothing; agents may want to know, as of any event.
    perform private.route_event(p_event, p_event.id);
    return v_escalation;
  end if;

  select * into strict v_delivery from public.deliveries as d where d.id = v_escalation.delivery_id for update;
  v_call := private.call_of(v_delivery, v_inputs);
  -- Edited inputs pass the policy again.
  if v_inputs is not null and not private.edit_is_allowed(private.tool_of(v_delivery), v_call) then
    raise sqlstate 'PT422' using message = 'policy_forbids';
  end if;

  if v_escalation.kind in ('agent_failed', 'outcome_unknown') then
    -- The same call under the same key; rejected, it stays as it is.
    if p_decision = 'approve' then
      perform private.requeue_delivery(v_delivery.id);
    end if;
  elsif v_escalation.kind = 'policy' and p_decision = 'reject' then
    perform private.settle_delivery(v_delivery.id, 'withdrawn', 'rejected');
  else
    perform private.settle_delivery(v_delivery.id, 'done');
    perform private.resume_delivery(
      v_delivery, p_event.id, v_escalation.id, v_inputs,
      -- What a policy's approver has approved is this call. What an agent asked about is no leave from the policy: inputs
      -- edited there are looked at when the call is begun.
      case v_escalation.kind when 'policy' then private.hash_of(v_call) end
    );
  end if;
  return v_escalation;
end
$$;

-- Decides an escalation. A repeat of the winning decision is answered the same; everybody else hears who won. p_event_id is the
-- id of the event that says it; one is made where it is left out.
create or replace function public.decide_escalation(
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
  v_role text := private.member_role(p_org_id, p_user_id);
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
  -- Part of the search, so that a stranger does not even wait for the session's lock.
  select x.session_id into v_session_id
  from public.chat_escalations as x
  where x.id = p_escalation_id
    and x.org_id = p_org_id
    and (x.user_id = p_user_id or v_role in ('owner', 'admin', 'approver'));
  if not found then
    raise sqlstate 'PT404' using message = 'escalation_not_found';
  end if;

  v_claim := private.claim_key(p_org_id, p_user_id, 'decide_escalation', p_idempotency_key, p_request_hash);
  perform private.lock_session(p_org_id, v_session_id);
  select * into strict v_escalation from public.chat_escalations as x where x.id = p_escalation_id for update;
  v_replayed := private.check_decision(v_escalation, p_user_id, p_decision, p_subject_hash, v_answer);

  if not v_replayed then
    v_event := private.append_event(
      v_session_id, coalesce(p_event_id, private.new_id()), 'hitl_resolved',
      jsonb_build_object('escalationId', p_escalation_id, 'decision', p_decision)
        || case when v_answer is null then '{}' else jsonb_build_object('answer', v_answer) end,
      'user', p_user_id::text
    );
    v_escalation := private.resolve_escalation(v_escalation, v_event, p_user_id, p_decision, v_answer);
  end if;
  select * into strict v_event
  from public.chat_events as e
  where e.session_id = v_session_id and e.id = v_escalation.decision_event_id;
  perform private.hold_key(v_claim, null);
  return jsonb_build_object(
    'escalation', to_jsonb(v_escalation),
    'event', private.event_json(v_event),
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

revoke all on function private.check_decision(public.chat_escalations, uuid, text, text, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.resolve_escalation(public.chat_escalations, public.chat_events, uuid, text, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.decide_escalation(uuid, uuid, uuid, text, text, jsonb, uuid, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.decide_escalation(uuid, uuid, uuid, text, text, jsonb, uuid, text, text) to service_role;
