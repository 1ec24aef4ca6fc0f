-- Sessions: a conversation of one user, which moves between devices and agents.

create table if not exists public.chatkit_users (
  org_id uuid not null,
  user_id uuid not null,
  chatkit_user text not null default gen_random_uuid()::text,
  primary key (org_id, user_id),
  -- Two persons under one name would read each other's threads.
  constraint chatkit_users_chatkit_user_key unique (chatkit_user),
  -- OpenAI's bounds; and a call without a user lists the whole project's threads.
  constraint chatkit_users_chatkit_user_length check (char_length(chatkit_user) between 1 and 512)
);

comment on table public.chatkit_users is 
  'Who a person is at ChatKit: an opaque name per (organisation, user). Kept, not computed: one '
  'person in two organisations has two histories, and no rotation of a key can lose one.';

alter table public.chatkit_users enable row level security;
revoke all on table public.chatkit_users from public, anon, authenticated, service_role;
grant select on table public.chatkit_users to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chatkit_users
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column chatkit_user set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chatkit_users;
create policy "session owner and approvers can read" on public.chatkit_users
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

create table if not exists public.chat_sessions (
  -- Minted by the caller (version 7), so that a repeated opening finds the first one's row.
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  channel text not null,
  agent_id text not null,
  status text not null default 'active',
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  end_reason text,
  metadata jsonb not null default '{}',
  -- The last sign of life of a person or an agent; idle sessions end by it.
  last_activity_at timestamptz not null default now(),
  -- The numbers given last to an event and a message. Taken under the row's lock, so they have no gaps and no twins.
  last_event_seq bigint not null default 0,
  last_message_seq bigint not null default 0,
  -- What child tables refer to: their organisation and user cannot be another than their session's.
  constraint chat_sessions_tenant_key unique (org_id, user_id, id),
  constraint chat_sessions_chatkit_user_fkey foreign key (org_id, user_id) references public.chatkit_users (org_id, user_id),
  constraint chat_sessions_agent_fkey foreign key (org_id, agent_id) references public.agents (org_id, id),
  constraint chat_sessions_channel_known check (channel in ('web', 'voice')),
  constraint chat_sessions_status_known check (status in ('active', 'ended')),
  constraint chat_sessions_end_reason_known check (end_reason in ('cancelled', 'expired', 'failed')),
  constraint chat_sessions_end_is_whole check (
    (status = 'ended') = (ended_at is not null) and (status = 'ended') = (end_reason is not null)
  ),
  constraint chat_sessions_metadata_object check (jsonb_typeof(metadata) = 'object'),
  -- A backstop behind the edge's 8 KiB, wider because PostgreSQL writes JSON with spaces.
  constraint chat_sessions_metadata_size check (octet_length(metadata::text) <= 16384)
);

-- "My sessions, newest activity first", and the policy's own filter. The id breaks ties, as in the cursor.
create index if not exists chat_sessions_by_user
  on public.chat_sessions (org_id, user_id, last_activity_at desc, id desc);

-- The organisation's sessions in the same order, for its approvers.
create index if not exists chat_sessions_by_org
  on public.chat_sessions (org_id, last_activity_at desc, id desc);

-- The same for one agent; covers the foreign key to agents too.
create index if not exists chat_sessions_by_agent
  on public.chat_sessions (org_id, agent_id, last_activity_at desc, id desc);

-- The user's active sessions, for their number.
create index if not exists chat_sessions_active_by_user
  on public.chat_sessions (org_id, user_id) where status = 'active';

