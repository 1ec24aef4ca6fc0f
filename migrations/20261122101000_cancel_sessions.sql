-- Cancelling: marked here first, cancelled at OpenAI then, confirmed here last. Whatever fails in between, a repeat finishes.

-- Ends a session and says which ChatKit sessions remain to be cancelled. On a session that has ended, for whatever reason, it
-- changes nothing and says what still remains.
create or replace function public.cancel_session(p_org_id uuid, p_user_id uuid, p_session_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session_of(p_org_id, p_user_id, p_session_id);
begin
  if v_session.status = 'active' then
    perform private.end_session(p_session_id, 'cancelled', 'user', p_user_id::text);
  end if;
  return jsonb_build_object(
    'session', private.session_json(p_session_id),
    'live_chatkit_session_ids', private.retired_chatkit_session_ids(p_session_id)
  );
end
$$;

-- OpenAI has cancelled these, or does not know them any more. Ids that are not this session's are passed over.
create or replace function public.confirm_chatkit_cancelled(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_session_ids text[]
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform private.lock_session(p_org_id, p_session_id);
  update public.chatkit_sessions as c
  set cancelled_at = clock_timestamp(), sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id
    and c.chatkit_session_id = any (p_chatkit_session_ids)
    and c.cancelled_at is null;
  return '{}';
end
$$;

revoke all on function public.cancel_session(uuid, uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.confirm_chatkit_cancelled(uuid, uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid, uuid, uuid) to service_role;
grant execute on function public.confirm_chatkit_cancelled(uuid, uuid, text[]) to service_role;
