-- Claiming: a dispatcher claims the deliveries that are due.

-- Returns how many more calls of its queues an organisation may begin now to one agent. At most 16
-- run at once, and at most 8 of them call the same agent: one that is slow or dead leaves the
-- others their share. The calls of turns are bounded by the running turns.
create or replace function chatkit_private.free_slots(p_org_id uuid, p_agent_id text)
returns integer
language sql stable
set search_path = ''
as $$
  select greatest(0, least(16 - count(*), 8 - count(*) filter (where d.agent_id = p_agent_id)))
    ::integer
  from public.deliveries as d
  where d.org_id = p_org_id and d.status = 'running' and not d.in_turn
    and d.lease_until > clock_timestamp()
$$;

-- Returns organisations that have a due queue, in random order. Usually fewer than 500 queues are
-- due, and reading those is enough. If more are due, they may all belong to one organisation. The
-- function then walks the organisations in hash order from a random start, until it has found 256
-- with a due queue.
create or replace function chatkit_private.due_organisations() returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_start integer := floor(random() * 4294967296 - 2147483648);
  v_from integer;
  v_read integer;
  v_org_ids uuid[];
begin
  select count(*), array_agg(distinct f.org_id)
  into v_read, v_org_ids
  from (
    select q.org_id
    from public.delivery_queues as q
    where q.due_at <= v_now
    order by q.due_at
    limit 500
  ) as f;

  if v_read = 500 then
    v_org_ids := '{}';
    foreach v_from in array array[v_start, -2147483648] loop
      v_org_ids := v_org_ids || array(
        with recursive organisations as (
          (
            select uuid_hash(q.org_id) as place, q.org_id
            from public.delivery_queues as q
            where uuid_hash(q.org_id) >= v_from
            order by uuid_hash(q.org_id), q.org_id
            limit 1
          )
          union all
          select n.place, n.org_id
          from organisations as o
          cross join lateral (
            select uuid_hash(q.org_id) as place, q.org_id
            from public.delivery_queues as q
            where (uuid_hash(q.org_id), q.org_id) > (o.place, o.org_id)
            order by uuid_hash(q.org_id), q.org_id
            limit 1
          ) as n
          -- The second pass ends where the first began.
          where v_from = v_start or n.place < v_start
        )
        select o.org_id
        from organisations as o
        where (v_from = v_start or o.place < v_start)
          and exists (
            select from public.delivery_queues as q where q.org_id = o.org_id and q.due_at <= v_now
          )
        limit 256 - cardinality(v_org_ids)
      );
    end loop;
  end if;

  return array(select o.org_id from unnest(v_org_ids) as o (org_id) order by random());
end
$$;

-- Returns the deliveries that a claim closed or held without a call.
create or replace function chatkit_private.closed_by_claim(p_claim_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', d.id,
    'org_id', d.org_id,
    'session_id', d.session_id,
    'agent_id', d.agent_id,
    'attempt', d.attempts,
    'status', d.status,
    'error', d.error
  ) order by d.session_id, d.seq), '[]')
  from public.deliveries as d
  where d.claim_id = p_claim_id and d.status <> 'running'
$$;

