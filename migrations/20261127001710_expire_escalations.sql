-- Expiring escalations that were not decided in time.

create or replace function public.expire_escalations(p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_read integer;
  v_ids uuid[];
  v_owners text[];
  v_escalation public.chat_escalations;
  v_id uuid;
  v_expired integer := 0;
begin
  -- A generic plan may scan the whole table; the plan for the actual limit does not.
  set local plan_cache_mode = force_custom_plan;

  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.expires_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.expires_at, d.id)
    into v_ids, v_owners
    from (
      select e.id, e.org_id, e.user_id, e.expires_at
      from public.chat_escalations as e
      where e.status = 'open' and e.expires_at <= v_now
      order by e.expires_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, v_limit);
  end loop;
  v_ids := chatkit_private.fair_share(v_ids, v_owners, v_limit);

  -- Sessions are locked before their escalations, as everywhere. A session that another
  -- transaction has locked is left to the next run. The escalations are processed in the order of
  -- their sessions' ids, as in every transaction that works on several sessions.
  v_ids := array(
    with free as (
      select e.id, e.session_id, e.expires_at
      from unnest(v_ids) as c (id)
      join public.chat_escalations as e on e.id = c.id
      join public.chat_sessions as s on s.id = e.session_id
      for update of s skip locked
    )
    select f.id from free as f order by f.session_id, f.expires_at, f.id
  );
  perform from public.chat_threads as t
  where t.id in (
    select r.thread_id
    from public.chat_escalations as e
    join public.deliveries as d on d.id = e.delivery_id
    join public.chat_runs as r on r.id = d.run_id
    where e.id = any (v_ids)
    union all
    select chatkit_private.question_thread_id(e)
    from public.chat_escalations as e
    where e.id = any (v_ids)
  )
  order by t.id
  for update;
  set local plan_cache_mode = auto;

  foreach v_id in array v_ids loop
    -- Another transaction may have closed it before the session was locked.
    update public.chat_escalations as e
    set status = 'expired', closed_at = clock_timestamp()
    where e.id = v_id and e.status = 'open'
    returning * into v_escalation;
    if found then
      update public.deliveries as d
      set status = 'dead', error = 'ask_expired'
      where d.id = v_escalation.delivery_id and d.status = 'asked';
      perform chatkit_private.append_event(
        v_escalation.session_id, chatkit_private.new_id(), 'hitl_expired',
        jsonb_build_object('escalationId', v_id), 'system', null
      );
      perform chatkit_private.touch_session(v_escalation.session_id);
      v_expired := v_expired + 1;
    end if;
  end loop;
  return jsonb_build_object('expired', v_expired);
end
$$;

comment on function public.expire_escalations is
  'Closes up to p_limit escalations whose time is over, each with an event `hitl_expired`, and '
  'returns their number. The event counts as activity, so the user has the session''s whole idle '
  'timeout to continue without a decision. Every user gets the same share of p_limit, one '
  'escalation each first.';
