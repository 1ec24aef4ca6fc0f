-- Claiming escalations: a person marks one as being worked on, so that two people do not work on
-- the same one.

-- Locks an escalation for a change of its claim. Fails with escalation_claimed if another person
-- has claimed it; the detail contains that claim.
create or replace function chatkit_private.lock_claimable(
  p_org_id uuid,
  p_user_id uuid,
  p_role text,
  p_escalation_id uuid
) returns public.chat_escalations
language plpgsql
set search_path = ''
as $$
declare
  v_escalation public.chat_escalations;
begin
  if p_role is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  -- The permission is part of this query, so a user without it never waits for the row's lock.
  select * into v_escalation
  from public.chat_escalations as x
  where x.id = p_escalation_id
    and x.org_id = p_org_id
    and (x.user_id = p_user_id or p_role in ('owner', 'admin', 'approver'))
  for update;
  if not found then
    raise sqlstate 'PT404' using message = 'escalation_not_found';
  end if;
  if v_escalation.status = 'open' and v_escalation.claimed_by <> p_user_id
     and v_escalation.claimed_until > clock_timestamp() then
    raise sqlstate 'PT409' using message = 'escalation_claimed', detail = jsonb_build_object(
      'claimedBy', v_escalation.claimed_by,
      'claimedByName', chatkit_private.person_name(p_org_id, v_escalation.claimed_by),
      'claimedUntil', v_escalation.claimed_until
    )::text;
  end if;
  return v_escalation;
end
$$;

create or replace function chatkit_private.claim_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid,
  p_seconds integer
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_role text := chatkit_private.member_role(p_org_id, p_user_id);
  v_escalation public.chat_escalations;
begin
  v_escalation := chatkit_private.lock_claimable(p_org_id, p_user_id, v_role, p_escalation_id);
  perform chatkit_private.raise_decision_rejection(
    v_escalation, chatkit_private.may_decide(v_escalation, p_user_id, v_role) ->> 'because'
  );
  update public.chat_escalations as x
  set claimed_by = p_user_id,
      claimed_until = clock_timestamp() + make_interval(secs => p_seconds)
  where x.id = p_escalation_id
  returning * into strict v_escalation;
  return jsonb_build_object(
    'escalation', chatkit_private.escalation_response(v_escalation, p_user_id, v_role)
  );
end
$$;

create or replace function chatkit_private.release_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_role text := chatkit_private.member_role(p_org_id, p_user_id);
  v_escalation public.chat_escalations;
begin
  v_escalation := chatkit_private.lock_claimable(p_org_id, p_user_id, v_role, p_escalation_id);
  update public.chat_escalations as x
  set claimed_by = null, claimed_until = null
  where x.id = p_escalation_id and x.status = 'open' and x.claimed_by is not null
  returning * into v_escalation;
  if not found then
    select * into strict v_escalation
    from public.chat_escalations as x
    where x.id = p_escalation_id;
  end if;
  return jsonb_build_object(
    'escalation', chatkit_private.escalation_response(v_escalation, p_user_id, v_role)
  );
end
$$;

create or replace function public.claim_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid,
  p_seconds integer default 600,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  return chatkit_private.claim_escalation(
    p_org_id,
    p_user_id,
    chatkit_private.readable_escalation_id(p_org_id, p_user_id, p_claims, p_escalation_id),
    p_seconds
  );
end
$$;

comment on function public.claim_escalation is
  'Records for p_seconds that the user works on an escalation, and returns {escalation}. Only a '
  'person who may take all its decisions may claim it. Fails with escalation_claimed if another '
  'person has claimed it; the detail contains that claim. A second claim by the same person '
  'extends the first one.';

create or replace function public.release_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  return chatkit_private.release_escalation(
    p_org_id,
    p_user_id,
    chatkit_private.readable_escalation_id(p_org_id, p_user_id, p_claims, p_escalation_id)
  );
end
$$;

comment on function public.release_escalation is
  'Ends the user''s claim of an escalation, if there is one, and returns {escalation}. Fails with '
  'escalation_claimed if another person has claimed it.';
