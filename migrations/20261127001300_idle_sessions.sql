-- Expiry of idle sessions.

create table if not exists public.idle_checks (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  -- The last activity plus the agent's timeout; while a maintenance run checks the session, the end
  -- of its lease.
  due_at timestamptz not null,
  -- The number of the session's threads that OpenAI reported as idle since the last activity.
  threads_asked integer not null default 0,
  constraint idle_checks_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.idle_checks is
  'One row for every session that can become idle: it is active, and has no open escalation and no '
  'queued delivery. A separate table, so that a lease does not block other work on the session and '
  'does not update the many indexes of chat_sessions.';

-- Includes the owner, so that a fair claim reads only the index.
create index if not exists idle_checks_due
  on public.idle_checks (due_at) include (org_id, user_id, session_id);

alter table public.idle_checks enable row level security;
revoke all on table public.idle_checks from public, anon, authenticated, service_role;

-- Returns when a session becomes idle without further activity. Null if it cannot: it has ended, an
-- escalation is open, or a delivery is queued. Otherwise, while an agent is down for an afternoon,
-- its users' sessions would end and their deliveries would be lost.
create or replace function chatkit_private.idle_deadline(p_session public.chat_sessions)
returns timestamptz
language sql stable
set search_path = ''
as $$
  select p_session.last_activity_at + make_interval(secs => a.idle_timeout_seconds)
  from public.agents as a
  where a.org_id = p_session.org_id
    and a.id = p_session.agent_id
    and p_session.status = 'active'
    and not exists (
      select from public.chat_escalations as e
      where e.session_id = p_session.id and e.status = 'open'
    )
    and not exists (select from public.delivery_queues as q where q.session_id = p_session.id)
$$;

-- Schedules a session's next idle check from its current state. This ends a lease on the check.
create or replace function chatkit_private.schedule_idle_check(p_session public.chat_sessions)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_idle_at timestamptz := chatkit_private.idle_deadline(p_session);
begin
  if v_idle_at is null then
    delete from public.idle_checks as i where i.session_id = p_session.id;
  else
    insert into public.idle_checks as i (org_id, user_id, session_id, due_at)
    values (p_session.org_id, p_session.user_id, p_session.id, v_idle_at)
    on conflict (session_id) do update set due_at = excluded.due_at, threads_asked = 0
    where i.due_at <> excluded.due_at or i.threads_asked <> 0;
  end if;
end
$$;

-- Schedules the next check after any change of a session's activity, status or agent.
create or replace function chatkit_private.schedule_session_idle_check() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.schedule_idle_check(new);
  return null;
end
$$;

create or replace trigger schedule_idle_check
  after insert or update of last_activity_at, status, agent_id on public.chat_sessions
  for each row execute function chatkit_private.schedule_session_idle_check();

-- Pauses the idle check while an escalation is open, and schedules it again when it is closed.
create or replace function chatkit_private.schedule_escalation_idle_check() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = new.session_id;
  perform chatkit_private.schedule_idle_check(v_session);
  return null;
end
$$;

create or replace trigger schedule_idle_check
  after insert or update of status on public.chat_escalations
  for each row execute function chatkit_private.schedule_escalation_idle_check();

-- Pauses the idle check while a session has queued deliveries, and schedules it again afterwards.
create or replace function chatkit_private.schedule_queue_idle_check() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into v_session
  from public.chat_sessions as s
  where s.id = case tg_op when 'DELETE' then old.session_id else new.session_id end;
  if found then
    perform chatkit_private.schedule_idle_check(v_session);
  end if;
  return null;
end
$$;

create or replace trigger schedule_idle_check
  after insert or delete on public.delivery_queues
  for each row execute function chatkit_private.schedule_queue_idle_check();

-- Applies an agent's new timeout to its open sessions. The rows are locked in the order of session
-- ids, like everywhere that several sessions are locked.
create or replace function chatkit_private.reschedule_agent_idle_checks() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  with planned as (
    select i.session_id, s.last_activity_at
    from public.idle_checks as i
    join public.chat_sessions as s on s.id = i.session_id
    where s.org_id = new.org_id and s.agent_id = new.id
    order by i.session_id
    for update of i
  )
  update public.idle_checks as i
  set due_at = p.last_activity_at + make_interval(secs => new.idle_timeout_seconds)
  from planned as p
  where i.session_id = p.session_id;
  return null;
end
$$;

create or replace trigger reschedule_idle_checks
  after update on public.agents
  for each row when (old.idle_timeout_seconds <> new.idle_timeout_seconds)
  execute function chatkit_private.reschedule_agent_idle_checks();

create or replace function public.claim_idle_sessions(p_limit integer, p_lease_seconds integer)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_read integer;
  v_ids uuid[];
  v_owners text[];
  v_sessions jsonb;
begin
  -- Plan for the actual limit; for an unknown one, a scan of the whole table can look cheaper.
  set local plan_cache_mode = force_custom_plan;

  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.due_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.due_at, d.id)
    into v_ids, v_owners
    from (
      select i.session_id as id, i.org_id, i.user_id, i.due_at
      from public.idle_checks as i
      where i.due_at <= v_now
      order by i.due_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, v_limit);
  end loop;
  v_ids := chatkit_private.fair_share(v_ids, v_owners, v_limit);

  with free as (
    select i.session_id, i.threads_asked, c.turn
    from unnest(v_ids) with ordinality as c (id, turn)
    join public.idle_checks as i on i.session_id = c.id
    where i.due_at <= v_now
    for update of i skip locked
  ), described as (
    select f.session_id, f.turn, jsonb_build_object(
        'org_id', s.org_id,
        'session_id', s.id,
        'user_id', s.user_id,
        'chatkit_user', u.chatkit_user,
        'last_activity_at', s.last_activity_at,
        'idle_timeout_seconds', a.idle_timeout_seconds,
        'threads_asked', f.threads_asked,
        'thread_ids', to_jsonb(h.thread_ids[1:25]),
        'threads_left', cardinality(h.thread_ids) > 25
      ) as session
    from free as f
    join public.chat_sessions as s on s.id = f.session_id
    join public.agents as a on a.org_id = s.org_id and a.id = s.agent_id
    join public.chatkit_users as u on u.org_id = s.org_id and u.user_id = s.user_id
    cross join lateral (
      select array(
        select t.thread_id
        from public.chatkit_threads as t
        where t.session_id = s.id
        order by t.linked_at, t.thread_id
        offset f.threads_asked
        limit 26
      ) as thread_ids
    ) as h
  ), measured as (
    select d.*, sum(octet_length(d.session::text)) over (order by d.turn) as bytes
    from described as d
  ), leased as (
    update public.idle_checks as i
    set due_at = v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from measured as m
    where i.session_id = m.session_id and m.bytes <= 1572864
    returning i.session_id
  )
  select jsonb_agg(m.session order by m.turn)
  into v_sessions
  from leased as l
  join measured as m on m.session_id = l.session_id;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

