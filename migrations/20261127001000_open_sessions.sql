-- Opening and renewing sessions.

-- Rejects a session that was just inserted if its user now has too many active ones. The count is
-- taken under a lock, so that each of several concurrent transactions counts those before it. It
-- stops at the limit.
create or replace function chatkit_private.check_active_session_limit(
  p_org_id uuid,
  p_user_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_most integer := (chatkit_private.effective_limits(p_org_id)).active_sessions_user;
  v_active integer;
begin
  perform pg_advisory_xact_lock(
    hashtextextended('active sessions of ' || p_org_id || ' ' || p_user_id, 0)
  );
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

-- Creates and locks a session under the id that the caller generated. If an earlier call with the
-- same arguments created it, returns that session.
create or replace function chatkit_private.create_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent public.agents,
  p_channel text,
  p_metadata jsonb
) returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_is_new boolean;
begin
  perform chatkit_private.require_channel(p_agent, p_channel);
  insert into public.chatkit_users (org_id, user_id) values (p_org_id, p_user_id)
  on conflict (org_id, user_id) do nothing;

  insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, provider, metadata)
  values (
    p_session_id, p_org_id, p_user_id, p_channel, p_agent.id, p_agent.provider, p_metadata
  )
  on conflict (id) do nothing;
  v_is_new := found;
  if v_is_new then
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
  if (v_session.agent_id, v_session.channel, v_session.metadata)
     is distinct from (p_agent.id, p_channel, p_metadata) then
    raise sqlstate 'PT422' using message = 'session_mismatch';
  end if;
  if v_is_new then
    perform chatkit_private.copy_model_settings(v_session, p_agent);
  end if;
  return v_session;
end
$$;

-- Opens a session, or returns the one that the idempotency key identifies. `live` is its stored
-- secret; if null, the caller may request one if the deployment has the session's provider. A
-- session that failed to open is not returned for its key; another one is opened. A replay does not
-- count as activity. Changes to the session since then, for example another agent, are not a
-- mismatch.
create or replace function chatkit_private.open_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent_id text,
  p_channel text,
  p_metadata jsonb,
  p_chatkit_request_id uuid default null,
  p_providers text[] default '{openai_hosted}',
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_min_life_seconds integer default null,
  p_labels jsonb default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
  v_session public.chat_sessions;
  v_agent public.agents;
  v_made boolean := false;
  v_request_id uuid;
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
    v_session := chatkit_private.create_session(
      p_org_id, p_user_id, p_session_id, v_agent, p_channel, p_metadata
    );
    perform chatkit_private.label_session(v_session.id, p_labels);
  elsif v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  else
    v_agent := chatkit_private.openable_agent(p_org_id, p_user_id, v_session.agent_id);
    v_live := chatkit_private.usable_secret(v_session.id, p_min_life_seconds, p_claims);
  end if;

  if v_live is null and v_session.provider = any (p_providers) then
    v_request_id := p_chatkit_request_id;
    v_limit := chatkit_private.request_chatkit_session(v_session, v_request_id, p_claims);
  end if;
  -- A new session costs the same when it gets no secret because its provider is not configured.
  if v_made and v_request_id is null then
    v_limit := chatkit_private.consume_rate_limit(v_session, 'secret', 1);
  end if;
  perform chatkit_private.lease_idempotency_key(
    v_claim, v_session.id, v_request_id, p_lease_seconds
  );
  return jsonb_build_object(
    'session', chatkit_private.session_response(v_session.id),
    'upstream', chatkit_private.chatkit_params(v_session, v_agent),
    'live', v_live,
    'replayed', v_session.id <> p_session_id,
    'limit', v_limit
  );
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_session',
      detail = coalesce(nullif(v_constraint, ''), v_column);
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
  p_providers text[] default '{openai_hosted}',
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_min_life_seconds integer default null,
  p_labels jsonb default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := chatkit_private.effective_claims(p_org_id, p_user_id, p_claims);
  v_opened jsonb := chatkit_private.open_session(
    p_org_id, p_user_id, p_session_id, p_agent_id, p_channel, p_metadata, p_chatkit_request_id,
    p_providers, p_idempotency_key, p_request_hash, p_lease_seconds, p_min_life_seconds, p_labels,
    v_claims
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
  'Opens a session, or returns the one that the idempotency key identifies. A client secret is '
  'requested only from a provider in p_providers, those that the deployment has configured. The '
  'session is known only afterwards, so the row policies are checked then: a new session that its '
  'user could not read is not created, and an earlier one is reported as not found.';

-- Rejects a refresh while another request for a ChatKit session is running, so that concurrent
-- refreshes share one secret. A request that is older than the lease has failed, because no
-- function runs that long. The refresh's own request exists already when its call is repeated.
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
      and c.provider = p_session.provider
      and c.recorded_at is null
      and c.failed_at is null
      and c.requested_at > clock_timestamp() - make_interval(secs => coalesce(p_lease_seconds, 30))
      and c.id <> p_request_id
  ) then
    raise sqlstate 'PT409' using message = 'still_running', detail = '1';
  end if;
