-- Opening a session under an idempotency key: the key is claimed, the session opened and the request to OpenAI written down in
-- one transaction. Whatever dies afterwards, the next attempt under the key finds the session and brings it to its end.

-- The function of before goes: with two of one name a call without a key would be ambiguous.
drop function if exists public.open_session(uuid, uuid, uuid, text, text, jsonb, uuid);

-- A client secret at hand that lives long enough, still sealed; or null.
create or replace function private.live_secret(p_session_id uuid, p_min_life_seconds integer) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  -- A secret that ran out is of no use to anybody, so it does not lie about.
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id and c.sealed_secret is not null and c.expires_at <= clock_timestamp();

  -- A sealed secret is there only while it is recorded, not cancelled and of the current agent: constraints and triggers see to
  -- that.
  return (
    select jsonb_build_object(
      'chatkit_session_id', c.chatkit_session_id,
      'sealed_secret', c.sealed_secret,
      'sealing_key_id', c.sealing_key_id,
      'expires_at', c.expires_at
    )
    from public.chatkit_sessions as c
    where c.session_id = p_session_id
      and c.sealed_secret is not null
      and c.expires_at >= clock_timestamp() + make_interval(secs => coalesce(p_min_life_seconds, 0))
    order by c.expires_at desc, c.id desc
    limit 1
  );
end
$$;

-- Writes a request to OpenAI down, once, and charges for it. Says what is left of the limit; null where nothing was charged,
-- because it stood there already or, without an id, ChatKit is not configured.
create or replace function private.ask_for_secret(p_session public.chat_sessions, p_request_id uuid) returns jsonb
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
    return private.charge(p_session, 'secret', 1);
  end if;
  if not exists (
    select from public.chatkit_sessions as c where c.id = p_request_id and c.session_id = p_session.id
  ) then
    raise sqlstate 'PT409' using message = 'chatkit_request_taken';
  end if;
  return null;
end
$$;

-- The user's active sessions, for their number.
create index if not exists chat_sessions_active_by_user
  on public.chat_sessions (org_id, user_id) where status = 'active';

-- Refuses a session that was just made where its user has too many active ones with it. Counted under a lock, so that of
-- sessions that are opened at once each counts those before it; it counts no further than the limit.
create or replace function private.bound_active_sessions(p_org_id uuid, p_user_id uuid) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_most integer := (private.limits_of(p_org_id)).active_sessions_user;
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
create or replace function private.new_session(
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
    perform private.bound_active_sessions(p_org_id, p_user_id);
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
  v_claim := private.claim_key(
    p_org_id, p_user_id, 'create_session', p_idempotency_key, p_request_hash,
    p_chatkit_request_id => p_chatkit_request_id
  );
  if v_claim.session_id is not null then
    v_session := private.lock_session_of(p_org_id, p_user_id, v_claim.session_id);
  end if;

  if v_session.id is null or v_session.end_reason = 'failed' then
    v_agent := private.openable_agent(p_org_id, p_user_id, p_agent_id);
    v_made := not exists (select from public.chat_sessions as s where s.id = p_session_id);
    v_session := private.new_session(p_org_id, p_user_id, p_session_id, p_agent_id, p_channel, p_metadata);
  elsif v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  else
    v_agent := private.openable_agent(p_org_id, p_user_id, v_session.agent_id);
    v_live := private.live_secret(v_session.id, p_min_life_seconds);
  end if;

  if v_live is null then
    v_limit := private.ask_for_secret(v_session, p_chatkit_request_id);
  end if;
  -- A session costs no less where it gets no secret, ChatKit not being configured.
  if v_made and p_chatkit_request_id is null then
    v_limit := private.charge(v_session, 'secret', 1);
  end if;
  perform private.hold_key(
    v_claim, v_session.id, case when v_live is null then p_chatkit_request_id end, p_lease_seconds
  );
  return jsonb_build_object(
    'session', private.session_json(v_session.id),
    'upstream', private.upstream_json(p_user_id, v_agent),
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

revoke all on function private.live_secret(uuid, integer) from public, anon, authenticated, service_role;
revoke all on function private.ask_for_secret(public.chat_sessions, uuid) from public, anon, authenticated, service_role;
revoke all on function private.bound_active_sessions(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function private.new_session(uuid, uuid, uuid, text, text, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.open_session(
  uuid, uuid, uuid, text, text, jsonb, uuid, text, text, integer, integer
) from public, anon, authenticated, service_role;
grant execute on function public.open_session(
  uuid, uuid, uuid, text, text, jsonb, uuid, text, text, integer, integer
) to service_role;
