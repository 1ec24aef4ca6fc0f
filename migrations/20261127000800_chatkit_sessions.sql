-- ChatKit sessions and their sealed client secrets. A ChatKit session of a self-hosted agent exists
-- only here.

create table if not exists public.chatkit_sessions (
  -- The id of a request for a ChatKit session. The row is written before OpenAI is called, so every
  -- ChatKit session has a row.
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The agent of the request; the session may have moved to another since.
  agent_id text not null,
  -- The session's provider at the request.
  provider text not null,
  -- OpenAI's id or our own, once known.
  chatkit_session_id text,
  requested_at timestamptz not null default now(),
  recorded_at timestamptz,
  failed_at timestamptz,
  expires_at timestamptz,
  -- When OpenAI confirmed the cancellation, or the secret of a self-hosted agent was revoked.
  cancelled_at timestamptz,
  -- The client secret, sealed by the function that made the request; the database has no key.
  sealed_secret text,
  sealing_key_id text,
  -- SHA-256 of the client secret of a self-hosted agent, by which a request is recognised. It has
  -- 256 random bits, so it cannot be guessed from the hash.
  secret_hash text,
  -- Claims of the token with which the secret was requested. The rules on who may decide an
  -- escalation apply to them when the secret brings a decision.
  aal text,
  client_id text,
  -- The end of the lease of the maintenance run that is cancelling it.
  cancel_lease_until timestamptz,
  constraint chatkit_sessions_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chatkit_sessions_agent_fkey
    foreign key (org_id, agent_id) references public.agents (org_id, id),
  constraint chatkit_sessions_provider_known
    check (provider in ('openai_hosted', 'self_hosted')),
  constraint chatkit_sessions_secret_hash_form check (secret_hash ~ '^[0-9a-f]{64}$'),
  constraint chatkit_sessions_secret_hash_of_provider check (
    (secret_hash is not null) = (provider = 'self_hosted' and sealed_secret is not null)
  ),
  -- Otherwise two sessions could share a ChatKit session, and each would cancel it.
  constraint chatkit_sessions_chatkit_session_id_key unique (chatkit_session_id),
  constraint chatkit_sessions_chatkit_session_id_length
    check (char_length(chatkit_session_id) between 1 and 512),
  constraint chatkit_sessions_record_is_whole
    check (num_nonnulls(chatkit_session_id, recorded_at, expires_at) in (0, 3)),
  constraint chatkit_sessions_expires_at_finite check (isfinite(expires_at)),
  constraint chatkit_sessions_seal_is_whole
    check ((sealed_secret is null) = (sealing_key_id is null)),
  -- A secret is kept only if it is recorded, neither failed nor cancelled, and (by the trigger
  -- check_secret_owner) belongs to an active session and its current agent.
  constraint chatkit_sessions_secret_of_use
    check (
      sealed_secret is null
      or (recorded_at is not null and failed_at is null and cancelled_at is null)
    ),
  constraint chatkit_sessions_cancelled_was_recorded
    check (cancelled_at is null or recorded_at is not null)
);

comment on table public.chatkit_sessions is
  'Requests for a ChatKit session, and what became of each: failed, or recorded with its sealed '
  'client secret, then cancelled or expired. OpenAI issues the secrets of hosted agents; the '
  'function itself issues those of self-hosted agents.';

-- Finds a session's live secret and its ChatKit sessions to cancel; covers the foreign key to
-- chat_sessions.
create index if not exists chatkit_sessions_by_session
  on public.chatkit_sessions (session_id, requested_at);

-- Covers the foreign key to agents.
create index if not exists chatkit_sessions_by_agent on public.chatkit_sessions (org_id, agent_id);

-- Finds ChatKit sessions without a stored secret whose cancellation is not confirmed. Most of them
-- expired long ago; expires_at excludes those.
create index if not exists chatkit_sessions_retired
  on public.chatkit_sessions (expires_at)
  where recorded_at is not null and sealed_secret is null and cancelled_at is null;

-- Finds requests without an outcome.
create index if not exists chatkit_sessions_pending
  on public.chatkit_sessions (requested_at) where recorded_at is null and failed_at is null;

-- Finds expired secrets.
create index if not exists chatkit_sessions_sealed
  on public.chatkit_sessions (expires_at) where sealed_secret is not null;

-- Finds the session of a client secret.
create unique index if not exists chatkit_sessions_by_secret_hash
  on public.chatkit_sessions (secret_hash) where secret_hash is not null;