end
$$;

-- Returns another client secret for a session: the stored one if it lives long enough. If `live` is
-- null, the caller may request one if the deployment has the session's provider. `resume` is a user
-- who returns, possibly on another device; it counts as activity. `refresh` is an automatic request
-- of ChatKit.js and does not, nor does a replay of either. A replay does not reject (p_rejected)
-- the secret that the first call led to.
create or replace function chatkit_private.renew_chatkit_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_purpose text,
  p_min_life_seconds integer,
  p_chatkit_request_id uuid default null,
  p_providers text[] default '{openai_hosted}',
  p_agent_id text default null,
  p_metadata jsonb default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_rejected boolean default null,
  p_labels jsonb default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
  v_session public.chat_sessions;
  v_agent public.agents;
  v_replayed boolean;
  v_request_id uuid;
  v_live jsonb;
  v_limit jsonb;
begin
  v_claim := chatkit_private.claim_idempotency_key(
    p_org_id, p_user_id, 'create_session', p_idempotency_key, p_request_hash, p_session_id,
    p_chatkit_request_id
  );
  -- The same request to OpenAI is the same attempt, repeated because its response was lost.
  v_replayed := v_claim.session_id is not null
    and (v_claim.chatkit_request_id = p_chatkit_request_id) is not true;
  v_session := chatkit_private.lock_session_of(p_org_id, p_user_id, p_session_id);

  if p_purpose is null or p_purpose not in ('resume', 'refresh')
     or (p_rejected and p_purpose <> 'refresh') then
    raise sqlstate 'PT422' using message = 'invalid_purpose';
  end if;
  if v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  -- Handover changes the agent; nothing changes the metadata. Omitted arguments are not compared.
  if not v_replayed and (p_agent_id <> v_session.agent_id or p_metadata <> v_session.metadata) then
    raise sqlstate 'PT422' using message = 'session_mismatch';
  end if;
  v_agent := chatkit_private.openable_agent(p_org_id, p_user_id, v_session.agent_id);

  if p_purpose = 'resume' and not v_replayed then
    perform chatkit_private.touch_session(p_session_id);
    perform chatkit_private.label_session(p_session_id, p_labels);
  end if;
  if p_rejected and not v_replayed then
    perform chatkit_private.reject_secrets(p_session_id);
  end if;
  v_live := chatkit_private.usable_secret(p_session_id, p_min_life_seconds, p_claims);
  if v_live is null and v_session.provider = any (p_providers) then
    v_request_id := p_chatkit_request_id;
  end if;
  if v_request_id is not null and p_purpose = 'refresh' then
    perform chatkit_private.reject_concurrent_refresh(v_session, v_request_id, p_lease_seconds);
  end if;
  v_limit := chatkit_private.request_chatkit_session(v_session, v_request_id, p_claims);
  perform chatkit_private.lease_idempotency_key(
    v_claim, p_session_id, v_request_id, p_lease_seconds
  );
  return jsonb_build_object(
    'session', chatkit_private.session_response(p_session_id),
    'upstream', chatkit_private.chatkit_params(v_session, v_agent),
    'live', v_live,
    'replayed', v_replayed,
    'limit', v_limit
  );
end
$$;

create or replace function public.renew_chatkit_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_purpose text,
  p_min_life_seconds integer,
  p_chatkit_request_id uuid default null,
  p_providers text[] default '{openai_hosted}',
  p_agent_id text default null,
  p_metadata jsonb default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_rejected boolean default null,
  p_labels jsonb default null,
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
  return chatkit_private.renew_chatkit_session(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end,
    p_purpose, p_min_life_seconds, p_chatkit_request_id, p_providers, p_agent_id, p_metadata,
    case when v_readable then p_idempotency_key end, p_request_hash, p_lease_seconds, p_rejected,
    p_labels, v_claims
  );
end
$$;

comment on function public.renew_chatkit_session is
  'Returns another client secret for a session. The row policies are checked first. If the caller '
  'may not read the session, the call continues with a random id, and without the idempotency key, '
  'which could reveal the session. The result is then that of an unknown id, and no lock is taken.';
