-- Ending idle sessions.

create table if not exists public.idle_checks (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  -- The last activity plus the agent's timeout; while somebody is looking, the end of their lease.
  due_at timestamptz not null,
  -- How many of the session's threads were found idle at OpenAI since its last activity.
  threads_asked integer not null default 0,
  constraint idle_checks_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.idle_checks is 
  'One row for every session that can become idle: active, and nobody is asked in it. A table of '
  'its own and not a column of the session: a lease taken here stands in nobody''s way who works on '
  'the session, and rewrites none of its many indexes.';

-- With whose session it is, so that a claim that shares out between users reads the index only.
create index if not exists idle_checks_due on public.idle_checks (due_at) include (org_id, user_id, session_id);

alter table public.idle_checks enable row level security;
revoke all on table public.idle_checks from public, anon, authenticated, service_role;

-- When a session becomes idle if nothing happens; null while it cannot: it has ended, an escalation is open, or an agent is
-- still to be told something. Otherwise an agent that is down for an afternoon would lose what its users did before.
create or replace function chatkit_private.idle_deadline(p_session public.chat_sessions) returns timestamptz
language sql stable
set search_path = ''
as $$
  select p_session.last_activity_at + make_interval(secs => a.idle_timeout_seconds)
  from public.agents as a
  where a.org_id = p_session.org_id
    and a.id = p_session.agent_id
    and p_session.status = 'active'
    and not exists (
      select from public.chat_escalations as e where e.session_id = p_session.id and e.status = 'open'
    )
    and not exists (select from public.delivery_queues as q where q.session_id = p_session.id)
$$;

-- Plans the next look at a session anew; a lease on it is gone with that.
create or replace function chatkit_private.schedule_idle_check(p_session public.chat_sessions) returns void
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

-- Whatever moves a session's activity, status or agent plans its next look, whoever writes it.
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

-- An open escalation pauses its session, and a closed one lets it go on.
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

-- A queue that begins pauses its session, and one that is empty lets it go on.
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

-- Another timeout holds for the sessions that are open now, too. Locked in the order of their ids, like all that ends several
-- sessions at once.
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

create or replace function public.claim_idle_sessions(p_limit integer, p_lease_seconds integer) returns jsonb
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
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.due_at, d.id), array_agg(d.org_id::text || d.user_id order by d.due_at, d.id)
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
  'Sessions that are due, leased to the caller: others get other ones, and these again should the '
  'caller die. Reads the due end of an index and nothing else. Every user who has some gets the '
  'same share of p_limit, one session each first and the longest idle first: however many one user '
  'has, nobody else''s wait for them. Of a session''s threads it tells up to 25 that are still to '
  'be asked for, and `threads_left` says whether there are more. The answer has at most 1.5 MiB; '
  'what does not fit stays due.';

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
  if v_session.last_activity_at = p_last_activity_at and chatkit_private.idle_deadline(v_session) <= clock_timestamp() then
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
  'Ends a session as expired if it is what the caller looked at: no activity since, no escalation, '
  'idle by the timeout of now. Otherwise the lease is let go. Repeated on a session that expired, '
  'it says what still remains to be cancelled.';

create or replace function public.record_chatkit_activity(p_org_id uuid, p_session_id uuid, p_at timestamptz)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
begin
  if v_session.status = 'active' then
    -- Plans the next look too, by the trigger, also when the time stays what it is.
    update public.chat_sessions as s
    set last_activity_at = greatest(s.last_activity_at, least(coalesce(p_at, s.last_activity_at), clock_timestamp()))
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
  'OpenAI knows of something newer in one of the session''s threads: that was its last activity, '
  'though never in the future, as OpenAI''s clock is not ours. `idle`: even that is too long ago.';

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
    when v_session.last_activity_at = p_last_activity_at then greatest(i.threads_asked, p_threads_asked)
    else i.threads_asked
  end
  where i.session_id = p_session_id;
  return '{}';
end
$$;

comment on function public.release_idle_session is 
  'OpenAI was not asked for all threads: the session stays, and is looked at again later. Not '
  'before it is due, though, should something have happened since it was claimed. p_threads_asked: '
  'so many threads had nothing newer than p_last_activity_at; the next look goes on after them, '
  'unless something has happened.';
