-- Deliveries that end without a result: cancelled, dead, or with an unknown outcome.

-- Appends the event `agent_failed` for a delivery.
create or replace function chatkit_private.append_failure_event(
  p_delivery public.deliveries,
  p_error text,
  p_actor_type text,
  p_actor_id text default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.append_event(
    p_delivery.session_id, chatkit_private.new_id(), 'agent_failed',
    jsonb_build_object(
      'deliveryId', p_delivery.id, 'eventId', p_delivery.about_event_id,
      'agentId', p_delivery.agent_id,
      'tool', p_delivery.tool, 'error', p_error
    ),
    p_actor_type, p_actor_id
  );
  perform chatkit_private.touch_session(p_delivery.session_id);
end
$$;

-- Marks a delivery as a dead letter and appends the event `agent_failed`. With p_ask, and while
-- the session is active, opens an escalation that lets a person approve another attempt.
create or replace function chatkit_private.dead_letter(
  p_delivery public.deliveries,
  p_error text,
  p_ask boolean,
  p_actor_type text,
  p_actor_id text default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'dead', p_error);
  perform chatkit_private.append_failure_event(p_delivery, p_error, p_actor_type, p_actor_id);
  if p_ask and chatkit_private.is_active(p_delivery.session_id) then
    perform chatkit_private.open_delivery_escalation(
      p_delivery, 'agent_failed',
      jsonb_build_object(
        'reason', format(
          '%s failed at %s (%s). Approve to try once more.',
          p_delivery.agent_id, p_delivery.tool, p_error
        ),
        'decisions', '["approve","reject"]'::jsonb
      ),
      'system', null, p_error
    );
  end if;
end
$$;

-- Marks a delivery whose call may or may not have been executed. Such a call is not repeated
-- without a decision, so an escalation asks for one. After the session's end the event
-- `agent_failed` is appended instead.
create or replace function chatkit_private.mark_outcome_unknown(
  p_delivery public.deliveries,
  p_error text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'unknown', p_error);
  if chatkit_private.is_active(p_delivery.session_id) then
    perform chatkit_private.open_delivery_escalation(
      p_delivery, 'outcome_unknown',
      jsonb_build_object(
        'reason', format(
          'It is not known whether %s did %s (%s). Approve to call it again.',
          p_delivery.agent_id, p_delivery.tool, p_error
        ),
        'decisions', '["approve","reject"]'::jsonb
      ),
      'system', null, p_error
    );
  else
    perform chatkit_private.append_failure_event(p_delivery, 'outcome_unknown', 'system');
  end if;
end
$$;

-- Cancels a delivery before its call, and appends the event `agent_failed` with the reason.
create or replace function chatkit_private.cancel_delivery(
  p_delivery public.deliveries,
  p_error text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_delivery(p_delivery.id, 'withdrawn', p_error);
  perform chatkit_private.append_failure_event(p_delivery, p_error, 'system');
end
$$;
