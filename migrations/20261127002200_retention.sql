-- Retention: erasing sessions a number of days after they have ended.

create table if not exists public.org_retention (
  org_id uuid primary key,
  -- Whole days after the end of a session.
  keep_days integer not null,
  updated_at timestamptz not null default clock_timestamp(),
  constraint org_retention_keep_days_range check (keep_days between 1 and 36500)
);

comment on table public.org_retention is
  'How long an organisation keeps its ended sessions. An organisation without a row keeps them '
  'forever.';

alter table public.org_retention enable row level security;
revoke all on table public.org_retention from public, anon, authenticated, service_role;

create table if not exists public.retention_leases (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  lease_until timestamptz not null,
  constraint retention_leases_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.retention_leases is
  'Leases of sessions that are about to be erased. A separate table, so that a lease neither '
  'blocks transactions that work on the session nor updates its indexes. A row is deleted with '
  'its session.';

alter table public.retention_leases enable row level security;
revoke all on table public.retention_leases from public, anon, authenticated, service_role;

-- Returns the time before which a session of an organisation must have ended to be overdue. Null
-- if the organisation keeps its sessions.
create or replace function chatkit_private.retention_cutoff(p_org_id uuid) returns timestamptz
language sql stable
set search_path = ''
as $$
  select clock_timestamp() - make_interval(days => r.keep_days)
  from public.org_retention as r where r.org_id = p_org_id
$$;

create or replace function public.set_retention(
  p_org_id uuid,
  p_keep_days integer default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_constraint text;
  v_column text;
begin
  if p_keep_days is null then
    delete from public.org_retention as r where r.org_id = p_org_id;
  else
    insert into public.org_retention as r (org_id, keep_days)
    values (p_org_id, p_keep_days)
    on conflict (org_id) do update
    set keep_days = excluded.keep_days, updated_at = clock_timestamp()
    where r.keep_days <> excluded.keep_days;
  end if;
  return jsonb_build_object(
    'retention', jsonb_build_object('org_id', p_org_id, 'keep_days', p_keep_days)
  );
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_retention',
      detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.set_retention is
  'Sets how many days an organisation keeps its ended sessions, and returns the setting. Null '
  'keeps them forever.';

-- Returns the ids of up to p_limit overdue sessions that are not leased, in turn: every user gets
-- the same share, the sessions that ended first.
create or replace function chatkit_private.overdue_session_ids(
  p_limit integer,
  p_now timestamptz
) returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  v_org_ids uuid[];
  v_read integer;
  v_ids uuid[];
  v_owners text[];
begin
  -- The sessions that ended first belong to the organisations whose oldest overdue session is the
  -- oldest, so no more than p_limit organisations have to be read.
  v_org_ids := array(
    select r.org_id
    from public.org_retention as r
    cross join lateral (
      select o.ended_at
      from public.chat_sessions as o
      where o.org_id = r.org_id
        and o.status = 'ended'
        and o.ended_at < p_now - make_interval(days => r.keep_days)
        and not exists (
          select from public.retention_leases as l
          where l.session_id = o.id and l.lease_until > p_now
        )
      order by o.ended_at
      limit 1
    ) as oldest
    order by oldest.ended_at
    limit p_limit
  );

  foreach v_read in array array[2 * p_limit, 40000] loop
    select array_agg(d.id order by d.ended_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.ended_at, d.id)
    into v_ids, v_owners
    from (
      select s.*
      from public.org_retention as r
      cross join lateral (
        select o.id, o.org_id, o.user_id, o.ended_at
        from public.chat_sessions as o
        where o.org_id = r.org_id
          and o.status = 'ended'
          and o.ended_at < p_now - make_interval(days => r.keep_days)
          and not exists (
            select from public.retention_leases as l
            where l.session_id = o.id and l.lease_until > p_now
          )
        order by o.ended_at
        limit v_read
      ) as s
      where r.org_id = any (v_org_ids)
      order by s.ended_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, p_limit);
  end loop;
  return chatkit_private.fair_share(v_ids, v_owners, p_limit);
end
$$;

create or replace function public.claim_overdue_sessions(
  p_limit integer,
  p_lease_seconds integer
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_ids uuid[];
  v_sessions jsonb;
begin
  -- A generic plan may scan the whole table; the plan for the actual limit does not.
  set local plan_cache_mode = force_custom_plan;

  v_ids := chatkit_private.overdue_session_ids(v_limit, v_now);

  with free as (
    -- A session that another transaction has locked is claimed next time.
    select s.org_id, s.user_id, s.id, c.turn
    from unnest(v_ids) with ordinality as c (id, turn)
    join public.chat_sessions as s on s.id = c.id
    for update of s skip locked
  ), linked as materialized (
    select f.id as session_id, t.org_id, t.user_id, t.thread_id, t.linked_at
    from free as f
    join public.chatkit_threads as t on t.session_id = f.id
  ), kept as (
    -- Each thread is looked up once, because a user may link the same threads in all sessions.
    select k.org_id, k.user_id, k.thread_id
    from (select distinct l.org_id, l.user_id, l.thread_id from linked as l) as k
    join public.org_retention as r on r.org_id = k.org_id
    where exists (
      select
      from public.chatkit_threads as o
      join public.chat_sessions as s on s.id = o.session_id
      where o.org_id = k.org_id and o.user_id = k.user_id and o.thread_id = k.thread_id
        and (s.status = 'active' or s.ended_at >= v_now - make_interval(days => r.keep_days))
    )
  ), deletable as (
    select l.session_id, array_agg(l.thread_id order by l.linked_at, l.thread_id) as thread_ids
    from linked as l
    left join kept as k
      on k.org_id = l.org_id and k.user_id = l.user_id and k.thread_id = l.thread_id
    where k.thread_id is null
    group by l.session_id
  ), described as (
    select f.org_id, f.user_id, f.id, f.turn, jsonb_build_object(
        'org_id', f.org_id,
        'session_id', f.id,
        'chatkit_user', u.chatkit_user,
        'thread_ids', coalesce(to_jsonb(d.thread_ids[1:50]), '[]'),
        'threads_left', coalesce(cardinality(d.thread_ids) > 50, false)
      ) as session
    from free as f
    join public.chatkit_users as u on u.org_id = f.org_id and u.user_id = f.user_id
    left join deletable as d on d.session_id = f.id
  ), measured as (
    select d.*, sum(octet_length(d.session::text)) over (order by d.turn) as bytes
    from described as d
  ), leased as (
    insert into public.retention_leases as l (org_id, user_id, session_id, lease_until)
    select m.org_id, m.user_id, m.id, v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from measured as m
    where m.bytes <= 1572864
    order by m.id
    on conflict (session_id) do update set lease_until = excluded.lease_until
    where l.lease_until <= v_now
    returning l.session_id
  )
  select jsonb_agg(m.session order by m.turn)
  into v_sessions
  from leased as l
  join measured as m on m.id = l.session_id;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

comment on function public.claim_overdue_sessions is
  'Returns sessions whose retention period is over, and leases them to the caller; a session '
  'that is not erased is returned again after its lease. Every user gets the same share of '
  'p_limit, the sessions that ended first, and the response has at most 1.5 MiB; what does not '
  'fit stays overdue. `thread_ids` lists up to 50 threads of a session that no session to be '
  'kept links, and `threads_left` reports whether there are more. If two overdue sessions link '
  'the same thread, both list it.';

create or replace function public.erase_overdue_session(
  p_org_id uuid,
  p_session_id uuid,
  p_limit integer default 1000,
  p_thread_ids text[] default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
  v_step jsonb;
begin
  if (v_session.ended_at < chatkit_private.retention_cutoff(p_org_id)) is not true then
    delete from public.retention_leases as l where l.session_id = p_session_id;
    return jsonb_build_object('erased', false, 'overdue', false, 'wait_seconds', 0);
  end if;
  if p_thread_ids is not null then
    delete from public.chatkit_threads as t
    where t.session_id = p_session_id and t.thread_id = any (p_thread_ids);
    return jsonb_build_object('erased', false, 'overdue', true, 'wait_seconds', 0);
  end if;
  v_step := chatkit_private.erase_session(v_session, p_limit, true);
  return jsonb_build_object(
    'erased', v_step -> 'erased', 'overdue', true, 'wait_seconds', v_step -> 'wait_seconds'
  );
end
$$;

comment on function public.erase_overdue_session is
  'Erases up to p_limit rows of a session if it is still overdue. `erased` reports whether '
  'nothing of the session is left, and `overdue` is false if its organisation keeps it. With '
  'p_thread_ids, deletes only the links to these threads, which were deleted at OpenAI; the '
  'session remains until its other threads are deleted, too.';
