-- Sessions: conversations of one user, which can move between devices and agents.

create table if not exists public.chatkit_users (
  org_id uuid not null,
  user_id uuid not null,
  chatkit_user text not null default gen_random_uuid()::text,
  primary key (org_id, user_id),
  -- Two users with the same ChatKit user would read each other's threads.
  constraint chatkit_users_chatkit_user_key unique (chatkit_user),
  -- OpenAI's limits. An empty value is excluded because a call without a user lists the threads of
  -- the whole project.
  constraint chatkit_users_chatkit_user_length check (char_length(chatkit_user) between 1 and 512)
);

comment on table public.chatkit_users is
  'The opaque ChatKit user of each (organisation, user). It is stored instead of computed: a user '
  'of two organisations has two histories, and no key rotation can lose one.';

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
  -- A version 7 UUID that the caller generates, so a repeated request finds the first one's row.
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  channel text not null,
  agent_id text not null,
  -- The agent's provider when the session was opened or handed over to the agent.
  provider text not null,
  status text not null default 'active',
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  end_reason text,
  metadata jsonb not null default '{}',
  -- Fields of lists: a title, and the device that opened or resumed the session last. The session's
  -- user writes both.
  title text,
  device_label text,
  -- The last activity of a person or an agent. Idle sessions are ended by it.
  last_activity_at timestamptz not null default now(),
  -- The last numbers assigned to an event and to a message. They are taken under the row's lock, so
  -- they have no gaps and no duplicates.
  last_event_seq bigint not null default 0,
  last_message_seq bigint not null default 0,
  -- The transaction that changed the row last.
  change_xid xid8 not null default pg_current_xact_id(),
  -- Target of the child tables' foreign keys: their organisation and user are their session's.
  constraint chat_sessions_tenant_key unique (org_id, user_id, id),
  constraint chat_sessions_chatkit_user_fkey
    foreign key (org_id, user_id) references public.chatkit_users (org_id, user_id),
  constraint chat_sessions_agent_fkey
    foreign key (org_id, agent_id) references public.agents (org_id, id),
  constraint chat_sessions_channel_known check (channel in ('web', 'voice')),
  constraint chat_sessions_provider_known check (provider in ('openai_hosted', 'self_hosted')),
  constraint chat_sessions_channel_of_provider
    check (channel = 'web' or provider = 'openai_hosted'),
  constraint chat_sessions_status_known check (status in ('active', 'ended')),
  constraint chat_sessions_end_reason_known
    check (end_reason in ('cancelled', 'expired', 'failed')),
  constraint chat_sessions_end_is_whole check (
    (status = 'ended') = (ended_at is not null) and (status = 'ended') = (end_reason is not null)
  ),
  constraint chat_sessions_title_length check (char_length(title) between 1 and 200),
  constraint chat_sessions_device_label_length check (char_length(device_label) between 1 and 100),
  constraint chat_sessions_metadata_object check (jsonb_typeof(metadata) = 'object'),
  -- A backstop behind the API's limit of 8 KiB. It is wider because jsonb text contains spaces.
  constraint chat_sessions_metadata_size check (octet_length(metadata::text) <= 16384)
);

comment on table public.chat_sessions is
  'A conversation of one user with one agent at a time: its channel, status, metadata and last '
  'activity. Its row lock serialises all work on the session.';

-- Lists a user's sessions by latest activity; also the filter of the row policy. The id breaks
-- ties, as in the cursor.
create index if not exists chat_sessions_by_user
  on public.chat_sessions (org_id, user_id, last_activity_at desc, id desc);

-- Lists an organisation's sessions in the same order, for its approvers.
create index if not exists chat_sessions_by_org
  on public.chat_sessions (org_id, last_activity_at desc, id desc);

-- Lists an agent's sessions in the same order; covers the foreign key to agents too.
create index if not exists chat_sessions_by_agent
  on public.chat_sessions (org_id, agent_id, last_activity_at desc, id desc);

-- Counts a user's active sessions.
create index if not exists chat_sessions_active_by_user
  on public.chat_sessions (org_id, user_id) where status = 'active';

