-- Scheduled clean-up: ChatKit sessions that are still to be cancelled, requests whose function died, and expired rows.

create or replace function public.claim_uncancelled_chatkit_sessions(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_read integer;
  v_ids uuid[];
  v_owners text[];
  v_sessions jsonb;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.expires_at, d.id), array_agg(d.org_id::text || d.user_id order by d.expires_at, d.id)
    into v_ids, v_owners
    from (
      select c.id, c.org_id, c.user_id, c.expires_at
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
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, v_limit);
  end loop;
  v_ids := chatkit_private.fair_share(v_ids, v_owners, v_limit);

  with free as (
    select c.id, c.chatkit_session_id, d.turn
    from unnest(v_ids) with ordinality as d (id, turn)
    join public.chatkit_sessions as c on c.id = d.id
    where c.cancelled_at is null and (c.cancel_lease_until is null or c.cancel_lease_until <= v_now)
    for update of c skip locked
  ), stale as (
    select f.id, f.turn, sum(octet_length(f.chatkit_session_id) + 200) over (order by f.turn) as bytes
    from free as f
  ), leased as (
    update public.chatkit_sessions as c
    set cancel_lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 60))
    from stale
    where c.id = stale.id and stale.bytes <= 1572864
    returning c.org_id, c.session_id, c.chatkit_session_id, c.expires_at, stale.turn
  ), by_session as (
    select jsonb_build_object(
        'org_id', l.org_id,
        'session_id', l.session_id,
        'chatkit_session_ids', jsonb_agg(l.chatkit_session_id order by l.expires_at, l.chatkit_session_id)
      ) as session,
      min(l.turn) as turn,
      min(l.expires_at) as expires_at
    from leased as l
    group by l.org_id, l.session_id
  )
  select jsonb_agg(b.session order by b.turn, b.expires_at, b.session) into v_sessions from by_session as b;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

comment on function public.claim_uncancelled_chatkit_sessions is 
  'Those to cancel, leased to the caller, so that two schedulers don''t cancel the same at once. '
  'What is not confirmed comes again after the lease. Every user who has some gets the same share '
  'of p_limit, one each first; the answer has at most 1.5 MiB.';

create or replace function public.fail_abandoned_requests(p_limit integer, p_older_than_seconds integer default 60)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_read integer;
  v_ids uuid[];
  v_owners text[];
  v_session_ids uuid[];
  v_settled integer;
  v_session public.chat_sessions;
  v_failed_sessions integer := 0;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- An attempt under a key has until the end of its lease.
  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.requested_at, d.id), array_agg(d.org_id::text || d.user_id order by d.requested_at, d.id)
    into v_ids, v_owners
    from (
      select c.id, c.org_id, c.user_id, c.requested_at
      from public.chatkit_sessions as c
      where c.recorded_at is null
        and c.failed_at is null
        and c.requested_at < v_now - make_interval(secs => coalesce(p_older_than_seconds, 60))
        and not exists (
          select from public.idempotency_keys as k
          where k.chatkit_request_id = c.id and k.lease_until > v_now
        )
      order by c.requested_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, v_limit);
  end loop;
  v_ids := chatkit_private.fair_share(v_ids, v_owners, v_limit);

  -- The sessions are locked first, as everywhere.
  v_ids := array(
    select c.id
    from unnest(v_ids) as d (id)
    join public.chatkit_sessions as c on c.id = d.id
    join public.chat_sessions as s on s.id = c.session_id
    for update of s skip locked
  );

  -- Looked at again, now that nobody else can record or fail them.
  with settled as (
    update public.chatkit_sessions as c
    set failed_at = clock_timestamp()
    where c.id = any (v_ids) and c.recorded_at is null and c.failed_at is null
    returning c.session_id
  )
  select count(*), array_agg(distinct t.session_id) into v_settled, v_session_ids from settled as t;

  for v_session in select s.* from public.chat_sessions as s where s.id = any (v_session_ids) order by s.id loop
    if chatkit_private.failed_to_open(v_session) then
      perform chatkit_private.end_session(v_session.id, 'failed', 'system', null);
      v_failed_sessions := v_failed_sessions + 1;
    end if;
  end loop;
  return jsonb_build_object('settled', v_settled, 'failed_sessions', v_failed_sessions);
end
$$;

comment on function public.fail_abandoned_requests is 
  'Settles the oldest ones, of every user the same share of p_limit. Should somebody still be alive '
  'after all, their answer is recorded without a secret.';

-- Erases up to p_limit sealed secrets that have expired. What another transaction works with is skipped, here and below.
create or replace function chatkit_private.purge_secrets(p_now timestamptz, p_limit integer) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_read integer;
  v_ids uuid[];
  v_owners text[];
  v_count integer;