alter table public.chatkit_sessions enable row level security;
revoke all on table public.chatkit_sessions from public, anon, authenticated, service_role;

-- Rejects a secret for a session that has ended, or for an agent or a provider that the session has
-- left. The lock makes a writer that did not lock the session wait for a transaction that is ending
-- it.
create or replace function chatkit_private.check_secret_owner() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform from public.chat_sessions as s
  where s.id = new.session_id
    and s.status = 'active'
    and s.agent_id = new.agent_id
    and s.provider = new.provider
  for share;
  if not found then
    raise check_violation
      using message = 'a secret is kept only for an active session and its current agent';
  end if;
  return new;
end
$$;

create or replace trigger check_secret_owner
  before insert or update on public.chatkit_sessions
  for each row when (new.sealed_secret is not null)
  execute function chatkit_private.check_secret_owner();

-- Revokes the secret of a self-hosted agent when its sealed form is erased, whatever erased it: the
-- end of the session, a handover, a rejection, expiry or a failure. OpenAI does not know the
-- ChatKit session, so nothing remains to be cancelled.
create or replace function chatkit_private.revoke_erased_secret() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.secret_hash := null;
  new.cancelled_at := coalesce(new.cancelled_at, clock_timestamp());
  return new;
end
$$;

create or replace trigger revoke_erased_secret
  before insert or update on public.chatkit_sessions
  for each row when (
    new.provider = 'self_hosted' and new.recorded_at is not null and new.sealed_secret is null
  )
  execute function chatkit_private.revoke_erased_secret();

-- Erases the secrets of a session that ends or moves to another agent, whatever caused the change.
-- An erased secret cannot be issued again. A copy in a browser works until the ChatKit session is
-- cancelled. Between two self-hosted agents the secrets remain, and so do the requests for one:
-- they belong to the next agent from then on.
create or replace function chatkit_private.erase_secrets() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if new.status = 'active' and old.provider = 'self_hosted' and new.provider = 'self_hosted' then
    update public.chatkit_sessions as c
    set agent_id = new.agent_id
    where c.session_id = new.id
      and c.provider = 'self_hosted'
      and (c.sealed_secret is not null or (c.recorded_at is null and c.failed_at is null));
    return null;
  end if;
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  where c.session_id = new.id and c.sealed_secret is not null;
  return null;
end
$$;

create or replace trigger erase_secrets
  after update on public.chat_sessions
  for each row when (old.status <> new.status or old.agent_id <> new.agent_id)
  execute function chatkit_private.erase_secrets();

-- Returns the ids of the ChatKit sessions that may still be live at OpenAI although their secret is
-- no longer stored. The caller cancels them there. The ids are derived from the rows at each call,
-- so a repeated call completes one that failed. A minute of grace allows for OpenAI's clock.
create or replace function chatkit_private.uncancelled_chatkit_session_ids(p_session_id uuid)
returns jsonb
language sql
set search_path = ''
as $$
  select coalesce(jsonb_agg(c.chatkit_session_id order by c.requested_at, c.id), '[]')
  from public.chatkit_sessions as c
  where c.session_id = p_session_id
    and c.recorded_at is not null
    and c.sealed_secret is null
    and c.cancelled_at is null
    and c.expires_at > clock_timestamp() - interval '1 minute'
$$;

-- Returns the parameters of a ChatKit session of the session's provider: those of the request to
-- OpenAI, or the start screen of a self-hosted agent. Fails with provider_changed for a hosted
-- session whose agent is registered as self-hosted since, because it has no workflow.
create or replace function chatkit_private.chatkit_params(
  p_session public.chat_sessions,
  p_agent public.agents
) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  if p_session.provider = 'self_hosted' then
    return jsonb_build_object(
      'provider', 'self_hosted',
      'start_screen', (
        select m.start_screen
        from public.session_model_settings as m
        where m.session_id = p_session.id
      )
    );
  end if;
  if p_agent.provider <> 'openai_hosted' then
    raise sqlstate 'PT409' using message = 'provider_changed';
  end if;
  return (
    select jsonb_build_object(
      'provider', 'openai_hosted',
      'chatkit_user', u.chatkit_user,
      'workflow_id', p_agent.chatkit_workflow_id,
      'workflow_version', p_agent.chatkit_workflow_version,
      'tracing_enabled', p_agent.tracing_enabled
    )
    from public.chatkit_users as u
    where u.org_id = p_session.org_id and u.user_id = p_session.user_id
  );
end
$$;