-- Finds the sessions that had not ended at a given time, in one range scan: those created since,
-- those ended since, and those that were active. Sessions that have not ended are at the end of
-- the range, under null. With created_at in the index, sessions that began later are skipped
-- without reading their rows. No column here changes with every event. But each event updates
-- an active session's row, and every index of the table then gains an entry. That is why there is
-- only one such index.
create index if not exists chat_sessions_by_end
  on public.chat_sessions (org_id, ended_at, created_at);

-- Lists an organisation's ended sessions, the earliest end first: overdue sessions come first.
create index if not exists chat_sessions_ended
  on public.chat_sessions (org_id, ended_at) where status = 'ended';

-- Finds the sessions of a user, and of an organisation, that changed last.
create index if not exists chat_sessions_changes_of_user
  on public.chat_sessions (org_id, user_id, change_xid);
create index if not exists chat_sessions_changes
  on public.chat_sessions (org_id, change_xid);

alter table public.chat_sessions enable row level security;
revoke all on table public.chat_sessions from public, anon, authenticated, service_role;
grant select on table public.chat_sessions to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chat_sessions
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column id set statistics 0,
  alter column channel set statistics 0,
  alter column provider set statistics 0,
  alter column ended_at set statistics 0,
  alter column end_reason set statistics 0,
  alter column metadata set statistics 0,
  alter column title set statistics 0,
  alter column device_label set statistics 0,
  alter column change_xid set statistics 0,
  alter column last_event_seq set statistics 0,
  alter column last_message_seq set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chat_sessions;
create policy "session owner and approvers can read" on public.chat_sessions
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

-- Rejects updates that change a session's identity, decrease a counter or undo its end. Events,
-- messages and activity are still accepted after the end, because a call that was running then may
-- still be recorded.
create or replace function chatkit_private.prevent_session_rewrite() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.id, new.org_id, new.user_id, new.channel, new.created_at)
     is distinct from (old.id, old.org_id, old.user_id, old.channel, old.created_at) then
    raise check_violation
      using message = 'a session keeps its id, tenant, channel and time of creation';
  end if;
  if new.last_event_seq < old.last_event_seq or new.last_message_seq < old.last_message_seq then
    raise check_violation using message = 'a session counts its events and messages upwards only';
  end if;
  if new.provider <> old.provider and new.agent_id = old.agent_id then
    raise check_violation using message = 'a session changes its provider only with its agent';
  end if;
  if old.status = 'ended'
     and (new.status, new.ended_at, new.end_reason, new.agent_id, new.provider, new.metadata)
         is distinct from
         (old.status, old.ended_at, old.end_reason, old.agent_id, old.provider, old.metadata) then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  return new;
end
$$;

create or replace trigger prevent_session_rewrite
  before update on public.chat_sessions
  for each row execute function chatkit_private.prevent_session_rewrite();

create or replace trigger record_change_xid
  before update on public.chat_sessions
  for each row execute function chatkit_private.record_change_xid();

