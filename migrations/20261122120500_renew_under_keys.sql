-- Asking for another client secret under an idempotency key.

-- The function of before goes, for the same reason as open_session's, and so does what only those two needed.
drop function if exists public.renew_chatkit_session(uuid, uuid, uuid, text, integer, uuid, text, jsonb);
drop function if exists private.request_chatkit_session(public.chat_sessions, uuid);

-- The holder of a secret says that it does not work: no secret of the session is handed out again, and the ChatKit sessions are
-- cancelled as retired ones are. One that was made within the last seconds stays: it was made for somebody else who said the
-- same of the same secret, since a request does not tell which one it means.
create or replace function private.reject_secrets(p_session_id uuid) returns void
language sql
set search_path = ''
as $$
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id
    and c.sealed_secret is not null
    and c.recorded_at <= clock_timestamp() - interval '10 seconds'
$$;

-- Refuses a refresh while OpenAI is being asked for the session already, so that those that come at once share one secret. A
-- request that is older than any function runs has died; the refresh's own is there when the call is repeated.
create or replace function private.refuse_second_request(
  p_session public.chat_sessions,
  p_request_id uuid,
  p_lease_seconds integer
) returns void
language plpgsql
set search_path = ''
as $$
begin
  if exists (
    select from public.chatkit_sessions as c
    where c.session_id = p_session.id
      and c.agent_id = p_session.agent_id
      and c.recorded_at is null
      and c.failed_at is null
      and c.requested_at > clock_timestamp() - make_interval(secs => coalesce(p_lease_seconds, 30))
      and c.id <> p_request_id
  ) then
    raise sqlstate 'PT409' using message = 'still_running', detail = '1';
  end if;
end
$$;

-- Another client secret for a session: the one at hand if it lives long enough, else leave to ask OpenAI for one.
-- `resume` is a person coming back, on another device perhaps; `refresh` is ChatKit.js asking by itself, which is no sign of
-- life, and neither is a replay of either. A replay does not reject (p_rejected) what was made in answer to its first.
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
  p_lease_seconds integer default null,
  p_rejected boolean default null
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

  if p_purpose is null or p_purpose not in ('resume', 'refresh') or (p_rejected and p_purpose <> 'refresh') then
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
  if p_rejected and not v_replayed then
    perform private.reject_secrets(p_session_id);
  end if;
  v_live := private.live_secret(p_session_id, p_min_life_seconds);
  if v_live is null and p_purpose = 'refresh' and p_chatkit_request_id is not null then
    perform private.refuse_second_request(v_session, p_chatkit_request_id, p_lease_seconds);
  end if;
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

revoke all on function private.reject_secrets(uuid) from public, anon, authenticated, service_role;
revoke all on function private.refuse_second_request(public.chat_sessions, uuid, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer, boolean
) from public, anon, authenticated, service_role;
grant execute on function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer, boolean
) to service_role;
