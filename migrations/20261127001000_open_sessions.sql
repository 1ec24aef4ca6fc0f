-- Opening, renewing and cancelling a session, and the requests to OpenAI that this takes.

-- Writes a request to OpenAI down, once, and charges for it. Says what is left of the limit; null where nothing was charged,
-- because it stood there already or, without an id, ChatKit is not configured.
create or replace function chatkit_private.request_chatkit_session(p_session public.chat_sessions, p_request_id uuid) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if p_request_id is null then
    return null;
  end if;
  insert into public.chatkit_sessions (id, org_id, user_id, session_id, agent_id)
  values (p_request_id, p_session.org_id, p_session.user_id, p_session.id, p_session.agent_id)
  on conflict (id) do nothing;
  if found then
    return chatkit_private.consume_rate_limit(p_session, 'secret', 1);
  end if;
  if not exists (
    select from public.chatkit_sessions as c where c.id = p_request_id and c.session_id = p_session.id
  ) then
    raise sqlstate 'PT409' using message = 'chatkit_request_taken';
  end if;
  return null;
end
$$;

-- Refuses a session that was just made where its user has too many active ones with it. Counted under a lock, so that of
-- sessions that are opened at once each counts those before it; it counts no further than the limit.
create or replace function chatkit_private.check_active_session_limit(p_org_id uuid, p_user_id uuid) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_most integer := (chatkit_private.effective_limits(p_org_id)).active_sessions_user;
  v_active integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('active sessions of ' || p_org_id || ' ' || p_user_id, 0));
  select count(*) into v_active
  from (
    select from public.chat_sessions as s
    where s.org_id = p_org_id and s.user_id = p_user_id and s.status = 'active'
    limit v_most + 1
  ) as active;
  if v_active > v_most then
    raise sqlstate 'PT409' using message = 'too_many_sessions', detail = v_most::text;
  end if;
end
$$;

-- A session under the id that the caller minted, locked: the one that a call before made with the same arguments, or a new one.
create or replace function chatkit_private.create_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent_id text,
  p_channel text,
  p_metadata jsonb
) returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  insert into public.chatkit_users (org_id, user_id) values (p_org_id, p_user_id)
  on conflict (org_id, user_id) do nothing;

  insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, metadata)
  values (p_session_id, p_org_id, p_user_id, p_channel, p_agent_id, p_metadata)
  on conflict (id) do nothing;
  if found then
    perform chatkit_private.check_active_session_limit(p_org_id, p_user_id);
  end if;

  select * into v_session
  from public.chat_sessions as s
  where s.id = p_session_id and s.org_id = p_org_id and s.user_id = p_user_id
  for update;
  if not found then
    raise sqlstate 'PT409' using message = 'session_id_taken';
  end if;
  if v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  if (v_session.agent_id, v_session.channel, v_session.metadata) is distinct from (p_agent_id, p_channel, p_metadata) then
    raise sqlstate 'PT422' using message = 'session_mismatch';
  end if;
  return v_session;
end
$$;

-- Opens a session, or answers the one that the key stands for: with its secret at hand, or with leave to ask OpenAI for one.
-- A session that failed to open is none; under its key another is opened. A replay is no sign of life, and what became of the
-- session since (another agent, say) is no mismatch.
create or replace function chatkit_private.open_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent_id text,
  p_channel text,
  p_metadata jsonb,
  p_chatkit_request_id uuid default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_min_life_seconds integer default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
  v_session public.chat_sessions;
  v_agent public.agents;
  v_made boolean := false;
  v_live jsonb;
  v_limit jsonb;
  v_constraint text;
  v_column text;
begin
  v_claim := chatkit_private.claim_idempotency_key(
    p_org_id, p_user_id, 'create_session', p_idempotency_key, p_request_hash,
    p_chatkit_request_id => p_chatkit_request_id
  );
  if v_claim.session_id is not null then
    v_session := chatkit_private.lock_session_of(p_org_id, p_user_id, v_claim.session_id);
  end if;

  if v_session.id is null or v_session.end_reason = 'failed' then
    v_agent := chatkit_private.openable_agent(p_org_id, p_user_id, p_agent_id);
    v_made := not exists (select from public.chat_sessions as s where s.id = p_session_id);
    v_session := chatkit_private.create_session(p_org_id, p_user_id, p_session_id, p_agent_id, p_channel, p_metadata);
  elsif v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  else
    v_agent := chatkit_private.openable_agent(p_org_id, p_user_id, v_session.agent_id);
    v_live := chatkit_private.usable_secret(v_session.id, p_min_life_seconds);
  end if;

  if v_live is null then
    v_limit := chatkit_private.request_chatkit_session(v_session, p_chatkit_request_id);
  end if;
  -- A session costs no less where it gets no secret, ChatKit not being configured.
  if v_made and p_chatkit_request_id is null then
    v_limit := chatkit_private.consume_rate_limit(v_session, 'secret', 1);
  end if;
  perform chatkit_private.lease_idempotency_key(
    v_claim, v_session.id, case when v_live is null then p_chatkit_request_id end, p_lease_seconds
  );
  return jsonb_build_object(
    'session', chatkit_private.session_response(v_session.id),
    'upstream', chatkit_private.chatkit_params(p_user_id, v_agent),
    'live', v_live,
    'replayed', v_session.id <> p_session_id,
    'limit', v_limit
  );
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_session', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