create table if not exists public.session_model_settings (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  agent_id text not null,
  model text not null,
  instructions text not null,
  -- Null: the model's default.
  reasoning_effort text,
  max_input_tokens integer not null,
  max_output_tokens integer not null,
  max_turn_seconds integer not null,
  max_tool_calls integer not null,
  start_screen jsonb not null,
  built_in_tools text[] not null,
  client_tools jsonb not null,
  copied_at timestamptz not null default clock_timestamp(),
  constraint session_model_settings_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.session_model_settings is
  'The model settings of each self-hosted session, copied from its agent when the session was '
  'opened or handed over. A later change of the registration applies to later sessions.';

alter table public.session_model_settings enable row level security;
revoke all on table public.session_model_settings from public, anon, authenticated, service_role;

-- Copies an agent's model settings to a session that was opened with it or handed over to it. The
-- session's provider is set from the same row of the agent, so that the two always agree.
create or replace function chatkit_private.copy_model_settings(
  p_session public.chat_sessions,
  p_agent public.agents
) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_agent.provider <> 'self_hosted' then
    delete from public.session_model_settings as m where m.session_id = p_session.id;
    return;
  end if;
  insert into public.session_model_settings as m (
    org_id, user_id, session_id, agent_id, model, instructions, reasoning_effort,
    max_input_tokens, max_output_tokens, max_turn_seconds, max_tool_calls, start_screen,
    built_in_tools, client_tools
  ) values (
    p_session.org_id, p_session.user_id, p_session.id, p_agent.id, p_agent.model,
    p_agent.instructions, p_agent.reasoning_effort, p_agent.max_input_tokens,
    p_agent.max_output_tokens, p_agent.max_turn_seconds, p_agent.max_tool_calls,
    p_agent.start_screen, p_agent.built_in_tools, p_agent.client_tools
  )
  on conflict (session_id) do update set
    agent_id = excluded.agent_id,
    model = excluded.model,
    instructions = excluded.instructions,
    reasoning_effort = excluded.reasoning_effort,
    max_input_tokens = excluded.max_input_tokens,
    max_output_tokens = excluded.max_output_tokens,
    max_turn_seconds = excluded.max_turn_seconds,
    max_tool_calls = excluded.max_tool_calls,
    start_screen = excluded.start_screen,
    built_in_tools = excluded.built_in_tools,
    client_tools = excluded.client_tools,
    copied_at = excluded.copied_at;
end
$$;

-- Moves a session to an agent, with the provider and the settings that the agent has now. A trigger
-- erases the previous agent's secrets.
create or replace function chatkit_private.change_agent(
  p_session_id uuid,
  p_agent public.agents
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  update public.chat_sessions as s
  set agent_id = p_agent.id, provider = p_agent.provider
  where s.id = p_session_id
  returning * into v_session;
  perform chatkit_private.copy_model_settings(v_session, p_agent);
end
$$;

-- Rejects a channel that an agent's provider does not offer. Opening and handover both use it.
create or replace function chatkit_private.require_channel(p_agent public.agents, p_channel text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_agent.provider = 'self_hosted' and p_channel = 'voice' then
    raise sqlstate 'PT422' using message = 'channel_unavailable';
  end if;
end
$$;

-- Rejects rows that belong to a session which is not active: escalations, deliveries and most
-- events. The lock makes a writer that did not lock the session wait for a transaction that is
-- ending it.
create or replace function chatkit_private.require_active_session() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform from public.chat_sessions as s
  where s.id = new.session_id and s.status = 'active'
  for share;
  if not found then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  return new;
end
$$;

-- Locks a user's session until the transaction ends and returns its row. Every RPC on a session
-- begins with this, so that two of them never run concurrently. A session of another user is
-- reported as not found, like one that does not exist. The search includes the tenant, so a caller
-- of another tenant neither waits for the lock nor takes it.
create or replace function chatkit_private.lock_session_of(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid
) returns public.chat_sessions
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

-- Locks a session like lock_session_of, for system work that is not done for its user. This is a
-- second function instead of a null user id: a user id that is missing by mistake must find
-- nothing rather than everything.
create or replace function chatkit_private.lock_session(p_org_id uuid, p_session_id uuid)
returns public.chat_sessions
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

-- Returns whether a session is active; null if it does not exist.
create or replace function chatkit_private.is_active(p_session_id uuid) returns boolean
language sql stable
set search_path = ''
as $$
  select s.status = 'active' from public.chat_sessions as s where s.id = p_session_id
$$;

-- Returns a session as the RPCs return it, read again after the caller changed it.
create or replace function chatkit_private.session_response(p_session_id uuid) returns jsonb
language sql
set search_path = ''
as $$
  select to_jsonb(s) - 'change_xid' from public.chat_sessions as s where s.id = p_session_id
$$;

-- Sets the labels {title?, deviceLabel?} of a session; null removes one.
create or replace function chatkit_private.label_session(p_session_id uuid, p_labels jsonb)
returns void
language sql
set search_path = ''
as $$
  update public.chat_sessions as s
  set title = case when p_labels ? 'title' then p_labels ->> 'title' else s.title end,
      device_label =
        case when p_labels ? 'deviceLabel' then p_labels ->> 'deviceLabel' else s.device_label end
  where s.id = p_session_id and p_labels ?| '{title,deviceLabel}'
$$;

-- Sets the last activity to now. Another machine's clock may have written a later time; activity
-- never moves backwards.
create or replace function chatkit_private.touch_session(p_session_id uuid) returns void
language sql
set search_path = ''
as $$
  update public.chat_sessions as s
  set last_activity_at = greatest(s.last_activity_at, clock_timestamp())
  where s.id = p_session_id
$$;
