-- ChatKit sessions that should be cancelled at OpenAI and are not yet, because OpenAI was down or somebody died: tried again
-- until they are over by themselves.

alter table public.chatkit_sessions
  -- Until when somebody is cancelling it at OpenAI.
  add column if not exists cancel_lease_until timestamptz;

-- Without a secret of use and not confirmed as cancelled. Most of these ran out long ago; the expiry tells them apart.
create index if not exists chatkit_sessions_retired
  on public.chatkit_sessions (expires_at)
  where recorded_at is not null and sealed_secret is null and cancelled_at is null;

-- Those to cancel, leased to the caller, so that two schedulers don't cancel the same at once. What is not confirmed comes
-- again after the lease. Every user who has some gets the same share of p_limit, one each first; the answer has at most 1.5 MiB.
create or replace function public.claim_stale_chatkit(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_prefix integer;
  v_due integer;
  v_users integer;
  v_sessions jsonb;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- Further on if all of the first are those of few users.
  foreach v_prefix in array array[10 * v_limit, 40000] loop
    select coalesce(sum(u.due), 0), count(*)
    into v_due, v_users
    from (
      select count(*) as due
      from (
        select c.org_id, c.user_id
        from public.chatkit_sessions as c
        join public.chat_sessions as s on s.id = c.session_id
        where c.recorded_at is not null
          and c.sealed_secret is null
          and c.cancelled_at is null
          and (c.cancel_lease_until is null or c.cancel_lease_until <= v_now)
          -- OpenAI's clock is not ours: a minute of grace, but not for what simply ran out.
          and c.expires_at > v_now - interval '1 minute'
          and (c.expires_at > v_now or c.failed_at is not null or s.status = 'ended' or s.agent_id <> c.agent_id)
        order by c.expires_at
        limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as u;
    exit when v_due < v_prefix or v_users >= v_limit;
  end loop;

  with due as (
    select c.id, c.org_id, c.user_id, c.expires_at
    from public.chatkit_sessions as c
    join public.chat_sessions as s on s.id = c.session_id
    where c.recorded_at is not null
      and c.sealed_secret is null
      and c.cancelled_at is null
      and (c.cancel_lease_until is null or c.cancel_lease_until <= v_now)
      -- OpenAI's clock is not ours: a minute of grace, but not for what simply ran out.
      and c.expires_at > v_now - interval '1 minute'
      and (c.expires_at > v_now or c.failed_at is not null or s.status = 'ended' or s.agent_id <> c.agent_id)
    order by c.expires_at
    limit v_prefix
  ), ranked as (
    select d.id, d.expires_at, row_number() over (partition by d.org_id, d.user_id order by d.expires_at) as turn
    from due as d
  ), chosen as (
    select r.id, r.expires_at, r.turn
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_users, 1))
    order by r.turn, r.expires_at
    limit v_limit
  ), stale as (
    select c.id, c.expires_at, h.turn,
      sum(octet_length(c.chatkit_session_id) + 200) over (order by h.turn, c.expires_at, c.id) as bytes
    from (
      select c.id, c.expires_at, c.chatkit_session_id
      from chosen as h
      join public.chatkit_sessions as c on c.id = h.id
      where c.cancelled_at is null and (c.cancel_lease_until is null or c.cancel_lease_until <= v_now)
      for update of c skip locked
    ) as c
    join chosen as h on h.id = c.id
  ), leased as (
    update public.chatkit_sessions as c
    set cancel_lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from stale
    where c.id = stale.id and stale.bytes <= 1572864
    returning c.org_id, c.session_id, c.chatkit_session_id, c.expires_at, stale.turn
  ), by_session as (
    select jsonb_build_object(
        'org_id', l.org_id,
        'session_id', l.session_id,
        'chatkit_session_ids', jsonb_agg(l.chatkit_session_id order by l.expires_at, l.chatkit_session_id)
      ) as session,
      min(l.turn) as turn,
      min(l.expires_at) as expires_at
    from leased as l
    group by l.org_id, l.session_id
  )
  select jsonb_agg(b.session order by b.turn, b.expires_at, b.session) into v_sessions from by_session as b;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

revoke all on function public.claim_stale_chatkit(integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_stale_chatkit(integer, integer) to service_role;
