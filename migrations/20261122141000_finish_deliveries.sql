-- What became of a call, all of it in one transaction: the delivery, what the agent said and wants, and who is asked.

-- Not now, but again: later and later, at random within that, so that routers do not all come at once; not before the server
-- wants it, within an hour. When all attempts are used up it is given up.
create or replace function private.retry_delivery(p_delivery public.deliveries, p_outcome jsonb) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_max_attempts integer;
begin
  select v.max_attempts into v_max_attempts
  from public.agent_servers as v
  where v.org_id = p_delivery.org_id and v.agent_id = p_delivery.agent_id;

  if not private.is_active(p_delivery.session_id) then
    perform private.give_up(p_delivery, p_outcome ->> 'error', false, 'system');
  elsif p_delivery.attempts >= coalesce(v_max_attempts, 0) then
    perform private.give_up(p_delivery, p_outcome ->> 'error', true, 'system');
  else
    update public.deliveries as d
    set status = 'pending',
        error = p_outcome ->> 'error',
        lease_until = null,
        next_attempt_at = clock_timestamp() + make_interval(secs => greatest(
          random() * least(300, power(2, d.attempts)),
          least(3600, coalesce((p_outcome ->> 'retry_after_seconds')::double precision, 0))
        ))
    where d.id = p_delivery.id;
  end if;
end
$$;

-- The agent wants an answer before it goes on. After the session's end it gets none.
create or replace function private.hold_for_agent(p_delivery public.deliveries, p_outcome jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  if not private.is_active(p_delivery.session_id) then
    perform private.settle_delivery(p_delivery.id, 'withdrawn', 'session_ended');
    perform private.say_failed(p_delivery, 'session_ended', 'system');
    return;
  end if;
  update public.deliveries as d
  set status = 'asked', error = null, lease_until = null, finished_at = clock_timestamp(),
      request_state = nullif(p_outcome -> 'request_state', 'null')
  where d.id = p_delivery.id;
  perform private.ask_people(p_delivery, 'agent_asked', p_outcome -> 'ask', 'agent', p_delivery.agent_id);
end
$$;

-- Finishes a call. Whoever comes with a fence that is not the delivery's any more has lost it: `finished` is false, and nothing
-- changes. Who repeats a finish is answered the same. After the session's end the result is still recorded, and nothing begun.
-- live_chatkit_session_ids: what a handover retired and is still to be cancelled at OpenAI.
create or replace function public.finish_delivery(p_delivery_id uuid, p_fence bigint, p_outcome jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_delivery public.deliveries := private.lock_delivery(p_delivery_id);
  v_constraint text;
  v_column text;
begin
  if (v_delivery.finished_fence = p_fence) is not true then
    if v_delivery.status <> 'running' or (v_delivery.fence = p_fence) is not true then
      return jsonb_build_object('finished', false);
    end if;

    perform private.say(v_delivery, p_outcome ->> 'message');
    if coalesce(p_outcome -> 'tasks', 'null') not in ('null', '[]') then
      perform public.record_tasks(v_delivery.org_id, v_delivery.session_id, p_outcome -> 'tasks');
    end if;
    case p_outcome ->> 'kind'
      when 'completed' then
        perform private.complete_delivery(v_delivery, p_outcome);
      when 'failed' then
        perform private.give_up(v_delivery, p_outcome ->> 'error', true, 'agent', v_delivery.agent_id);
      when 'ask' then
        perform private.hold_for_agent(v_delivery, p_outcome);
      when 'retry' then
        perform private.retry_delivery(v_delivery, p_outcome);
      when 'unknown' then
        perform private.lose_track(v_delivery, p_outcome ->> 'error');
      else
        raise sqlstate 'PT422' using message = 'invalid_outcome', detail = 'kind';
    end case;

    update public.deliveries as d
    set finished_fence = p_fence, finished_as = d.status
    where d.id = p_delivery_id
    returning * into v_delivery;
  end if;
  return jsonb_build_object(
    'finished', true,
    'status', v_delivery.finished_as,
    'live_chatkit_session_ids', private.retired_chatkit_session_ids(v_delivery.session_id)
  );
exception
  -- The edge checks an agent's answer before; what still does not fit is refused as a whole, and can be finished as `failed`.
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_outcome',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

revoke all on function private.retry_delivery(public.deliveries, jsonb) from public, anon, authenticated, service_role;
revoke all on function private.hold_for_agent(public.deliveries, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.finish_delivery(uuid, bigint, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.finish_delivery(uuid, bigint, jsonb) to service_role;
