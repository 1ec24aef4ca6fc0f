-- Scheduled clean-up: stale ChatKit sessions to cancel, requests whose function stopped before it
-- recorded an outcome, and expired rows.

create or replace function public.claim_uncancelled_chatkit_sessions(
  p_limit integer,
  p_lease_seconds integer
) returns jsonb
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
  -- A generic plan may scan the whole table; the plan for the actual limit does not.
  set local plan_cache_mode = force_custom_plan;

  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.expires_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.expires_at, d.id)
    into v_ids, v_owners
    from (
      select c.id, c.org_id, c.user_id, c.expires_at
      from public.chatkit_sessions as c
      join public.chat_sessions as s on s.id = c.session_id
      where c.recorded_at is not null
        and c.sealed_secret is null
        and c.cancelled_at is null
        and (c.cancel_lease_until is null or c.cancel_lease_until <= v_now)
        -- OpenAI's clock may differ, so one minute is added to the expiry. A ChatKit session that
        -- expired while it was in use is not cancelled.
        and c.expires_at > v_now - interval '1 minute'
        and (
          c.expires_at > v_now
          or c.failed_at is not null
          or s.status = 'ended'
          or s.agent_id <> c.agent_id
        )
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
    select f.id, f.turn,
           sum(octet_length(f.chatkit_session_id) + 200) over (order by f.turn) as bytes
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
        'chatkit_session_ids',
        jsonb_agg(l.chatkit_session_id order by l.expires_at, l.chatkit_session_id)
      ) as session,
      min(l.turn) as turn,
      min(l.expires_at) as expires_at
    from leased as l
    group by l.org_id, l.session_id
  )
  select jsonb_agg(b.session order by b.turn, b.expires_at, b.session)
  into v_sessions
  from by_session as b;
  return jsonb_build_object('sessions', coalesce(v_sessions, '[]'));
end
$$;

comment on function public.claim_uncancelled_chatkit_sessions is
  'Returns ChatKit sessions that must be cancelled at OpenAI, grouped by session, and leases '
  'them to the caller, so that two schedulers do not cancel the same one. A ChatKit session that '
  'is not confirmed is returned again after its lease. Every user gets the same share of '
  'p_limit, one each first, and the response has at most 1.5 MiB.';

create or replace function public.fail_abandoned_requests(
  p_limit integer,
  p_older_than_seconds integer default 60
) returns jsonb
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
  -- A generic plan may scan the whole table; the plan for the actual limit does not.
  set local plan_cache_mode = force_custom_plan;

  -- A request under an idempotency key is not abandoned before the key's lease has expired.
  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.requested_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.requested_at, d.id)
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

  -- Sessions are locked before their ChatKit sessions, as everywhere.
  v_ids := array(
    select c.id
    from unnest(v_ids) as d (id)
    join public.chatkit_sessions as c on c.id = d.id
    join public.chat_sessions as s on s.id = c.session_id
    for update of s skip locked
  );

  -- Another transaction may have recorded or failed a request before its session was locked.
  with settled as (
    update public.chatkit_sessions as c
    set failed_at = clock_timestamp()
    where c.id = any (v_ids) and c.recorded_at is null and c.failed_at is null
    returning c.session_id
  )
  select count(*), array_agg(distinct t.session_id) into v_settled, v_session_ids from settled as t;

  for v_session in
    select s.* from public.chat_sessions as s where s.id = any (v_session_ids) order by s.id
  loop
    if chatkit_private.failed_to_open(v_session) then
      perform chatkit_private.end_session(v_session.id, 'failed', 'system', null);
      v_failed_sessions := v_failed_sessions + 1;
    end if;
  end loop;
  return jsonb_build_object('settled', v_settled, 'failed_sessions', v_failed_sessions);
end
$$;

comment on function public.fail_abandoned_requests is
  'Marks requests to OpenAI as failed if the function that made them recorded no outcome within '
  'p_older_than_seconds: up to p_limit, the oldest first and the same share for every user. A '
  'session that could not be opened because of this ends as `failed`. If the function is still '
  'running after all, its response is recorded without a secret. Returns {settled, '
  'failed_sessions}.';

-- Erases up to p_limit sealed secrets that have expired, and returns their number. Like the
-- functions below, it skips rows that another transaction has locked.
create or replace function chatkit_private.purge_secrets(p_now timestamptz, p_limit integer)
returns integer
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
    select array_agg(d.id order by d.expires_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.expires_at, d.id)
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

-- Deletes up to p_limit idempotency keys that have not been used for p_keep, and returns their
-- number. A key is kept for at least 24 hours, which the API promises to clients.
create or replace function chatkit_private.purge_idempotency_keys(
  p_now timestamptz,
  p_limit integer,
  p_keep interval
) returns integer
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
    select array_agg(d.row order by d.last_used_at),
           array_agg(d.org_id::text || d.user_id order by d.last_used_at)
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
    -- A row that was updated after it was read has another ctid and is in use.
    where k.ctid = any (v_rows)
      and k.last_used_at < v_unused_since
      and (k.lease_until is null or k.lease_until <= p_now)
    for update of k skip locked
  )
  delete from public.idempotency_keys as k
  using unused as u
  where (k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Deletes up to p_limit rate-limit buckets that are full, and returns their number. A bucket
-- without a row is full, too.
create or replace function chatkit_private.purge_throttles(p_now timestamptz, p_limit integer)
returns integer
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

-- Deletes up to p_limit amounts that are too old for the total of 24 hours, and returns their
-- number.
create or replace function chatkit_private.purge_auto_call_amounts(
  p_now timestamptz,
  p_limit integer
) returns integer
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

-- Deletes up to p_limit chunks of answers that finished more than ten minutes ago, and returns
-- their number. The lateral join looks up the run of each chunk. A merge join would read all runs,
-- which are kept much longer than their chunks.
create or replace function chatkit_private.purge_chat_run_chunks(
  p_now timestamptz,
  p_limit integer
) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_count integer;
begin
  with over as (
    select c.session_id, c.run_id, c.seq
    from public.chat_run_chunks as c
    cross join lateral (
      select r.finished_at from public.chat_runs as r where r.id = c.run_id offset 0
    ) as r
    where r.finished_at < p_now - interval '10 minutes'
    limit p_limit
    for update of c skip locked
  )
  delete from public.chat_run_chunks as c
  using over as o
  where (c.session_id, c.run_id, c.seq) = (o.session_id, o.run_id, o.seq);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

create or replace function public.purge_expired(
  p_limit integer,
  p_keep interval default '24 hours'
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 5000);
begin
  -- Generic plans may scan whole tables; the plans for the actual limit do not.
  set local plan_cache_mode = force_custom_plan;
  return jsonb_build_object(
    'secrets', chatkit_private.purge_secrets(v_now, v_limit),
    'keys', chatkit_private.purge_idempotency_keys(v_now, v_limit, p_keep),
    'throttles', chatkit_private.purge_throttles(v_now, v_limit),
    'amounts', chatkit_private.purge_auto_call_amounts(v_now, v_limit),
    'chunks', chatkit_private.purge_chat_run_chunks(v_now, v_limit)
  );
end
$$;

comment on function public.purge_expired is
  'Erases expired secrets, and deletes idempotency keys that have not been used for p_keep (at '
  'least 24 hours), full rate-limit buckets, old amounts, and what finished answers streamed: up '
  'to p_limit of each kind. Returns their numbers. Every user (for buckets: every organisation) '
  'gets the same share of p_limit, except for amounts and answers. Rows that another transaction '
  'has locked are left to the next run.';
