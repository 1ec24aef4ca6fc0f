-- Events: what happened in a session, in order, and who did it.

create table if not exists public.chat_events (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The client's id: a retry says the same one.
  id uuid not null,
  -- The order. Times are not: two clocks, and two transactions at once.
  seq bigint not null,
  type text not null,
  payload jsonb not null,
  actor_type text not null,
  actor_id text,
  -- When it happened by the client's clock, if it said so; when we took it, by ours.
  occurred_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  -- Unique per session and not globally: otherwise a conflict would tell one tenant that an id exists at another's.
  primary key (session_id, id),
  -- Also what lists the events of a session, latest or earliest first.
  constraint chat_events_seq_key unique (session_id, seq),
  constraint chat_events_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_events_seq_positive check (seq > 0),
  constraint chat_events_type_form check (type ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint chat_events_payload_object check (jsonb_typeof(payload) = 'object'),
  -- A backstop behind the edge's 16 KiB, wider because PostgreSQL writes JSON with spaces.
  constraint chat_events_payload_size check (octet_length(payload::text) <= 32768),
  constraint chat_events_actor_type_known check (actor_type in ('user', 'agent', 'system')),
  constraint chat_events_occurred_at_finite check (isfinite(occurred_at))
);

alter table public.chat_events enable row level security;
revoke all on table public.chat_events from public, anon, authenticated, service_role;
grant select on table public.chat_events to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chat_events
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column id set statistics 0,
  alter column type set statistics 0,
  alter column payload set statistics 0,
  alter column actor_type set statistics 0,
  alter column actor_id set statistics 0,
  alter column occurred_at set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chat_events;
create policy "session owner and approvers can read" on public.chat_events
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

-- Nothing happens in a session after its end, but that a call which was under way then comes to its own.
create or replace trigger require_active_session
  before insert on public.chat_events
  for each row when (new.type not in ('agent_result', 'agent_failed'))
  execute function chatkit_private.require_active_session();

-- The one way to add an event: takes the session's next number, under the lock that its caller holds.
create or replace function chatkit_private.append_event(
  p_session_id uuid,
  p_id uuid,
  p_type text,
  p_payload jsonb,
  p_actor_type text,
  p_actor_id text,
  p_occurred_at timestamptz default null
) returns public.chat_events
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_event public.chat_events;
begin
  update public.chat_sessions as s
  set last_event_seq = s.last_event_seq + 1
  where s.id = p_session_id
  returning * into strict v_session;

  insert into public.chat_events as e (
    org_id, user_id, session_id, id, seq, type, payload, actor_type, actor_id, occurred_at
  ) values (
    v_session.org_id, v_session.user_id, v_session.id, p_id, v_session.last_event_seq,
    p_type, p_payload, p_actor_type, p_actor_id, p_occurred_at
  )
  returning * into v_event;
  return v_event;
end
$$;

-- Ends an active session: the audit event first, because an ended session takes none, then the end itself, which erases
-- secrets and withdraws open escalations (by triggers). An end is no sign of life, so activity stays what it was.
create or replace function chatkit_private.end_session(p_session_id uuid, p_reason text, p_actor_type text, p_actor_id text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.append_event(
    p_session_id, gen_random_uuid(), 'session_ended', jsonb_build_object('reason', p_reason), p_actor_type, p_actor_id
  );
  update public.chat_sessions as s
  set status = 'ended', ended_at = clock_timestamp(), end_reason = p_reason
  where s.id = p_session_id;
end
$$;
