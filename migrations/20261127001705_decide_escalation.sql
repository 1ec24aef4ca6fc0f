-- Escalations as the API returns them, and the RPC that decides one.

-- Returns the name of a member of an organisation: `name` in the user's app metadata, which only
-- the project's operator can write, otherwise the e-mail address. Users can write their user
-- metadata, so a name there proves nothing.
create or replace function chatkit_private.person_name(p_org_id uuid, p_user_id uuid) returns text
language sql stable
set search_path = ''
as $$
  select left(
    coalesce(
      case jsonb_typeof(u.raw_app_meta_data -> 'name')
        when 'string' then nullif(btrim(u.raw_app_meta_data ->> 'name'), '')
      end,
      nullif(u.email, '')
    ),
    320
  )
  from auth.users as u
  where u.id = p_user_id
    and chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
    and u.deleted_at is null
$$;

-- Returns an escalation for a person with this role (see member_role). A claim is shown while it
-- lasts.
create or replace function chatkit_private.escalation_response(
  p_escalation public.chat_escalations,
  p_user_id uuid,
  p_role text
) returns jsonb
language sql
set search_path = ''
as $$
  select to_jsonb(p_escalation)
    - '{org_id,delivery_id,revision,decision_event_id,agent_id,tool,request_hash}'::text[]
    - 'change_xid'
    || jsonb_build_object(
      'user_name', chatkit_private.person_name(p_escalation.org_id, p_escalation.user_id),
      'author_name', chatkit_private.person_name(p_escalation.org_id, p_escalation.author_id),
      'decided_by_name', chatkit_private.person_name(p_escalation.org_id, p_escalation.decided_by),
      'claimed_by', c.claimed_by,
      'claimed_by_name', chatkit_private.person_name(p_escalation.org_id, c.claimed_by),
      'claimed_until', c.claimed_until,
      'may_decide', chatkit_private.may_decide(p_escalation, p_user_id, p_role)
    )
  from (select p_escalation.claimed_by, p_escalation.claimed_until) as e
  left join lateral (select e.claimed_by, e.claimed_until) as c
    on p_escalation.status = 'open' and e.claimed_until > clock_timestamp()
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
  p_request_hash text default null,
  p_comment text default null
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
  v_replayed := chatkit_private.check_decision(
    v_escalation, p_user_id, p_decision, p_subject_hash, v_answer, p_comment
  );

  if not v_replayed then
    v_event := chatkit_private.append_event(
      v_session_id, coalesce(p_event_id, chatkit_private.new_id()), 'hitl_resolved',
      jsonb_build_object('escalationId', p_escalation_id, 'decision', p_decision)
        || case when v_answer is null then '{}' else jsonb_build_object('answer', v_answer) end
        || jsonb_strip_nulls(jsonb_build_object('comment', p_comment)),
      'user', p_user_id::text
    );
    v_escalation := chatkit_private.resolve_escalation(
      v_escalation, v_event, p_user_id, p_decision, v_answer, p_comment
    );
  end if;
  select * into strict v_event
  from public.chat_events as e
  where e.session_id = v_session_id and e.id = v_escalation.decision_event_id;
  perform chatkit_private.lease_idempotency_key(v_claim, null);
  return jsonb_build_object(
    'escalation', chatkit_private.escalation_response(v_escalation, p_user_id, v_role),
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
  p_comment text default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_id uuid :=
    chatkit_private.readable_escalation_id(p_org_id, p_user_id, p_claims, p_escalation_id);
begin
  return chatkit_private.decide_escalation(
    p_org_id, p_user_id, v_id, p_decision, p_subject_hash, p_answer, p_event_id,
    case when v_id = p_escalation_id then p_idempotency_key end, p_request_hash, p_comment
  );
end
$$;

comment on function public.decide_escalation is
  'Decides an escalation that the policies let the user read, and returns {escalation, event, '
  'replayed}. If the same person repeats the decision that was recorded, the response is the '
  'same; any other decision fails with escalation_resolved, whose detail contains the recorded '
  'one. p_subject_hash must be the hash of the escalation''s subject, otherwise the decision '
  'fails with subject_changed.';
