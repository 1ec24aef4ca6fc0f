-- How the service is, in three numbers for an operator's dashboard: read from the ends of small indexes, so that asking every
-- minute costs nothing. Asked by another function than the one that delivers, so that one that stands still is seen.

-- open_escalations: people who are asked and have not decided. oldest_undelivered_seconds: how long the longest waiting queue has
-- been due, 0 if none is. dead_deliveries: given up or of unknown outcome. Beyond 100,000 nobody counts on.
create or replace function public.service_state() returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  return jsonb_build_object(
    'open_escalations', (
      select count(*)
      from (select from public.chat_escalations as e where e.status = 'open' limit 100000) as o
    ),
    'oldest_undelivered_seconds', coalesce((
      select floor(extract(epoch from v_now - q.due_at))::bigint
      from public.delivery_queues as q
      where q.due_at <= v_now
      order by q.due_at
      limit 1
    ), 0),
    'dead_deliveries', (
      select count(*)
      from (select from public.deliveries as d where d.status in ('dead', 'unknown') limit 100000) as o
    )
  );
end
$$;

revoke all on function public.service_state() from public, anon, authenticated, service_role;
grant execute on function public.service_state() to service_role;
