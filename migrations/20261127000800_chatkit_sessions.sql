-- ChatKit sessions, their sealed client secrets, and the threads that a session linked.

create table if not exists public.chatkit_sessions (
  -- The id of our request, written before OpenAI is asked: no ChatKit session can exist that no row knows of.
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The agent it was asked for, which the session may have left since.
  agent_id text not null,
  -- OpenAI's id, once known.
  chatkit_session_id text,
  requested_at timestamptz not null default now(),
  recorded_at timestamptz,
  failed_at timestamptz,
  expires_at timestamptz,
  -- When OpenAI confirmed that it is cancelled.
  cancelled_at timestamptz,
  -- The client secret, sealed by the function that asked for it; the key is not in the database.
  sealed_secret text,
  sealing_key_id text,
  -- Until when a maintenance run may take to cancel it.
  cancel_lease_until timestamptz,
  constraint chatkit_sessions_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chatkit_sessions_agent_fkey foreign key (org_id, agent_id) references public.agents (org_id, id),
  -- One ChatKit session under two of ours would be cancelled by both.
  constraint chatkit_sessions_chatkit_session_id_key unique (chatkit_session_id),
  constraint chatkit_sessions_chatkit_session_id_length check (char_length(chatkit_session_id) between 1 and 512),
  constraint chatkit_sessions_record_is_whole check (num_nonnulls(chatkit_session_id, recorded_at, expires_at) in (0, 3)),
  constraint chatkit_sessions_expires_at_finite check (isfinite(expires_at)),
  constraint chatkit_sessions_seal_is_whole check ((sealed_secret is null) = (sealing_key_id is null)),
  -- A secret is kept only of what is of use: recorded, neither failed nor cancelled, and (check_secret_owner, below) of an active
  -- session and its current agent.
  constraint chatkit_sessions_secret_of_use
    check (sealed_secret is null or (recorded_at is not null and failed_at is null and cancelled_at is null)),
  constraint chatkit_sessions_cancelled_was_recorded check (cancelled_at is null or recorded_at is not null)
);

-- All of a session's: for the live one, and for those to cancel. Also covers the foreign key to the session.
create index if not exists chatkit_sessions_by_session on public.chatkit_sessions (session_id, requested_at);

-- Covers the foreign key to agents.
create index if not exists chatkit_sessions_by_agent on public.chatkit_sessions (org_id, agent_id);

-- Without a secret of use and not confirmed as cancelled. Most of these ran out long ago; the expiry tells them apart.
create index if not exists chatkit_sessions_retired
  on public.chatkit_sessions (expires_at)
  where recorded_at is not null and sealed_secret is null and cancelled_at is null;

create index if not exists chatkit_sessions_pending
  on public.chatkit_sessions (requested_at) where recorded_at is null and failed_at is null;

create index if not exists chatkit_sessions_sealed
  on public.chatkit_sessions (expires_at) where sealed_secret is not null;

alter table public.chatkit_sessions enable row level security;
revoke all on table public.chatkit_sessions from public, anon, authenticated, service_role;

-- No secret is written for a session that has ended, or for an agent that it has left. The lock makes a writer that
-- forgot to lock the session wait for one that is ending it.
create or replace function chatkit_private.check_secret_owner() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform from public.chat_sessions as s
  where s.id = new.session_id and s.status = 'active' and s.agent_id = new.agent_id
  for share;
  if not found then
    raise check_violation using message = 'a secret is kept only for an active session and its current agent';
  end if;
  return new;
end
$$;

create or replace trigger check_secret_owner
  before insert or update on public.chatkit_sessions
  for each row when (new.sealed_secret is not null)
  execute function chatkit_private.check_secret_owner();

-- A session that ends or moves to another agent takes its secrets with it, however that comes about. Nobody can open the
-- connection with what is erased here; what a browser already holds is dead once the ChatKit session is cancelled.
create or replace function chatkit_private.erase_secrets() returns trigger
language plpgsql
set search_path = ''
as $$
begin
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

create table if not exists public.chatkit_threads (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  thread_id text not null,
  linked_at timestamptz not null default now(),
  -- Begins with the session, so it serves the foreign key as well.
  primary key (session_id, thread_id),
  constraint chatkit_threads_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chatkit_threads_thread_id_length check (char_length(thread_id) between 1 and 512)
);

comment on table public.chatkit_threads is 'Threads that a session''s `thread_changed` events linked.';

-- A session's threads in the order of their links, a few at a time.
create index if not exists chatkit_threads_by_link on public.chatkit_threads (session_id, linked_at, thread_id);

-- Who else links a thread.
--
-- The thread stands first: an index that began with the user would be taken where a session's rows are looked for (a foreign key's
-- check does it by organisation, user and session), and all that the user ever linked would be read.
create index if not exists chatkit_threads_by_thread on public.chatkit_threads (thread_id, org_id, user_id);

alter table public.chatkit_threads enable row level security;
revoke all on table public.chatkit_threads from public, anon, authenticated, service_role;
grant select on table public.chatkit_threads to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chatkit_threads
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column thread_id set statistics 0,
  alter column linked_at set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chatkit_threads;
create policy "session owner and approvers can read" on public.chatkit_threads
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

-- The ChatKit sessions that may still be live at OpenAI though their secret is of no use to us any more: to be cancelled there.
-- Derived from the rows each time, so a repeat finishes what failed. OpenAI's clock is not ours: a minute of grace.
create or replace function chatkit_private.uncancelled_chatkit_session_ids(p_session_id uuid) returns jsonb
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

-- What the function needs to ask OpenAI with.
create or replace function chatkit_private.chatkit_params(p_user_id uuid, p_agent public.agents) returns jsonb
language sql
set search_path = ''
as $$
  select jsonb_build_object(
    'chatkit_user', u.chatkit_user,
    'workflow_id', p_agent.chatkit_workflow_id,
    'workflow_version', p_agent.chatkit_workflow_version,
    'tracing_enabled', p_agent.tracing_enabled
  )
  from public.chatkit_users as u
  where u.org_id = p_agent.org_id and u.user_id = p_user_id
$$;

-- A client secret at hand that lives long enough, still sealed; or null.
create or replace function chatkit_private.usable_secret(p_session_id uuid, p_min_life_seconds integer) returns jsonb
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

-- The holder of a secret says that it does not work: no secret of the session is handed out again, and the ChatKit sessions are
-- cancelled as retired ones are. One that was made within the last seconds stays: it was made for somebody else who said the
-- same of the same secret, since a request does not tell which one it means.
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

-- Whether a session was opened together with a request to OpenAI, and neither that nor any later one came through or may
-- still do so. Then nobody ever got in. A session that was opened while ChatKit was not configured is none of these.
create or replace function chatkit_private.failed_to_open(p_session public.chat_sessions) returns boolean
language sql stable
set search_path = ''
as $$
  select p_session.status = 'active'
    and exists (
      select from public.chatkit_sessions as c
      -- One transaction wrote both, so they are of one moment.
      where c.session_id = p_session.id and c.requested_at = p_session.created_at
    )
    and not exists (
      select from public.chatkit_sessions as c where c.session_id = p_session.id and c.failed_at is null
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
  'OpenAI has cancelled these, or does not know them any more. Ids that are not this session''s are '
  'passed over.';