-- Sessions that had not ended by a moment: who was created since, who ended since, and who was active, in one range of an index.
-- (Who has not ended stands at the range's end, under null.) The time of creation is there to pass over those that began later,
-- without reading them. Nothing that changes with every event is in it, but an active session's row moves with its activity, and
-- then each of its indexes gains an entry: this is one more for an event, and the reason why there is only one.
create index if not exists chat_sessions_by_end
  on public.chat_sessions (org_id, ended_at, created_at);

-- An organisation's ended sessions, those that ended first first: what is overdue stands at its beginning.
create index if not exists chat_sessions_ended
  on public.chat_sessions (org_id, ended_at) where status = 'ended';

alter table public.chat_sessions enable row level security;
revoke all on table public.chat_sessions from public, anon, authenticated, service_role;
grant select on table public.chat_sessions to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chat_sessions
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column id set statistics 0,
  alter column channel set statistics 0,
  alter column ended_at set statistics 0,
  alter column end_reason set statistics 0,
  alter column metadata set statistics 0,
  alter column last_event_seq set statistics 0,
  alter column last_message_seq set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chat_sessions;
create policy "session owner and approvers can read" on public.chat_sessions
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

-- What no update may do to a session, whoever writes it: change hands, count backwards, or come back from its end. After the
-- end a call under way may still be recorded, so events, messages and activity go on.
create or replace function chatkit_private.prevent_session_rewrite() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.id, new.org_id, new.user_id, new.channel, new.created_at)
     is distinct from (old.id, old.org_id, old.user_id, old.channel, old.created_at) then
    raise check_violation using message = 'a session keeps its id, tenant, channel and time of creation';
  end if;
  if new.last_event_seq < old.last_event_seq or new.last_message_seq < old.last_message_seq then
    raise check_violation using message = 'a session counts its events and messages upwards only';
  end if;
  if old.status = 'ended'
     and (new.status, new.ended_at, new.end_reason, new.agent_id, new.metadata)
         is distinct from (old.status, old.ended_at, old.end_reason, old.agent_id, old.metadata) then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  return new;
end
$$;

create or replace trigger prevent_session_rewrite
  before update on public.chat_sessions
  for each row execute function chatkit_private.prevent_session_rewrite();

-- What may only be written while its session is active is guarded by this: events and escalations. The lock
-- makes a writer that forgot to lock the session wait for one that is ending it.
create or replace function chatkit_private.require_active_session() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform from public.chat_sessions as s where s.id = new.session_id and s.status = 'active' for share;
  if not found then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  return new;
end
$$;

-- The first step of every RPC on a session: its row, locked until the transaction ends, so that two RPCs on one session never
-- run at once. Somebody else's session is not found, like one that never was; and as the tenant is part of the search,
-- a stranger neither waits for its lock nor takes it.
create or replace function chatkit_private.lock_session_of(p_org_id uuid, p_user_id uuid, p_session_id uuid)
returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into v_session
  from public.chat_sessions as s
  where s.id = p_session_id and s.org_id = p_org_id and s.user_id = p_user_id
  for update;
  if not found then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  return v_session;
end
$$;

-- The same for work that the system does on a session and not its user. Two functions and not one with a null for "any user":
-- a user id that went missing must find nothing rather than everything.
create or replace function chatkit_private.lock_session(p_org_id uuid, p_session_id uuid) returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into v_session
  from public.chat_sessions as s
  where s.id = p_session_id and s.org_id = p_org_id
  for update;
  if not found then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  return v_session;
end
$$;

create or replace function chatkit_private.is_active(p_session_id uuid) returns boolean
language sql stable
set search_path = ''
as $$
  select s.status = 'active' from public.chat_sessions as s where s.id = p_session_id
$$;

-- A session as the RPCs answer it, read again after what they did to it.
create or replace function chatkit_private.session_response(p_session_id uuid) returns jsonb
language sql
set search_path = ''
as $$
  select to_jsonb(s) from public.chat_sessions as s where s.id = p_session_id
$$;

-- A sign of life. The clock may be older than what another machine's clock wrote; activity never goes backwards.
create or replace function chatkit_private.touch_session(p_session_id uuid) returns void
language sql
set search_path = ''
as $$
  update public.chat_sessions as s
  set last_activity_at = greatest(s.last_activity_at, clock_timestamp())
  where s.id = p_session_id
$$;
