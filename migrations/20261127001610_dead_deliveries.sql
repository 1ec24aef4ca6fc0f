-- Dead deliveries and those of unknown outcome: listing and replaying them.

create or replace function public.list_dead_deliveries(
  p_org_id uuid,
  p_limit integer,
  p_after uuid default null
) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 1000);
  v_deliveries jsonb;
begin
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'id', d.id, 'org_id', d.org_id, 'user_id', d.user_id, 'session_id', d.session_id,
      'event_id', d.event_id,
      'agent_id', d.agent_id, 'tool', d.tool, 'status', d.status, 'error', d.error,
      'attempts', d.attempts,
      'depth', d.depth, 'created_at', chatkit_private.utc_text(d.created_at),
      'finished_at', chatkit_private.utc_text(d.finished_at)
    )
    order by d.id desc
  ), '[]')
  into v_deliveries
  from (
    select *
    from public.deliveries as o
    where o.org_id = p_org_id
      and o.status in ('dead', 'unknown')
      and o.id < coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by o.id desc
    limit v_limit
  ) as d;
  return jsonb_build_object(
    'deliveries', v_deliveries,
    'next', case
      when jsonb_array_length(v_deliveries) = v_limit then v_deliveries -> -1 ->> 'id'
    end
  );
end
$$;

comment on function public.list_dead_deliveries is
  'Returns a page of an organisation''s dead letters and deliveries of unknown outcome, the '
  'newest first. `next` is the id to pass as p_after for the next page, null if the page is not '
  'full.';

create or replace function public.replay_delivery(p_org_id uuid, p_delivery_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_delivery public.deliveries;
  v_replayed boolean;
begin
  if not exists (
    select from public.deliveries as d where d.id = p_delivery_id and d.org_id = p_org_id
  ) then
    raise sqlstate 'PT404' using message = 'delivery_not_found';
  end if;
  v_delivery := chatkit_private.lock_delivery(p_delivery_id);
  v_replayed := v_delivery.status in ('dead', 'unknown');
  if v_replayed then
    if not chatkit_private.is_active(v_delivery.session_id) then
      raise sqlstate 'PT409' using message = 'session_ended';
    end if;
    update public.chat_escalations as x
    set status = 'withdrawn', closed_at = clock_timestamp()
    where x.delivery_id = p_delivery_id and x.status = 'open';
    perform chatkit_private.requeue_delivery(p_delivery_id);
    perform chatkit_private.touch_session(v_delivery.session_id);
  elsif v_delivery.status not in ('pending', 'running') then
    raise sqlstate 'PT409' using message = 'delivery_not_dead', detail = v_delivery.status;
  end if;
  return jsonb_build_object('replayed', v_replayed);
end
$$;

comment on function public.replay_delivery is
  'Requeues a dead letter or a delivery of unknown outcome, with the same idempotency key and '
  'all its attempts, and withdraws the open escalation about it. The policy is checked again, as '
  'before every call. `replayed` is false if the delivery is already pending or running. Fails '
  'with session_ended after the session''s end, and with delivery_not_dead for any other status.';