comment on function public.claim_idle_sessions is
  'Leases sessions whose idle check is due. Other calls do not get them until the lease ends; if '
  'the caller fails, they are returned again after that. Reads only the due end of an index. Every '
  'user with due sessions gets the same share of p_limit: one session each first, the longest idle '
  'first. One user''s many sessions therefore do not delay those of others. `thread_ids` has up to '
  '25 of the session''s threads that are still to be checked, and `threads_left` is true if there '
  'are more. The response has at most 1.5 MiB; sessions that do not fit stay due.';

create or replace function public.expire_session(
  p_org_id uuid,
  p_session_id uuid,
  p_last_activity_at timestamptz
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
begin
  if v_session.last_activity_at = p_last_activity_at
     and chatkit_private.idle_deadline(v_session) <= clock_timestamp() then
    perform chatkit_private.end_session(p_session_id, 'expired', 'system', null);
    v_session.end_reason := 'expired';
  else
    perform chatkit_private.schedule_idle_check(v_session);
  end if;
  return jsonb_build_object(
    'expired', coalesce(v_session.end_reason = 'expired', false),
    'live_chatkit_session_ids', chatkit_private.uncancelled_chatkit_session_ids(p_session_id)
  );
end
$$;

comment on function public.expire_session is
  'Ends a session as expired if it is unchanged since the caller checked it: no activity since '
  'p_last_activity_at, no open escalation or queued delivery, and idle by the current timeout. '
  'Otherwise it ends the lease and schedules the next check. Repeated for an expired session, it '
  'returns the ChatKit sessions that remain to be cancelled.';

create or replace function public.record_chatkit_activity(
  p_org_id uuid,
  p_session_id uuid,
  p_at timestamptz
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
begin
  if v_session.status = 'active' then
    -- The trigger on this column schedules the next check, even if the time stays the same.
    update public.chat_sessions as s
    set last_activity_at = greatest(
      s.last_activity_at, least(coalesce(p_at, s.last_activity_at), clock_timestamp())
    )
    where s.id = p_session_id
    returning * into v_session;
  end if;
  return jsonb_build_object(
    'idle', coalesce(chatkit_private.idle_deadline(v_session) <= clock_timestamp(), false),
    'last_activity_at', v_session.last_activity_at
  );
end
$$;

comment on function public.record_chatkit_activity is
  'Records activity that OpenAI reports for one of the session''s threads as the session''s last '
  'activity. OpenAI''s clock can differ, so the time is never in the future. `idle` is true if the '
  'session is idle even so.';

create or replace function public.release_idle_session(
  p_org_id uuid,
  p_session_id uuid,
  p_retry_after_seconds integer,
  p_threads_asked integer default null,
  p_last_activity_at timestamptz default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
begin
  update public.idle_checks as i
  set due_at = greatest(
    chatkit_private.idle_deadline(v_session),
    clock_timestamp() + make_interval(secs => coalesce(p_retry_after_seconds, 60))
  ),
  threads_asked = case
    when v_session.last_activity_at = p_last_activity_at
      then greatest(i.threads_asked, p_threads_asked)
    else i.threads_asked
  end
  where i.session_id = p_session_id;
  return '{}';
end
$$;

comment on function public.release_idle_session is
  'Ends the lease on a session of which not all threads could be checked at OpenAI. It stays '
  'active and is checked again after p_retry_after_seconds, or when it is due if that is later. '
  'p_threads_asked: this many threads had no activity after p_last_activity_at. The next check '
  'continues after them, unless the session has had activity since.';