-- Returns the calls that a claim began and that are still running, or null if there are none.
create or replace function chatkit_private.begun_by_claim(p_claim_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_agg(c.call)
  from (
    select chatkit_private.delivery_payload(d) as call
    from public.deliveries as d
    where d.claim_id = p_claim_id and d.status = 'running' and d.lease_until > clock_timestamp()
    order by d.session_id
  ) as c
  -- Null if the tool was removed from the registration after the claim.
  where c.call is not null
$$;

-- Returns the agents of an organisation for which a queue is due and a call may begin now. The one
-- whose queue has waited longest is first.
create or replace function chatkit_private.due_agents(p_org_id uuid, p_now timestamptz)
returns text[]
language plpgsql stable
set search_path = ''
-- A generic plan may scan the whole table; the plan for the actual organisation and time does not.
set plan_cache_mode = force_custom_plan
as $$
begin
  return array(
    with recursive agents as (
      (
        select q.agent_id
        from public.delivery_queues as q
        where q.org_id = p_org_id
        order by q.agent_id
        limit 1
      )
      union all
      select n.agent_id
      from agents as a
      cross join lateral (
        select q.agent_id
        from public.delivery_queues as q
        where q.org_id = p_org_id and q.agent_id > a.agent_id
        order by q.agent_id
        limit 1
      ) as n
    )
    select a.agent_id
    from agents as a
    cross join lateral (
      select q.due_at
      from public.delivery_queues as q
      where q.org_id = p_org_id and q.agent_id = a.agent_id and q.due_at <= p_now
      order by q.due_at
      limit 1
    ) as f
    where chatkit_private.free_slots(p_org_id, a.agent_id) > 0
    order by f.due_at
  );
end
$$;

-- Chooses up to p_limit sessions whose queue is due, and locks each session and its queue. Every
-- organisation gets the same share. One that another claim is processing is skipped. `more` reports
-- that other queues may be due, and `served_org_ids` lists the organisations that were not skipped.
create or replace function chatkit_private.lock_due_sessions(
  p_now timestamptz,
  p_limit integer,
  out session_ids uuid[],
  out served_org_ids uuid[],
  out more boolean
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
declare
  v_org_ids uuid[] := chatkit_private.due_organisations();
  v_share integer := greatest(1, ceil(p_limit::numeric / greatest(1, cardinality(v_org_ids))));
  v_end integer;
  v_org_id uuid;
  v_agent_id text;
begin
  session_ids := '{}';
  served_org_ids := '{}';
  more := false;
  foreach v_org_id in array v_org_ids loop
    if cardinality(session_ids) >= p_limit then
      more := true;
      exit;
    end if;
    -- One claim at a time in an organisation, so that two claims do not count the same free slots.
    if not pg_try_advisory_xact_lock(1835364455, hashtext(v_org_id::text)) then
      more := true;
      continue;
    end if;
    served_org_ids := served_org_ids || v_org_id;

    v_end := least(cardinality(session_ids) + v_share, p_limit);
    foreach v_agent_id in array chatkit_private.due_agents(v_org_id, p_now) loop
      -- A session that another transaction has locked is claimed next time.
      session_ids := session_ids || array(
        select q.session_id
        from public.delivery_queues as q
        join public.chat_sessions as s on s.id = q.session_id
        where q.org_id = v_org_id and q.agent_id = v_agent_id and q.due_at <= p_now
        order by q.due_at
        limit least(
          v_end - cardinality(session_ids),
          chatkit_private.free_slots(v_org_id, v_agent_id)
        )
        for update of s, q skip locked
      );
    end loop;
  end loop;
end
$$;

-- Locks the threads to which a claim of these sessions may add the outcome of a call, in the order
-- of their ids.
create or replace function chatkit_private.lock_threads_of_calls(p_session_ids uuid[]) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform from public.chat_threads as t
  where t.id in (
    select r.thread_id
    from public.deliveries as d
    join public.chat_runs as r on r.id = d.run_id
    where d.session_id = any (p_session_ids) and d.status in ('pending', 'running')
  )
  order by t.id
  for update;
end
$$;

-- Takes over the calls of a session's turns whose lease has expired: the turn's process has
-- stopped. A call that may be repeated joins the queue. The outcome of any other one is unknown.
create or replace function chatkit_private.take_over_calls(
  p_session_id uuid,
  p_now timestamptz,
  p_claim_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_delivery public.deliveries;
begin
  for v_delivery in
    select *
    from public.deliveries as d
    where d.session_id = p_session_id
      and d.status in ('pending', 'running')
      and d.in_turn
      and d.lease_until <= p_now
    order by d.seq
  loop
    if chatkit_private.may_repeat_call(v_delivery) then
      update public.deliveries as d
      set status = 'pending',
          lease_until = null,
          claim_id = p_claim_id,
          next_attempt_at = p_now,
          seq = chatkit_private.next_delivery_seq(p_session_id)
      where d.id = v_delivery.id;
    else
      perform chatkit_private.mark_outcome_unknown(v_delivery, 'lease_over');
      update public.deliveries as d
      set claim_id = p_claim_id
      where d.id = v_delivery.id
      returning * into v_delivery;
      perform chatkit_private.append_call_note(v_delivery);
    end if;
  end loop;
end
$$;

-- Begins the first call of a session that is due and may be made, and returns it; null if there is
-- none. A delivery that cannot be called is closed, which releases the next one. One claim closes
-- at most 20 deliveries of a session.
create or replace function chatkit_private.begin_due_call(
  p_session_id uuid,
  p_now timestamptz,
  p_lease_seconds integer,
  p_claim_id uuid
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_delivery public.deliveries;
  v_call jsonb;
begin
  perform chatkit_private.take_over_calls(p_session_id, p_now, p_claim_id);
  for v_try in 1..20 loop
    select * into v_delivery
    from public.deliveries as d
    where d.session_id = p_session_id and d.status in ('pending', 'running') and not d.in_turn
    order by d.seq
    limit 1;
    exit when not found or coalesce(v_delivery.lease_until, v_delivery.next_attempt_at) > p_now;
    -- The next delivery of a session may call another agent than the one that was due.
    exit when chatkit_private.free_slots(v_delivery.org_id, v_delivery.agent_id) = 0;
    v_call := chatkit_private.begin_call(v_delivery, p_lease_seconds, p_claim_id);
    exit when v_call is not null;
    update public.deliveries as d
    set claim_id = p_claim_id
    where d.id = v_delivery.id and d.status <> 'running';
    -- note_closed_call leaves a call that was running to finish_delivery.
    perform chatkit_private.append_call_note(d)
    from public.deliveries as d
    where d.id = v_delivery.id
      and d.run_id is not null
      and v_delivery.status = 'running'
      and d.status = 'dead';
  end loop;
  return v_call;
end
$$;

create or replace function public.claim_deliveries(
  p_limit integer,
  p_lease_seconds integer,
  p_claim_id uuid default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_claim_id uuid := coalesce(p_claim_id, gen_random_uuid());
  v_calls jsonb := chatkit_private.begun_by_claim(p_claim_id);
  v_settled jsonb := chatkit_private.closed_by_claim(p_claim_id);
  v_locked record;
  v_session_id uuid;
  v_call jsonb;
  v_bytes bigint := 0;
  v_more boolean;
begin
  if v_calls is not null or v_settled <> '[]' then
    return jsonb_build_object(
      'deliveries', coalesce(v_calls, '[]'), 'settled', v_settled, 'next_due_in_seconds', 0
    );
  end if;

  v_calls := '[]';
  v_locked := chatkit_private.lock_due_sessions(
    v_now, least(greatest(coalesce(p_limit, 1), 1), 100)
  );
  v_more := v_locked.more;
  perform chatkit_private.lock_threads_of_calls(v_locked.session_ids);
  -- Sessions are processed in the order of their ids, as in every transaction that works on
  -- several.
  for v_session_id in select u.id from unnest(v_locked.session_ids) as u (id) order by u.id loop
    if v_bytes > 1572864 then
      v_more := true;
      exit;
    end if;
    v_call := chatkit_private.begin_due_call(v_session_id, v_now, p_lease_seconds, v_claim_id);
    if v_call is not null then
      v_calls := v_calls || v_call;
      v_bytes := v_bytes + octet_length(v_call::text);
    end if;
  end loop;

  -- The dispatcher claims again at once only if another call can begin. Otherwise the organisation
  -- is served when one of its calls is finished or a lease expires.
  v_more := v_more or exists (
    select
    from unnest(v_locked.served_org_ids) as o (id)
    where cardinality(chatkit_private.due_agents(o.id, v_now)) > 0
  );
  return jsonb_build_object(
    'deliveries', v_calls,
    'settled', chatkit_private.closed_by_claim(v_claim_id),
    'next_due_in_seconds', case
      when v_more then 0
      else (
        select greatest(0, extract(epoch from q.due_at - clock_timestamp()))
        from public.delivery_queues as q
        where q.due_at > v_now
        order by q.due_at
        limit 1
      )
    end
  );
end
$$;

comment on function public.claim_deliveries is
  'Begins up to p_limit calls (about 1.5 MiB), the same share for every organisation, and leases '
  'them to the caller. `settled` lists deliveries that were closed or held without a call, to be '
  'counted and logged like other outcomes: an expired lease, a tool that its policy forbids, a '
  'required decision, a requester who left. With the id of an earlier claim whose response was '
  'lost, returns that claim''s running calls and settled deliveries again. `next_due_in_seconds` '
  'is when to claim again: 0 if more is due now, null if nothing is queued.';
