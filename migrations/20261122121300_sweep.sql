-- Sweeping up what time has made useless: secrets that ran out, keys that nobody asks for any more, buckets that are full.

create index if not exists chatkit_sessions_sealed
  on public.chatkit_sessions (expires_at) where sealed_secret is not null;

-- Up to p_limit of each. What somebody works with is passed over; it has its turn next time.
create or replace function public.sweep(p_limit integer, p_keep interval default '24 hours') returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := greatest(coalesce(p_limit, 1), 1);
  v_secrets integer;
  v_keys integer;
  v_throttles integer;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  with run_out as (
    select c.id
    from public.chatkit_sessions as c
    where c.sealed_secret is not null and c.expires_at <= v_now
    order by c.expires_at
    limit v_limit
    for update skip locked
  )
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  from run_out
  where c.id = run_out.id;
  get diagnostics v_secrets = row_count;

  -- A client is promised that a key is known for 24 hours after its last use; nobody may sweep earlier.
  with unused as (
    select k.org_id, k.user_id, k.endpoint, k.key
    from public.idempotency_keys as k
    where k.last_used_at < v_now - greatest(p_keep, interval '24 hours')
      and (k.lease_until is null or k.lease_until <= v_now)
    order by k.last_used_at
    limit v_limit
    for update skip locked
  )
  delete from public.idempotency_keys as k
  using unused as u
  where (k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key);
  get diagnostics v_keys = row_count;

  with full_again as (
    select t.org_id, t.scope, t.subject, t.kind
    from public.throttles as t
    where t.full_at <= v_now
    order by t.full_at
    limit v_limit
    for update skip locked
  )
  delete from public.throttles as t
  using full_again as f
  where (t.org_id, t.scope, t.subject, t.kind) = (f.org_id, f.scope, f.subject, f.kind);
  get diagnostics v_throttles = row_count;

  return jsonb_build_object('secrets', v_secrets, 'keys', v_keys, 'throttles', v_throttles);
end
$$;

revoke all on function public.sweep(integer, interval) from public, anon, authenticated, service_role;
grant execute on function public.sweep(integer, interval) to service_role;
