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
-- again after the lease.
create or replace function public.claim_stale_chatkit(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_sessions jsonb;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  with stale as (
    select c.id
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
    limit greatest(coalesce(p_limit, 1), 1)
    for update of c skip locked
  ), leased as (
    update public.chatkit_sessions as c
    set cancel_lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from stale
    where c.id = stale.id
    returning c.org_id, c.session_id, c.chatkit_session_id, c.expires_at
  ), by_session as (
    select jsonb_build_object(
        'org_id', l.org_id,
        'session_id', l.session_id,
        'chatkit_session_ids', jsonb_agg(l.chatkit_session_id order by l.expires_at, l.chatkit_session_id)
      ) as session,
      min(l.expires_at) as expires_at
    from leased as l
    group by l.org_id, l.session_id
  )
  select jsonb_agg(b.session order by b.expires_at, b.session) into v_sessions from by_session as b;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

revoke all on function public.claim_stale_chatkit(integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_stale_chatkit(integer, integer) to service_role;
