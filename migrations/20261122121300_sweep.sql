-- Sweeping up what time has made useless: secrets that ran out, keys that nobody asks for any more, buckets that are full, amounts
-- that no total counts any more.

create index if not exists chatkit_sessions_sealed
  on public.chatkit_sessions (expires_at) where sealed_secret is not null;

-- Up to p_limit of each; every user (of throttles: every organisation) who has some gets the same share of it. What somebody works
-- with is passed over; it has its turn next time.
create or replace function public.sweep(p_limit integer, p_keep interval default '24 hours') returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 5000);
  v_prefix integer;
  v_due integer;
  v_owners integer;
  v_secrets integer;
  v_keys integer;
  v_throttles integer;
  v_amounts integer;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- Of each, further on if all of the first are those of few.
  foreach v_prefix in array array[2 * v_limit, 40000] loop
    select coalesce(sum(o.due), 0), count(*)
    into v_due, v_owners
    from (
      select count(*) as due
      from (
        select c.org_id, c.user_id
        from public.chatkit_sessions as c
        where c.sealed_secret is not null and c.expires_at <= v_now
        order by c.expires_at
        limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as o;
    exit when v_due < v_prefix or v_owners >= v_limit;
  end loop;
  with due as (
    select c.id, c.org_id, c.user_id, c.expires_at
    from public.chatkit_sessions as c
    where c.sealed_secret is not null and c.expires_at <= v_now
    order by c.expires_at
    limit v_prefix
  ), ranked as (
    select d.*, row_number() over (partition by d.org_id, d.user_id order by d.expires_at) as turn
    from due as d
  ), chosen as (
    select r.*
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_owners, 1))
    order by r.turn, r.expires_at
    limit v_limit
  ), run_out as (
    select c.id
    from chosen as h
    join public.chatkit_sessions as c on c.id = h.id
    where c.sealed_secret is not null and c.expires_at <= v_now
    for update of c skip locked
  )
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  from run_out
  where c.id = run_out.id;
  get diagnostics v_secrets = row_count;

  -- A client is promised that a key is known for 24 hours after its last use; nobody may sweep earlier.
  foreach v_prefix in array array[2 * v_limit, 40000] loop
    select coalesce(sum(o.due), 0), count(*)
    into v_due, v_owners
    from (
      select count(*) as due
      from (
        select k.org_id, k.user_id
        from public.idempotency_keys as k
        where k.last_used_at < v_now - greatest(p_keep, interval '24 hours')
          and (k.lease_until is null or k.lease_until <= v_now)
        order by k.last_used_at
        limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as o;
    exit when v_due < v_prefix or v_owners >= v_limit;
  end loop;
  with due as (
    select k.org_id, k.user_id, k.endpoint, k.key, k.last_used_at
    from public.idempotency_keys as k
    where k.last_used_at < v_now - greatest(p_keep, interval '24 hours')
      and (k.lease_until is null or k.lease_until <= v_now)
    order by k.last_used_at
    limit v_prefix
  ), ranked as (
    select d.*, row_number() over (partition by d.org_id, d.user_id order by d.last_used_at) as turn
    from due as d
  ), chosen as (
    select r.*
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_owners, 1))
    order by r.turn, r.last_used_at
    limit v_limit
  ), unused as (
    select k.org_id, k.user_id, k.endpoint, k.key
    from chosen as h
    join public.idempotency_keys as k on (k.org_id, k.user_id, k.endpoint, k.key) = (h.org_id, h.user_id, h.endpoint, h.key)
    where k.last_used_at < v_now - greatest(p_keep, interval '24 hours')
      and (k.lease_until is null or k.lease_until <= v_now)
    for update of k skip locked
  )
  delete from public.idempotency_keys as k
  using unused as u
  where (k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key);
  get diagnostics v_keys = row_count;

  -- Throttles that are full again say what no row says, too.
  foreach v_prefix in array array[2 * v_limit, 40000] loop
    select coalesce(sum(o.due), 0), count(*)
    into v_due, v_owners
    from (
      select count(*) as due
      from (
        select t.org_id
        from public.throttles as t
        where t.full_at <= v_now
        order by t.full_at
        limit v_prefix
      ) as d
      group by d.org_id
    ) as o;
    exit when v_due < v_prefix or v_owners >= v_limit;
  end loop;
  with due as (
    select t.org_id, t.scope, t.subject, t.kind, t.full_at
    from public.throttles as t
    where t.full_at <= v_now
    order by t.full_at
    limit v_prefix
  ), ranked as (
    select d.*, row_number() over (partition by d.org_id order by d.full_at) as turn
    from due as d
  ), chosen as (
    select r.*
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_owners, 1))
    order by r.turn, r.full_at
    limit v_limit
  ), full_again as (
    select t.org_id, t.scope, t.subject, t.kind
    from chosen as h
    join public.throttles as t on (t.org_id, t.scope, t.subject, t.kind) = (h.org_id, h.scope, h.subject, h.kind)
    where t.full_at <= v_now
    for update of t skip locked
  )
  delete from public.throttles as t
  using full_again as f
  where (t.org_id, t.scope, t.subject, t.kind) = (f.org_id, f.scope, f.subject, f.kind);
  get diagnostics v_throttles = row_count;

  -- What no total of a day counts any more.
  with over as (
    select a.delivery_id
    from public.auto_call_amounts as a
    where a.begun_at < v_now - interval '25 hours'
    order by a.begun_at
    limit v_limit
    for update skip locked
  )
  delete from public.auto_call_amounts as a
  using over as o
  where a.delivery_id = o.delivery_id;
  get diagnostics v_amounts = row_count;

  return jsonb_build_object(
    'secrets', v_secrets, 'keys', v_keys, 'throttles', v_throttles, 'amounts', v_amounts
  );
end
$$;

revoke all on function public.sweep(integer, interval) from public, anon, authenticated, service_role;
grant execute on function public.sweep(integer, interval) to service_role;