create or replace function public.open_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent_id text,
  p_channel text,
  p_metadata jsonb,
  p_chatkit_request_id uuid default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_min_life_seconds integer default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := chatkit_private.effective_claims(p_org_id, p_user_id, p_claims);
  v_opened jsonb := chatkit_private.open_session(
    p_org_id, p_user_id, p_session_id, p_agent_id, p_channel, p_metadata, p_chatkit_request_id, p_idempotency_key,
    p_request_hash, p_lease_seconds, p_min_life_seconds
  );
  v_id uuid := (v_opened #>> '{session,id}')::uuid;
begin
  if v_id = any (chatkit_private.readable_ids(v_claims, array[v_id])) then
    return v_opened;
  end if;
  if (v_opened ->> 'replayed')::boolean then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  raise sqlstate 'PT403' using message = 'row_policy_refused';
end
$$;

comment on function public.open_session is 
  'Opens a session, see chatkit_private.open_session. Which one it answers with is known afterwards, so '
  'that is when it is looked at: a new one that its user could not read is not made, an earlier one '
  'is not found.';

-- Refuses a refresh while OpenAI is being asked for the session already, so that those that come at once share one secret. A
-- request that is older than any function runs has died; the refresh's own is there when the call is repeated.
create or replace function chatkit_private.reject_concurrent_refresh(
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
create or replace function chatkit_private.renew_chatkit_session(
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
  v_claim := chatkit_private.claim_idempotency_key(
    p_org_id, p_user_id, 'create_session', p_idempotency_key, p_request_hash, p_session_id, p_chatkit_request_id
  );
  -- The same request to OpenAI is the same attempt, which only did not hear its answer.
  v_replayed := v_claim.session_id is not null
    and (v_claim.chatkit_request_id = p_chatkit_request_id) is not true;
  v_session := chatkit_private.lock_session_of(p_org_id, p_user_id, p_session_id);

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
  v_agent := chatkit_private.openable_agent(p_org_id, p_user_id, v_session.agent_id);

  if p_purpose = 'resume' and not v_replayed then
    perform chatkit_private.touch_session(p_session_id);
  end if;
  if p_rejected and not v_replayed then
    perform chatkit_private.reject_secrets(p_session_id);
  end if;
  v_live := chatkit_private.usable_secret(p_session_id, p_min_life_seconds);
  if v_live is null and p_purpose = 'refresh' and p_chatkit_request_id is not null then
    perform chatkit_private.reject_concurrent_refresh(v_session, p_chatkit_request_id, p_lease_seconds);
  end if;
  if v_live is null then
    v_limit := chatkit_private.request_chatkit_session(v_session, p_chatkit_request_id);
  end if;
  perform chatkit_private.lease_idempotency_key(
    v_claim, p_session_id, case when v_live is null then p_chatkit_request_id end, p_lease_seconds
  );
  return jsonb_build_object(
    'session', chatkit_private.session_response(p_session_id),
    'upstream', chatkit_private.chatkit_params(p_user_id, v_agent),
    'live', v_live,
    'replayed', v_replayed,
    'limit', v_limit
  );
end
$$;

-- Asks for another client secret, see chatkit_private.renew_chatkit_session.
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
  p_rejected boolean default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := chatkit_private.effective_claims(p_org_id, p_user_id, p_claims);
  v_readable boolean := p_session_id = any (chatkit_private.readable_ids(v_claims, array[p_session_id]));
begin
  return chatkit_private.renew_chatkit_session(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end, p_purpose,
    p_min_life_seconds, p_chatkit_request_id, p_agent_id, p_metadata, case when v_readable then p_idempotency_key end,
    p_request_hash, p_lease_seconds, p_rejected
  );
end
$$;

comment on function public.renew_chatkit_session is 
  'The others know beforehand what they are about. What the caller may not read becomes an id that '
  'does not exist, without the idempotency key, which could tell that it does: so all that follows '
  'is as for such an id, and no lock is taken.';

create or replace function public.record_chatkit_session(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_request_id uuid,
  p_chatkit_session_id text,
  p_expires_at timestamptz,
  p_sealed_secret text,
  p_sealing_key_id text
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_request public.chatkit_sessions;
  v_of_use boolean;
  v_constraint text;
  v_column text;
begin
  perform chatkit_private.lock_idempotency_key(p_org_id, p_chatkit_request_id);
  v_session := chatkit_private.lock_session(p_org_id, p_session_id);
  select * into v_request
  from public.chatkit_sessions as c
  where c.id = p_chatkit_request_id and c.session_id = p_session_id;
  if not found then
    raise sqlstate 'PT404' using message = 'chatkit_request_not_found';
  end if;

  if v_request.recorded_at is null then
    v_of_use := v_session.status = 'active'
      and v_session.agent_id = v_request.agent_id
      and v_request.failed_at is null;
    update public.chatkit_sessions as c
    set recorded_at = clock_timestamp(),
        chatkit_session_id = p_chatkit_session_id,
        expires_at = p_expires_at,
        sealed_secret = case when v_of_use then p_sealed_secret end,
        sealing_key_id = case when v_of_use then p_sealing_key_id end
    where c.id = p_chatkit_request_id
    returning * into v_request;
  elsif v_request.chatkit_session_id is distinct from p_chatkit_session_id then
    raise sqlstate 'PT409' using message = 'chatkit_request_conflict';
  end if;

  perform chatkit_private.release_idempotency_key(p_org_id, p_chatkit_request_id, v_request.sealed_secret is not null);
  -- On a repeat too this is the truth of now: a secret erased since the first call must not be handed out by the second.
  return jsonb_build_object(
    'recorded', v_request.sealed_secret is not null,
    'session', to_jsonb(v_session)
  );
exception
  when unique_violation then
    raise sqlstate 'PT409' using message = 'chatkit_session_taken';
  when check_violation or not_null_violation then
    -- PostgreSQL's own error would quote the row.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_chatkit_session', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.record_chatkit_session is 
  'Records OpenAI''s answer. The id and expiry are kept whatever happened meanwhile, so that a '
  'cancel can find them; the secret only while the session is active and with the agent it was '
  'asked for, and the attempt was not given up, by itself or by the one that took over. `recorded` '
  'says which: if false, the caller hands nothing out and cancels upstream. Whether this or a '
  'cancel comes first, the session''s lock decides, and no third thing happens.';

create or replace function public.fail_chatkit_session(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_request_id uuid,
  p_end_session boolean
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  perform chatkit_private.lock_idempotency_key(p_org_id, p_chatkit_request_id);
  v_session := chatkit_private.lock_session(p_org_id, p_session_id);
  update public.chatkit_sessions as c
  set failed_at = coalesce(c.failed_at, clock_timestamp()), sealed_secret = null, sealing_key_id = null
  where c.id = p_chatkit_request_id and c.session_id = p_session_id;
  if not found then
    raise sqlstate 'PT404' using message = 'chatkit_request_not_found';
  end if;

  perform chatkit_private.release_idempotency_key(p_org_id, p_chatkit_request_id, false);
  if p_end_session and chatkit_private.failed_to_open(v_session) then
    perform chatkit_private.end_session(p_session_id, 'failed', 'system', null);
  end if;
  return jsonb_build_object('session', chatkit_private.session_response(p_session_id));
end
$$;

comment on function public.fail_chatkit_session is 
  'Notes that a request failed, so that the next attempt under its key goes on at once. With '
  'p_end_session (the session was only being opened) the session ends as failed, unless somebody '
  'got in by another request meanwhile, from another tab say, or took this one over: a session in '
  'use stays.';

-- Ends a session and says which ChatKit sessions remain to be cancelled. On a session that has ended, for whatever reason, it
-- changes nothing and says what still remains.
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
  v_claim := chatkit_private.claim_idempotency_key(p_org_id, p_user_id, 'cancel_session', p_idempotency_key, p_request_hash, p_session_id);
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
  v_readable boolean := p_session_id = any (chatkit_private.readable_ids(v_claims, array[p_session_id]));
begin
  return chatkit_private.cancel_session(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end,
    case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

comment on function public.cancel_session is 'Ends a session, see chatkit_private.cancel_session.';
