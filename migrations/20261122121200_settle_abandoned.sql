-- Requests to OpenAI of which nobody will ever tell what became: the function that asked has died. They count as failed, and
-- a session that was only being opened by them ends.

create index if not exists chatkit_sessions_pending
  on public.chatkit_sessions (requested_at) where recorded_at is null and failed_at is null;

-- Settles the oldest ones, of every user the same share of p_limit. Should somebody still be alive after all, their answer is recorded without a secret.
create or replace function public.settle_abandoned(p_limit integer, p_older_than_seconds integer default 60)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_prefix integer;
  v_due integer;
  v_users integer;
  v_ids uuid[];
  v_session_ids uuid[];
  v_settled integer;
  v_session public.chat_sessions;
  v_failed_sessions integer := 0;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- Further on if all of the first are those of few users. An attempt under a key has until the end of its lease.
  foreach v_prefix in array array[10 * v_limit, 40000] loop
    select coalesce(sum(u.due), 0), count(*)
    into v_due, v_users
    from (
      select count(*) as due
      from (
        select c.org_id, c.user_id
        from public.chatkit_sessions as c
        where c.recorded_at is null
          and c.failed_at is null
          and c.requested_at < v_now - make_interval(secs => coalesce(p_older_than_seconds, 60))
          and not exists (
            select from public.idempotency_keys as k
            where k.chatkit_request_id = c.id and k.lease_until > v_now
          )
        order by c.requested_at
        limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as u;
    exit when v_due < v_prefix or v_users >= v_limit;
  end loop;

  -- The sessions are locked first, as everywhere.
  with due as (
    select c.id, c.session_id, c.org_id, c.user_id, c.requested_at
    from public.chatkit_sessions as c
    where c.recorded_at is null
      and c.failed_at is null
      and c.requested_at < v_now - make_interval(secs => coalesce(p_older_than_seconds, 60))
      and not exists (
        select from public.idempotency_keys as k
        where k.chatkit_request_id = c.id and k.lease_until > v_now
      )
    order by c.requested_at
    limit v_prefix
  ), ranked as (
    select d.id, d.session_id, d.requested_at,
      row_number() over (partition by d.org_id, d.user_id order by d.requested_at) as turn
    from due as d
  ), chosen as (
    select r.id, r.session_id
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_users, 1))
    order by r.turn, r.requested_at
    limit v_limit
  ), abandoned as (
    select c.id
    from chosen as c
    join public.chat_sessions as s on s.id = c.session_id
    for update of s skip locked
  )
  select array_agg(a.id) into v_ids from abandoned as a;

  -- Looked at again, now that nobody else can record or fail them.
  with settled as (
    update public.chatkit_sessions as c
    set failed_at = clock_timestamp()
    where c.id = any (v_ids) and c.recorded_at is null and c.failed_at is null
    returning c.session_id
  )
  select count(*), array_agg(distinct t.session_id) into v_settled, v_session_ids from settled as t;

  for v_session in select s.* from public.chat_sessions as s where s.id = any (v_session_ids) order by s.id loop
    if private.failed_to_open(v_session) then
      perform private.end_session(v_session.id, 'failed', 'system', null);
      v_failed_sessions := v_failed_sessions + 1;
    end if;
  end loop;
  return jsonb_build_object('settled', v_settled, 'failed_sessions', v_failed_sessions);
end
$$;

revoke all on function public.settle_abandoned(integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.settle_abandoned(integer, integer) to service_role;
