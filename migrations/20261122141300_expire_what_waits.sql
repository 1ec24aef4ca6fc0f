-- An escalation that nobody decides in time takes with it what waits for it: nothing is called without an answer.

-- Closes what is past its time, with an event that says so. That event is activity: who waited for an answer has the session's
-- whole timeout to do without one.
create or replace function public.expire_escalations(p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ids uuid[];
  v_escalation public.chat_escalations;
  v_id uuid;
  v_expired integer := 0;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- The sessions are locked first, as everywhere; one that somebody works on has its turn next time. Then they are gone through
  -- in the order of their ids, like all that works on several sessions at once.
  v_ids := array(
    select due.id
    from (
      select e.id, e.session_id, e.expires_at
      from public.chat_escalations as e
      join public.chat_sessions as s on s.id = e.session_id
      where e.status = 'open' and e.expires_at <= v_now
      order by e.expires_at
      limit greatest(coalesce(p_limit, 1), 1)
      for update of s skip locked
    ) as due
    order by due.session_id, due.expires_at, due.id
  );
  set local plan_cache_mode = auto;

  foreach v_id in array v_ids loop
    -- Looked at again, now that nobody else can close it.
    update public.chat_escalations as e
    set status = 'expired', closed_at = clock_timestamp()
    where e.id = v_id and e.status = 'open'
    returning * into v_escalation;
    if found then
      update public.deliveries as d
      set status = 'dead', error = 'ask_expired'
      where d.id = v_escalation.delivery_id and d.status = 'asked';
      perform private.append_event(
        v_escalation.session_id, private.new_id(), 'hitl_expired', jsonb_build_object('escalationId', v_id), 'system', null
      );
      perform private.touch_session(v_escalation.session_id);
      v_expired := v_expired + 1;
    end if;
  end loop;
  return jsonb_build_object('expired', v_expired);
end
$$;