-- Returns the active session that a client secret of a self-hosted agent belongs to. Functions
-- that serve the chat have no other credential, so their RPCs begin with this. One query also
-- checks that the user is still a member and may still use the agent. A secret that is unknown,
-- expired or revoked gives the same error as that of an ended session. The session is not locked;
-- an RPC that writes locks it afterwards, and then checks its status again.
create or replace function chatkit_private.chat_session_of_secret(p_secret_hash text)
returns public.chat_sessions
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_found record;
begin
  select s as session, m.role,
         a.enabled
           and (a.allowed_org_roles is null or m.role = any (a.allowed_org_roles)) as is_open
  into v_found
  from public.chatkit_sessions as c
  join public.chat_sessions as s on s.id = c.session_id
  join public.agents as a on a.org_id = s.org_id and a.id = s.agent_id
  cross join lateral chatkit_private.member_role(s.org_id, s.user_id) as m (role)
  where c.secret_hash = p_secret_hash
    and c.expires_at > clock_timestamp()
    and s.status = 'active'
    and s.provider = 'self_hosted';
  if not found then
    raise sqlstate 'PT401' using message = 'client_secret_rejected';
  end if;
  if v_found.role is null then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  if not v_found.is_open then
    raise sqlstate 'PT403' using message = 'agent_forbidden';
  end if;
  return v_found.session;
end
$$;

-- Returns the claims of a client secret: those of its user, and `aal` and `client_id` of the token
-- with which the secret was requested.
create or replace function chatkit_private.claims_of_secret(p_secret_hash text) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select chatkit_private.effective_claims(c.org_id, c.user_id, null)
    || jsonb_strip_nulls(jsonb_build_object('aal', c.aal, 'client_id', c.client_id))
  from public.chatkit_sessions as c
  where c.secret_hash = p_secret_hash
$$;

-- Returns the session's stored client secret, still sealed, if it lives for at least
-- p_min_life_seconds; otherwise null. The secret of a self-hosted agent is shared only by tokens
-- with the same claims `aal` and `client_id`, because it can decide escalations.
create or replace function chatkit_private.usable_secret(
  p_session_id uuid,
  p_min_life_seconds integer,
  p_claims jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  -- Expired secrets have no use, so they are not kept.
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id and c.sealed_secret is not null
    and c.expires_at <= clock_timestamp();

  -- Constraints and triggers guarantee that a stored secret is recorded, not cancelled and of the
  -- current agent.
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
      and (
        c.provider <> 'self_hosted'
        or (c.aal, c.client_id) is not distinct from (p_claims ->> 'aal', p_claims ->> 'client_id')
      )
    order by c.expires_at desc, c.id desc
    limit 1
  );
end
$$;

-- Erases a session's secrets after a client reported that one of them does not work. None of them
-- is issued again, and maintenance cancels their ChatKit sessions. Secrets of the last 10 seconds
-- stay: a request does not name the secret that it means, so a new one was probably made for
-- another client that reported the same old secret.
create or replace function chatkit_private.reject_secrets(p_session_id uuid) returns void
language sql
set search_path = ''
as $$
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id
    and c.sealed_secret is not null
    and c.recorded_at <= clock_timestamp() - interval '10 seconds'
$$;

-- Returns whether a session was opened together with a request to OpenAI, and that request and
-- every later one failed. No client can have a working secret then. A session that was opened while
-- ChatKit was not configured does not count.
create or replace function chatkit_private.failed_to_open(p_session public.chat_sessions)
returns boolean
language sql stable
set search_path = ''
as $$
  select p_session.status = 'active'
    and exists (
      select from public.chatkit_sessions as c
      -- One transaction wrote both rows, so their times are equal.
      where c.session_id = p_session.id and c.requested_at = p_session.created_at
    )
    and not exists (
      select from public.chatkit_sessions as c
      where c.session_id = p_session.id and c.failed_at is null
    )
$$;

create or replace function public.confirm_chatkit_cancelled(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_session_ids text[]
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform chatkit_private.lock_session(p_org_id, p_session_id);
  update public.chatkit_sessions as c
  set cancelled_at = clock_timestamp(), sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id
    and c.chatkit_session_id = any (p_chatkit_session_ids)
    and c.cancelled_at is null;
  return '{}';
end
$$;

comment on function public.confirm_chatkit_cancelled is
  'Records that OpenAI has cancelled these ChatKit sessions or no longer knows them. Ids that do '
  'not belong to the session are ignored.';
