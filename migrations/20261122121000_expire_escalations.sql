-- Escalations end when their time is over, which lets their session go on, and become idle in its turn.

create index if not exists chat_escalations_expiring
  on public.chat_escalations (expires_at) where status = 'open' and expires_at is not null;

-- Closes what is past its time, with an event that says so. That event is activity: who waited for an answer has the session's
-- whole timeout to do without one.
create or replace function public.expire_escalations(p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ids uuid[];
  v_id uuid;
  v_session_id uuid;
  v_expired integer := 0;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- The sessions are locked first, as everywhere; one that somebody works on has its turn next time.
  select array_agg(due.id order by due.expires_at, due.id)
  into v_ids
  from (
    select e.id, e.expires_at
    from public.chat_escalations as e
    join public.chat_sessions as s on s.id = e.session_id
    where e.status = 'open' and e.expires_at <= v_now
    order by e.expires_at
    limit greatest(coalesce(p_limit, 1), 1)
    for update of s skip locked
  ) as due;

  foreach v_id in array coalesce(v_ids, '{}') loop
    -- Looked at again, now that nobody else can close it.
    update public.chat_escalations as e
    set status = 'expired', closed_at = clock_timestamp()
    where e.id = v_id and e.status = 'open'
    returning e.session_id into v_session_id;
    if found then
      perform private.append_event(
        v_session_id, gen_random_uuid(), 'hitl_expired', jsonb_build_object('escalationId', v_id), 'system', null
      );
      perform private.touch_session(v_session_id);
      v_expired := v_expired + 1;
    end if;
  end loop;
  return jsonb_build_object('expired', v_expired);
end
$$;

revoke all on function public.expire_escalations(integer) from public, anon, authenticated, service_role;
grant execute on function public.expire_escalations(integer) to service_role;
