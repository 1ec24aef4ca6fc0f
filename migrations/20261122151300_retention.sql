-- Retention: how long an organisation keeps sessions that have ended. None set: for ever.

create table if not exists public.org_retention (
  org_id uuid primary key,
  -- Whole days since the session's end.
  keep_days integer not null,
  updated_at timestamptz not null default clock_timestamp(),
  constraint org_retention_keep_days_range check (keep_days between 1 and 36500)
);

-- Sessions that somebody is about to erase. A table of its own, for the same reason as idle_checks; a row goes with its session.
create table if not exists public.retention_leases (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  lease_until timestamptz not null,
  constraint retention_leases_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

-- An organisation's ended sessions, those that ended first first: what is overdue stands at its beginning.
create index if not exists chat_sessions_ended
  on public.chat_sessions (org_id, ended_at) where status = 'ended';
-- Who else links a thread.
create index if not exists chatkit_threads_by_thread on public.chatkit_threads (org_id, user_id, thread_id);

alter table public.org_retention enable row level security;
alter table public.retention_leases enable row level security;
revoke all on table public.org_retention, public.retention_leases from public, anon, authenticated, service_role;

-- Before when a session of an organisation must have ended to be overdue; null if the organisation keeps them.
create or replace function private.overdue_before(p_org_id uuid) returns timestamptz
language sql stable
set search_path = ''
as $$
  select clock_timestamp() - make_interval(days => r.keep_days) from public.org_retention as r where r.org_id = p_org_id
$$;

-- Sets for how many days an organisation keeps what has ended; left out, for ever. Answers what is in force.
create or replace function public.set_retention(p_org_id uuid, p_keep_days integer default null) returns jsonb
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
    on conflict (org_id) do update set keep_days = excluded.keep_days, updated_at = clock_timestamp()
    where r.keep_days <> excluded.keep_days;
  end if;
  return jsonb_build_object('retention', jsonb_build_object('org_id', p_org_id, 'keep_days', p_keep_days));
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_retention', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

-- Sessions that are overdue, those that ended first first, leased to the caller; these again after the lease, should the caller
-- die or ChatKit be down. `thread_ids`: which of a session's threads no session links that stays. Of two overdue ones that link
-- the same, both say it.
create or replace function public.claim_overdue_sessions(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := greatest(coalesce(p_limit, 1), 1);
  v_sessions jsonb;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- The oldest of all are with the organisations whose oldest is oldest: no other needs to be looked into.
  with organisations as (
    select r.org_id, r.keep_days
    from public.org_retention as r
    cross join lateral (
      select o.ended_at
      from public.chat_sessions as o
      where o.org_id = r.org_id
        and o.status = 'ended'
        and o.ended_at < v_now - make_interval(days => r.keep_days)
        and not exists (
          select from public.retention_leases as l where l.session_id = o.id and l.lease_until > v_now
        )
      order by o.ended_at
      limit 1
    ) as oldest
    order by oldest.ended_at
    limit v_limit
  ), overdue as (
    select s.id
    from organisations as r
    cross join lateral (
      select o.id, o.ended_at
      from public.chat_sessions as o
      where o.org_id = r.org_id
        and o.status = 'ended'
        and o.ended_at < v_now - make_interval(days => r.keep_days)
        and not exists (
          select from public.retention_leases as l where l.session_id = o.id and l.lease_until > v_now
        )
      order by o.ended_at
      limit v_limit
    ) as s
    order by s.ended_at, s.id
    limit v_limit
  ), free as (
    -- One that somebody works on has its turn next time.
    select s.org_id, s.user_id, s.id
    from public.chat_sessions as s
    where s.id in (select o.id from overdue as o)
    for update skip locked
  ), leased as (
    insert into public.retention_leases as l (org_id, user_id, session_id, lease_until)
    select f.org_id, f.user_id, f.id, v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from free as f
    on conflict (session_id) do update set lease_until = excluded.lease_until where l.lease_until <= v_now
    returning l.org_id, l.user_id, l.session_id
  )
  select jsonb_agg(
    jsonb_build_object(
      'org_id', l.org_id,
      'session_id', l.session_id,
      'chatkit_user', u.chatkit_user,
      'thread_ids', (
        select coalesce(jsonb_agg(t.thread_id order by t.linked_at, t.thread_id), '[]')
        from public.chatkit_threads as t
        where t.session_id = l.session_id
          and not exists (
            select
            from public.chatkit_threads as o
            join public.chat_sessions as s on s.id = o.session_id
            where o.org_id = t.org_id and o.user_id = t.user_id and o.thread_id = t.thread_id
              and (s.status = 'active' or s.ended_at >= private.overdue_before(s.org_id))
          )
      )
    )
    order by l.session_id
  )
  into v_sessions
  from leased as l
  join public.chatkit_users as u on u.org_id = l.org_id and u.user_id = l.user_id;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

-- Erases up to p_limit rows of a session, if it is still overdue. `erased`: nothing of it is left. `overdue`: false if its
-- organisation keeps it after all.
create or replace function public.erase_overdue_session(p_org_id uuid, p_session_id uuid, p_limit integer default 1000)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
  v_step jsonb;
begin
  if (v_session.ended_at < private.overdue_before(p_org_id)) is not true then
    delete from public.retention_leases as l where l.session_id = p_session_id;
    return jsonb_build_object('erased', false, 'overdue', false, 'wait_seconds', 0);
  end if;
  v_step := private.erase_session(v_session, p_limit);
  return jsonb_build_object(
    'erased', v_step -> 'erased', 'overdue', true, 'wait_seconds', v_step -> 'wait_seconds'
  );
end
$$;

revoke all on function private.overdue_before(uuid) from public, anon, authenticated, service_role;
revoke all on function public.set_retention(uuid, integer) from public, anon, authenticated, service_role;
revoke all on function public.claim_overdue_sessions(integer, integer) from public, anon, authenticated, service_role;
revoke all on function public.erase_overdue_session(uuid, uuid, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.set_retention(uuid, integer) to service_role;
grant execute on function public.claim_overdue_sessions(integer, integer) to service_role;
grant execute on function public.erase_overdue_session(uuid, uuid, integer) to service_role;
