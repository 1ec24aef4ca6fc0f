-- What a session of ours owns at ChatKit: short-lived ChatKit sessions (ten minutes at most, each with a client secret) and
-- threads (which last).

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
  constraint chatkit_sessions_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chatkit_sessions_agent_fkey foreign key (org_id, agent_id) references public.agents (org_id, id),
  -- One ChatKit session under two of ours would be cancelled by both.
  constraint chatkit_sessions_chatkit_session_id_key unique (chatkit_session_id),
  constraint chatkit_sessions_chatkit_session_id_length check (char_length(chatkit_session_id) between 1 and 512),
  constraint chatkit_sessions_record_is_whole check (num_nonnulls(chatkit_session_id, recorded_at, expires_at) in (0, 3)),
  constraint chatkit_sessions_expires_at_finite check (isfinite(expires_at)),
  constraint chatkit_sessions_seal_is_whole check ((sealed_secret is null) = (sealing_key_id is null)),
  -- A secret is kept only of what is of use: recorded, neither failed nor cancelled, and (guard_secret, below) of an active
  -- session and its current agent.
  constraint chatkit_sessions_secret_of_use
    check (sealed_secret is null or (recorded_at is not null and failed_at is null and cancelled_at is null)),
  constraint chatkit_sessions_cancelled_was_recorded check (cancelled_at is null or recorded_at is not null)
);

-- All of a session's: for the live one, and for those to cancel. Also covers the foreign key to the session.
create index if not exists chatkit_sessions_by_session on public.chatkit_sessions (session_id, requested_at);
-- Covers the foreign key to agents.
create index if not exists chatkit_sessions_by_agent on public.chatkit_sessions (org_id, agent_id);

-- Threads that a session's `thread_changed` events linked.
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

-- A session's threads in the order of their links, a few at a time.
create index if not exists chatkit_threads_by_link on public.chatkit_threads (session_id, linked_at, thread_id);

alter table public.chatkit_sessions enable row level security;
alter table public.chatkit_threads enable row level security;
revoke all on table public.chatkit_sessions, public.chatkit_threads from public, anon, authenticated, service_role;
-- chatkit_sessions stays closed, without a policy: even sealed, a secret is nothing to hand out.
grant select on table public.chatkit_threads to authenticated;
-- No statistics of what people and agents write: see agents.
alter table public.chatkit_threads
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column thread_id set statistics 0,
  alter column linked_at set statistics 0;

-- Who reads a session reads its threads' ids.
drop policy if exists "their user and approvers read" on public.chatkit_threads;
create policy "their user and approvers read" on public.chatkit_threads
  for select to authenticated
  using (
    org_id = (select private.caller_org_id())
    and (user_id = (select auth.uid()) or (select private.caller_is_approver()))
  );

-- No secret is written for a session that has ended, or for an agent that it has left. The lock makes a writer that
-- forgot to lock the session wait for one that is ending it.
create or replace function private.guard_secret() returns trigger
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

create or replace trigger guard_secret
  before insert or update on public.chatkit_sessions
  for each row when (new.sealed_secret is not null)
  execute function private.guard_secret();

-- A session that ends or moves to another agent takes its secrets with it, however that comes about. Nobody can open the
-- connection with what is erased here; what a browser already holds is dead once the ChatKit session is cancelled.
create or replace function private.erase_secrets() returns trigger
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
  execute function private.erase_secrets();

-- The ChatKit sessions that may still be live at OpenAI though their secret is of no use to us any more: to be cancelled there.
-- Derived from the rows each time, so a repeat finishes what failed. OpenAI's clock is not ours: a minute of grace.
create or replace function private.retired_chatkit_session_ids(p_session_id uuid) returns jsonb
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

revoke all on function private.guard_secret() from public, anon, authenticated, service_role;
revoke all on function private.erase_secrets() from public, anon, authenticated, service_role;
revoke all on function private.retired_chatkit_session_ids(uuid) from public, anon, authenticated, service_role;