begin
  foreach v_read in array array[2 * p_limit, 40000] loop
    select array_agg(d.id order by d.expires_at, d.id), array_agg(d.org_id::text || d.user_id order by d.expires_at, d.id)
    into v_ids, v_owners
    from (
      select c.id, c.org_id, c.user_id, c.expires_at
      from public.chatkit_sessions as c
      where c.sealed_secret is not null and c.expires_at <= p_now
      order by c.expires_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, p_limit);
  end loop;
  v_ids := chatkit_private.fair_share(v_ids, v_owners, p_limit);

  with expired as (
    select c.id
    from unnest(v_ids) as d (id)
    join public.chatkit_sessions as c on c.id = d.id
    where c.sealed_secret is not null and c.expires_at <= p_now
    for update of c skip locked
  )
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  from expired
  where c.id = expired.id;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Deletes up to p_limit idempotency keys that were not used for p_keep, and never within 24 hours, which clients are promised.
create or replace function chatkit_private.purge_idempotency_keys(p_now timestamptz, p_limit integer, p_keep interval)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_unused_since timestamptz := p_now - greatest(p_keep, interval '24 hours');
  v_read integer;
  v_rows tid[];
  v_owners text[];
  v_count integer;
begin
  foreach v_read in array array[2 * p_limit, 40000] loop
    select array_agg(d.row order by d.last_used_at), array_agg(d.org_id::text || d.user_id order by d.last_used_at)
    into v_rows, v_owners
    from (
      select k.ctid as row, k.org_id, k.user_id, k.last_used_at
      from public.idempotency_keys as k
      where k.last_used_at < v_unused_since and (k.lease_until is null or k.lease_until <= p_now)
      order by k.last_used_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, p_limit);
  end loop;
  v_rows := chatkit_private.fair_share(v_rows, v_owners, p_limit);

  with unused as (
    select k.org_id, k.user_id, k.endpoint, k.key
    from public.idempotency_keys as k
    -- A row that was updated since it was read is at another place, and in use.
    where k.ctid = any (v_rows) and k.last_used_at < v_unused_since and (k.lease_until is null or k.lease_until <= p_now)
    for update of k skip locked
  )
  delete from public.idempotency_keys as k
  using unused as u
  where (k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Deletes up to p_limit rate-limit buckets that are full again: no row means the same.
create or replace function chatkit_private.purge_throttles(p_now timestamptz, p_limit integer) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_read integer;
  v_rows tid[];
  v_owners text[];
  v_count integer;
begin
  foreach v_read in array array[2 * p_limit, 40000] loop
    select array_agg(d.row order by d.full_at), array_agg(d.org_id::text order by d.full_at)
    into v_rows, v_owners
    from (
      select t.ctid as row, t.org_id, t.full_at
      from public.throttles as t
      where t.full_at <= p_now
      order by t.full_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, p_limit);
  end loop;
  v_rows := chatkit_private.fair_share(v_rows, v_owners, p_limit);

  with full_again as (
    select t.org_id, t.scope, t.subject, t.kind
    from public.throttles as t
    where t.ctid = any (v_rows) and t.full_at <= p_now
    for update of t skip locked
  )
  delete from public.throttles as t
  using full_again as f
  where (t.org_id, t.scope, t.subject, t.kind) = (f.org_id, f.scope, f.subject, f.kind);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Deletes up to p_limit amounts that no total of a day counts any more.
create or replace function chatkit_private.purge_auto_call_amounts(p_now timestamptz, p_limit integer) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_count integer;
begin
  with over as (
    select a.delivery_id
    from public.auto_call_amounts as a
    where a.begun_at < p_now - interval '25 hours'
    order by a.begun_at
    limit p_limit
    for update skip locked
  )
  delete from public.auto_call_amounts as a
  using over as o
  where a.delivery_id = o.delivery_id;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

create or replace function public.purge_expired(p_limit integer, p_keep interval default '24 hours') returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 5000);
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;
  return jsonb_build_object(
    'secrets', chatkit_private.purge_secrets(v_now, v_limit),
    'keys', chatkit_private.purge_idempotency_keys(v_now, v_limit, p_keep),
    'throttles', chatkit_private.purge_throttles(v_now, v_limit),
    'amounts', chatkit_private.purge_auto_call_amounts(v_now, v_limit)
  );
end
$$;

comment on function public.purge_expired is 
  'Up to p_limit of each; every user (of throttles: every organisation) who has some gets the same '
  'share of it. What somebody works with is passed over; it has its turn next time.';
