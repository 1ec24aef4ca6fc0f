-- Claiming: the heads of queues that are due, for a router to call. Routers never wait for each other nor for anybody else, and
-- a slow agent of one organisation holds up no other organisation's.

-- How many calls of one organisation may be under way at once.
create or replace function private.slots_left(p_org_id uuid) returns integer
language sql stable
set search_path = ''
as $$
  select greatest(0, 16 - count(*))::integer
  from public.deliveries as d
  where d.org_id = p_org_id and d.status = 'running' and d.lease_until > clock_timestamp()
$$;

-- Organisations with queues that are due, in no particular order. Usually few queues are, and reading those says whose. If many
-- are, they may be all of one organisation; then it is gone round the organisations, from anywhere, until enough are found.
create or replace function private.organisations_due() returns uuid[]
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
    select q.org_id from public.delivery_queues as q where q.due_at <= v_now order by q.due_at limit 500
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
          -- Once round.
          where v_from = v_start or n.place < v_start
        )
        select o.org_id
        from organisations as o
        where (v_from = v_start or o.place < v_start)
          and exists (select from public.delivery_queues as q where q.org_id = o.org_id and q.due_at <= v_now)
        limit 256 - cardinality(v_org_ids)
      );
    end loop;
  end if;

  return array(select o.org_id from unnest(v_org_ids) as o (org_id) order by random());
end
$$;

-- What a claim settled without a call.
create or replace function private.settled_by_claim(p_claim_id uuid) returns jsonb
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

-- Up to p_limit calls, each leased to the caller, and no more than fit into some 1.5 MiB. Every organisation gets its share, and what
-- is left over is the next claim's.
-- What no call is made for is settled here and answered as well, to be counted and logged like any other outcome: a call whose
-- lease ran out, a tool that a policy forbids, a person to be asked, a requester who left.
-- With the id of a claim whose answer was lost, the calls that it began and that still run are answered again, and so is what it
-- settled.
-- next_due_in_seconds: when to claim again; 0 if there is more to be had at once, null if nothing is queued.
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
  v_left integer := least(greatest(coalesce(p_limit, 1), 1), 100);
  v_org_ids uuid[];
  v_org_id uuid;
  v_share integer;
  v_slots integer;
  v_some uuid[];
  v_served uuid[] := '{}';
  v_session_ids uuid[] := '{}';
  v_session_id uuid;
  v_delivery public.deliveries;
  v_call jsonb;
  v_calls jsonb;
  v_bytes bigint := 0;
  v_more boolean := false;
  v_claim_id uuid := coalesce(p_claim_id, gen_random_uuid());
  v_settled jsonb;
begin
  v_settled := private.settled_by_claim(p_claim_id);
  select jsonb_agg(c.call)
  into v_calls
  from (
    select private.call_json(d) as call
    from public.deliveries as d
    where d.claim_id = p_claim_id and d.status = 'running' and d.lease_until > v_now
    order by d.session_id
  ) as c
  -- Not any more, if the tool was struck off the list since.
  where c.call is not null;
  if v_calls is not null or v_settled <> '[]' then
    return jsonb_build_object('deliveries', coalesce(v_calls, '[]'), 'settled', v_settled, 'next_due_in_seconds', 0);
  end if;
  v_calls := '[]';

  -- Planned for the organisation and moment at hand: for unknown ones a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;
  v_org_ids := private.organisations_due();
  v_share := greatest(1, ceil(v_left::numeric / greatest(1, cardinality(v_org_ids))));

  foreach v_org_id in array v_org_ids loop
    if v_left = 0 then
      v_more := true;
      exit;
    end if;
    -- One claim at a time in an organisation: otherwise two would count the same slots. The others pass on.
    if not pg_try_advisory_xact_lock(1835364455, hashtext(v_org_id::text)) then
      v_more := true;
      continue;
    end if;
    v_slots := private.slots_left(v_org_id);
    continue when v_slots = 0;
    v_served := v_served || v_org_id;

    -- The session's lock is what counts, as everywhere; one that somebody works on has its turn next time.
    v_some := array(
      select q.session_id
      from public.delivery_queues as q
      join public.chat_sessions as s on s.id = q.session_id
      where q.org_id = v_org_id and q.due_at <= v_now
      order by q.due_at
      limit least(v_share, v_slots, v_left)
      for update of s, q skip locked
    );
    v_left := v_left - cardinality(v_some);
    v_session_ids := v_session_ids || v_some;
  end loop;
  set local plan_cache_mode = auto;

  -- In the order of their ids, like all that works on several sessions at once.
  for v_session_id in select u.id from unnest(v_session_ids) as u (id) order by u.id loop
    if v_bytes > 1572864 then
      v_more := true;
      exit;
    end if;
    -- What cannot be called releases the next one; a session full of such is not gone through in one go.
    for v_try in 1..20 loop
      select * into v_delivery
      from public.deliveries as d
      where d.session_id = v_session_id and d.status in ('pending', 'running')
      order by d.seq
      limit 1;
      exit when not found or coalesce(v_delivery.lease_until, v_delivery.next_attempt_at) > v_now;
      v_call := private.begin_call(v_delivery, p_lease_seconds, v_claim_id);
      if v_call is not null then
        v_calls := v_calls || v_call;
        v_bytes := v_bytes + octet_length(v_call::text);
        exit;
      end if;
      update public.deliveries as d set claim_id = v_claim_id where d.id = v_delivery.id and d.status <> 'running';
    end loop;
  end loop;

  -- More at once, where there are slots for it. An organisation without is served again when a call of its is finished, by who
  -- finished it, or has run out of its lease.
  foreach v_org_id in array v_served loop
    exit when v_more;
    if exists (select from public.delivery_queues as q where q.org_id = v_org_id and q.due_at <= v_now) then
      v_more := private.slots_left(v_org_id) > 0;
    end if;
  end loop;
  return jsonb_build_object(
    'deliveries', v_calls,
    'settled', private.settled_by_claim(v_claim_id),
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

revoke all on function private.slots_left(uuid) from public, anon, authenticated, service_role;
revoke all on function private.organisations_due() from public, anon, authenticated, service_role;
revoke all on function private.settled_by_claim(uuid) from public, anon, authenticated, service_role;
revoke all on function public.claim_deliveries(integer, integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.claim_deliveries(integer, integer, uuid) to service_role;
