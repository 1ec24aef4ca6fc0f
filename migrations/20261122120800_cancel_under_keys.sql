-- Cancelling under an idempotency key. Cancelling is the same however often it is done; the key only must not be another
-- session's.

-- The function of before goes: with two of one name a call without a key would be ambiguous.
drop function if exists public.cancel_session(uuid, uuid, uuid);

-- Ends a session and says which ChatKit sessions remain to be cancelled. On a session that has ended, for whatever reason, it
-- changes nothing and says what still remains.
create or replace function public.cancel_session(
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
  v_claim := private.claim_key(p_org_id, p_user_id, 'cancel_session', p_idempotency_key, p_request_hash, p_session_id);
  v_session := private.lock_session_of(p_org_id, p_user_id, p_session_id);
  if v_session.status = 'active' then
    perform private.end_session(p_session_id, 'cancelled', 'user', p_user_id::text);
  end if;
  perform private.hold_key(v_claim, p_session_id);
  return jsonb_build_object(
    'session', private.session_json(p_session_id),
    'live_chatkit_session_ids', private.retired_chatkit_session_ids(p_session_id)
  );
end
$$;

revoke all on function public.cancel_session(uuid, uuid, uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid, uuid, uuid, text, text) to service_role;
