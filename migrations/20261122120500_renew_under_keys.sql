-- Asking for another client secret under an idempotency key.

-- The function of before goes, for the same reason as open_session's, and so does what only those two needed.
drop function if exists public.renew_chatkit_session(uuid, uuid, uuid, text, integer, uuid, text, jsonb);
drop function if exists private.request_chatkit_session(public.chat_sessions, uuid);

-- Another client secret for a session: the one at hand if it lives long enough, else leave to ask OpenAI for one.
-- `resume` is a person coming back, on another device perhaps; `refresh` is ChatKit.js asking by itself, which is no sign of
-- life, and neither is a replay of either.
create or replace function public.renew_chatkit_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_purpose text,
  p_min_life_seconds integer,
  p_chatkit_request_id uuid default null,
  p_agent_id text default null,
  p_metadata jsonb default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
  v_session public.chat_sessions;
  v_agent public.agents;
  v_replayed boolean;
  v_live jsonb;
  v_limit jsonb;
begin
  v_claim := private.claim_key(
    p_org_id, p_user_id, 'create_session', p_idempotency_key, p_request_hash, p_session_id, p_chatkit_request_id
  );
  -- The same request to OpenAI is the same attempt, which only did not hear its answer.
  v_replayed := v_claim.session_id is not null
    and (v_claim.chatkit_request_id = p_chatkit_request_id) is not true;
  v_session := private.lock_session_of(p_org_id, p_user_id, p_session_id);

  if p_purpose is null or p_purpose not in ('resume', 'refresh') then
    raise sqlstate 'PT422' using message = 'invalid_purpose';
  end if;
  if v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  -- Handover changes the agent, nothing changes the metadata; what the caller leaves out, they don't claim.
  if not v_replayed and (p_agent_id <> v_session.agent_id or p_metadata <> v_session.metadata) then
    raise sqlstate 'PT422' using message = 'session_mismatch';
  end if;
  v_agent := private.openable_agent(p_org_id, p_user_id, v_session.agent_id);

  if p_purpose = 'resume' and not v_replayed then
    perform private.touch_session(p_session_id);
  end if;
  v_live := private.live_secret(p_session_id, p_min_life_seconds);
  if v_live is null then
    v_limit := private.ask_for_secret(v_session, p_chatkit_request_id);
  end if;
  perform private.hold_key(
    v_claim, p_session_id, case when v_live is null then p_chatkit_request_id end, p_lease_seconds
  );
  return jsonb_build_object(
    'session', private.session_json(p_session_id),
    'upstream', private.upstream_json(p_user_id, v_agent),
    'live', v_live,
    'replayed', v_replayed,
    'limit', v_limit
  );
end
$$;

revoke all on function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer
) from public, anon, authenticated, service_role;
grant execute on function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer
) to service_role;
