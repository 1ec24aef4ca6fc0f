-- Cancelling sessions.

-- Ends a session and returns the ChatKit sessions that remain to be cancelled. If the session has
-- already ended, for any reason, it changes nothing and returns those that still remain.
create or replace function chatkit_private.cancel_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_idempotency_key text default null,
  p_request_hash text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
  v_session public.chat_sessions;
begin
  v_claim := chatkit_private.claim_idempotency_key(
    p_org_id, p_user_id, 'cancel_session', p_idempotency_key, p_request_hash, p_session_id
  );
  v_session := chatkit_private.lock_session_of(p_org_id, p_user_id, p_session_id);
  if v_session.status = 'active' then
    perform chatkit_private.end_session(p_session_id, 'cancelled', 'user', p_user_id::text);
  end if;
  perform chatkit_private.lease_idempotency_key(v_claim, p_session_id);
  return jsonb_build_object(
    'session', chatkit_private.session_response(p_session_id),
    'live_chatkit_session_ids', chatkit_private.uncancelled_chatkit_session_ids(p_session_id)
  );
end
$$;

create or replace function public.cancel_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
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
    p_session_id = any (chatkit_private.readable_ids(v_claims, array[p_session_id]));
begin
  return chatkit_private.cancel_session(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end,
    case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

comment on function public.cancel_session is
  'Ends a session and returns the ChatKit sessions that remain to be cancelled. A session that the '
  'row policies hide from the caller is treated as by renew_chatkit_session.';
