-- Ending idle sessions. People talk to ChatKit directly, past us, so a session that looks idle here may not be: it is claimed
-- for a while, OpenAI is asked without a lock held, and only then it is ended, if nothing happened in between.

-- Sessions that are due, leased to the caller: others get other ones, and these again should the caller die. Reads the due end of
-- an index and nothing else. Every user who has some gets the same share of p_limit, one session each first and the longest idle
-- first: however many one user has, nobody else's wait for them. Of a session's threads it tells up to 25 that are still to be
-- asked for, and `threads_left` says whether there are more. The answer has at most 1.5 MiB; what does not fit stays due.
create or replace function public.claim_idle_sessions(p_limit integer, p_lease_seconds integer) returns jsonb
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
        select i.org_id, i.user_id from public.idle_checks as i where i.due_at <= v_now order by i.due_at limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as u;
    exit when v_due < v_prefix or v_users >= v_limit;
  end loop;

  with due as (
    select i.session_id, i.org_id, i.user_id, i.due_at
    from public.idle_checks as i
    where i.due_at <= v_now
    order by i.due_at
    limit v_prefix
  ), ranked as (
    select d.session_id, d.due_at, row_number() over (partition by d.org_id, d.user_id order by d.due_at) as turn
    from due as d
  ), chosen as (
    select r.session_id, r.due_at, r.turn
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_users, 1))
    order by r.turn, r.due_at
    limit v_limit
  ), free as (
    select i.session_id, i.threads_asked, c.due_at, c.turn
    from chosen as c
    join public.idle_checks as i on i.session_id = c.session_id
    where i.due_at <= v_now
    for update of i skip locked
  ), described as (
    select f.session_id, f.due_at, f.turn, jsonb_build_object(
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
    select d.*, sum(octet_length(d.session::text)) over (order by d.turn, d.due_at, d.session_id) as bytes
    from described as d
  ), leased as (
    update public.idle_checks as i
    set due_at = v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from measured as m
    where i.session_id = m.session_id and m.bytes <= 1572864
    returning i.session_id
  )
  select jsonb_agg(m.session order by m.turn, m.due_at, m.session_id)
  into v_sessions
  from leased as l
  join measured as m on m.session_id = l.session_id;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

-- Ends a session as expired if it is what the caller looked at: no activity since, no escalation, idle by the timeout of now.
-- Otherwise the lease is let go. Repeated on a session that expired, it says what still remains to be cancelled.
create or replace function public.expire_session(
  p_org_id uuid,
  p_session_id uuid,
  p_last_activity_at timestamptz
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
begin
  if v_session.last_activity_at = p_last_activity_at and private.idle_at(v_session) <= clock_timestamp() then
    perform private.end_session(p_session_id, 'expired', 'system', null);
    v_session.end_reason := 'expired';
  else
    perform private.plan_idle_check(v_session);
  end if;
  return jsonb_build_object(
    'expired', coalesce(v_session.end_reason = 'expired', false),
    'live_chatkit_session_ids', private.retired_chatkit_session_ids(p_session_id)
  );
end
$$;

-- OpenAI knows of something newer in one of the session's threads: that was its last activity, though never in the future, as
-- OpenAI's clock is not ours. `idle`: even that is too long ago.
create or replace function public.note_upstream_activity(p_org_id uuid, p_session_id uuid, p_at timestamptz)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
begin
  if v_session.status = 'active' then
    -- Plans the next look too, by the trigger, also when the time stays what it is.
    update public.chat_sessions as s
    set last_activity_at = greatest(s.last_activity_at, least(coalesce(p_at, s.last_activity_at), clock_timestamp()))
    where s.id = p_session_id
    returning * into v_session;
  end if;
  return jsonb_build_object(
    'idle', coalesce(private.idle_at(v_session) <= clock_timestamp(), false),
    'last_activity_at', v_session.last_activity_at
  );
end
$$;

-- OpenAI was not asked for all threads: the session stays, and is looked at again later. Not before it is due, though, should
-- something have happened since it was claimed. p_threads_asked: so many threads had nothing newer than p_last_activity_at; the
-- next look goes on after them, unless something has happened.
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
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
begin
  update public.idle_checks as i
  set due_at = greatest(
    private.idle_at(v_session),
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

revoke all on function public.claim_idle_sessions(integer, integer) from public, anon, authenticated, service_role;
revoke all on function public.expire_session(uuid, uuid, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.note_upstream_activity(uuid, uuid, timestamptz)
  from public, anon, authenticated, service_role;
revoke all on function public.release_idle_session(uuid, uuid, integer, integer, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.claim_idle_sessions(integer, integer) to service_role;
grant execute on function public.expire_session(uuid, uuid, timestamptz) to service_role;
grant execute on function public.note_upstream_activity(uuid, uuid, timestamptz) to service_role;
grant execute on function public.release_idle_session(uuid, uuid, integer, integer, timestamptz) to service_role;
