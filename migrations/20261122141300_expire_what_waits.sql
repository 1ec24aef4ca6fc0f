-- An escalation that nobody decides in time takes with it what waits for it: nothing is called without an answer.

-- Closes what is past its time, with an event that says so. That event is activity: who waited for an answer has the session's
-- whole timeout to do without one. Every user who has some gets the same share of p_limit, one each first.
create or replace function public.expire_escalations(p_limit integer) returns jsonb
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
  v_escalation public.chat_escalations;
  v_id uuid;
  v_expired integer := 0;
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
        select e.org_id, e.user_id
        from public.chat_escalations as e
        where e.status = 'open' and e.expires_at <= v_now
        order by e.expires_at
        limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as u;
    exit when v_due < v_prefix or v_users >= v_limit;
  end loop;

  -- The sessions are locked first, as everywhere; one that somebody works on has its turn next time. Then they are gone through
  -- in the order of their ids, like all that works on several sessions at once.
  v_ids := array(
    with due as (
      select e.id, e.session_id, e.org_id, e.user_id, e.expires_at
      from public.chat_escalations as e
      where e.status = 'open' and e.expires_at <= v_now
      order by e.expires_at
      limit v_prefix
    ), ranked as (
      select d.id, d.session_id, d.expires_at,
        row_number() over (partition by d.org_id, d.user_id order by d.expires_at) as turn
      from due as d
    ), chosen as (
      select r.id, r.session_id, r.expires_at
      from ranked as r
      where r.turn <= ceil(v_limit::numeric / greatest(v_users, 1))
      order by r.turn, r.expires_at
      limit v_limit
    ), free as (
      select c.id, c.session_id, c.expires_at
      from chosen as c
      join public.chat_sessions as s on s.id = c.session_id
      for update of s skip locked
    )
    select f.id from free as f order by f.session_id, f.expires_at, f.id
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

revoke all on function public.expire_escalations(integer) from public, anon, authenticated, service_role;
grant execute on function public.expire_escalations(integer) to service_role;
