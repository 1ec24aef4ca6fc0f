-- Ending idle sessions. People talk to ChatKit directly, past us, so a session that looks idle here may not be: it is claimed
-- for a while, OpenAI is asked without a lock held, and only then it is ended, if nothing happened in between.

-- Sessions that are due, the longest idle first, leased to the caller: others get other ones, and these again should the
-- caller die. Reads the due end of an index and nothing else.
create or replace function public.claim_idle_sessions(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_sessions jsonb;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  with due as (
    select i.session_id, i.due_at
    from public.idle_checks as i
    where i.due_at <= v_now
    order by i.due_at
    limit greatest(coalesce(p_limit, 1), 1)
    for update skip locked
  ), leased as (
    update public.idle_checks as i
    set due_at = v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from due
    where i.session_id = due.session_id
    returning i.session_id, due.due_at
  )
  select jsonb_agg(
    jsonb_build_object(
      'org_id', s.org_id,
      'session_id', s.id,
      'user_id', s.user_id,
      'chatkit_user', u.chatkit_user,
      'last_activity_at', s.last_activity_at,
      'idle_timeout_seconds', a.idle_timeout_seconds,
      'thread_ids', (
        select coalesce(jsonb_agg(t.thread_id order by t.linked_at, t.thread_id), '[]')
        from public.chatkit_threads as t
        where t.session_id = s.id
      )
    )
    order by leased.due_at, s.id
  )
  into v_sessions
  from leased
  join public.chat_sessions as s on s.id = leased.session_id
  join public.agents as a on a.org_id = s.org_id and a.id = s.agent_id
  join public.chatkit_users as u on u.org_id = s.org_id and u.user_id = s.user_id;
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

-- OpenAI could not be asked: nobody knows whether the session is idle, so it stays, and is looked at again later. Not before
-- it is due, though, should something have happened since it was claimed.
create or replace function public.release_idle_session(
  p_org_id uuid,
  p_session_id uuid,
  p_retry_after_seconds integer
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
  )
  where i.session_id = p_session_id;
  return '{}';
end
$$;

revoke all on function public.claim_idle_sessions(integer, integer) from public, anon, authenticated, service_role;
revoke all on function public.expire_session(uuid, uuid, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.note_upstream_activity(uuid, uuid, timestamptz)
  from public, anon, authenticated, service_role;
revoke all on function public.release_idle_session(uuid, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_idle_sessions(integer, integer) to service_role;
grant execute on function public.expire_session(uuid, uuid, timestamptz) to service_role;
grant execute on function public.note_upstream_activity(uuid, uuid, timestamptz) to service_role;
grant execute on function public.release_idle_session(uuid, uuid, integer) to service_role;
