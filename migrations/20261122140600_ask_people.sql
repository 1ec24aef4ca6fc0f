-- Where the orchestrator does not go on alone: a delivery is held, given up or of unknown outcome, and a person is asked.

-- The riskier of two risks; null counts as the least.
create or replace function private.higher_risk(p_one text, p_other text) returns text
language sql immutable parallel safe
set search_path = ''
return case when 'high' in (p_one, p_other) then 'high' when 'medium' in (p_one, p_other) then 'medium' else 'low' end;

-- Asks about a delivery, in its session: the event that says so, and the escalation. `p_ask`: {reason, decisions, schema?,
-- expires_in_seconds?, risk?, approver?}. Authority comes from the registry: what an agent asks makes the risk higher, the approver
-- stricter and the time shorter, never the other way; of a tool that is not listed any more, the most careful holds.
-- `p_predecessor`: the escalation in which the call was written as it is now. `p_tool`: the registration that the call was judged by;
-- read here where the question does not come from a verdict. The subject is the call as it stands, so a decision is on that.
create or replace function private.ask_people(
  p_delivery public.deliveries,
  p_kind text,
  p_ask jsonb,
  p_actor_type text,
  p_actor_id text default null,
  p_error text default null,
  p_predecessor public.chat_escalations default null,
  p_tool public.agent_tools default null
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_tool public.agent_tools := case when p_tool.name is null then private.tool_of(p_delivery) else p_tool end;
  v_id uuid := private.new_id();
  v_seconds integer := least((p_ask ->> 'expires_in_seconds')::integer, coalesce(v_tool.ask_expires_in_seconds, 86400));
  v_risk text := private.higher_risk(coalesce(v_tool.risk, 'high'), p_ask ->> 'risk');
  v_approver text := case
    when p_kind = 'confirm' then 'self'
    when p_kind = 'policy' or v_risk <> 'low' then 'other'
    -- To call again what another person had to approve is not the requester's own to decide either.
    when p_kind in ('agent_failed', 'outcome_unknown') and exists (
      select from public.chat_escalations as x where x.id = p_delivery.release_id and x.kind <> 'confirm'
    ) then 'other'
    when 'other' in (coalesce(v_tool.approver, 'other'), p_ask ->> 'approver') then 'other'
    else 'self'
  end;
  v_schema jsonb := nullif(p_ask -> 'schema', 'null');
  -- What the event says: what is asked and what may be answered.
  v_asked jsonb := jsonb_build_object('reason', p_ask -> 'reason', 'decisions', p_ask -> 'decisions')
    || case when v_schema is null then '{}' else jsonb_build_object('schema', v_schema) end;
  v_event public.chat_events;
begin
  v_event := private.append_event(
    p_delivery.session_id, private.new_id(), 'hitl_escalation',
    v_asked || jsonb_build_object(
      'escalationId', v_id, 'kind', p_kind, 'deliveryId', p_delivery.id, 'agentId', p_delivery.agent_id,
      'tool', p_delivery.tool, 'expiresInSeconds', v_seconds
    ),
    p_actor_type, p_actor_id
  );
  insert into public.chat_escalations (
    id, org_id, user_id, session_id, event_id, origin, reason, decisions, answer_schema, expires_at,
    kind, delivery_id, subject, risk, approver, author_id, predecessor_id, revision
  ) values (
    v_id, p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, v_event.id, 'orchestrator',
    p_ask ->> 'reason', array(select jsonb_array_elements_text(p_ask -> 'decisions')), v_schema,
    clock_timestamp() + make_interval(secs => v_seconds),
    p_kind, p_delivery.id,
    private.call_of(p_delivery)
      || jsonb_build_object('kind', p_kind, 'deliveryId', p_delivery.id, 'risk', v_risk, 'approver', v_approver,
                            'ask', v_asked)
      || jsonb_strip_nulls(jsonb_build_object(
        'error', p_error, 'authorId', p_delivery.author_id, 'predecessorId', p_predecessor.id
      )),
    v_risk, v_approver, p_delivery.author_id, p_predecessor.id,
    case when p_predecessor.id is null then 0 else p_predecessor.revision + 1 end
  );
  perform private.touch_session(p_delivery.session_id);
end
$$;

-- The call in an escalation's subject: what was shown, less what the question itself adds.
create or replace function private.call_in(p_subject jsonb) returns jsonb
language sql immutable
set search_path = ''
return p_subject - '{kind,deliveryId,risk,approver,ask,error,authorId,predecessorId}'::text[];

-- Holds a delivery before its call and asks for what it takes: an approval by another person, an edit, or the requester's own
-- confirmation (p_verdict, see admit_call).
create or replace function private.hold_delivery(
  p_delivery public.deliveries,
  p_tool public.agent_tools,
  p_verdict text,
  p_predecessor public.chat_escalations default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.settle_delivery(p_delivery.id, 'asked');
  perform private.ask_people(
    p_delivery,
    case p_verdict when 'confirm' then 'confirm' else 'policy' end,
    case p_verdict
      when 'confirm' then jsonb_build_object(
        'reason', format('Confirm that %s may call %s.', p_delivery.agent_id, p_delivery.tool),
        'decisions', '["approve","reject"]'::jsonb
      )
      when 'unreadable' then jsonb_build_object(
        'reason', format(
          'The amount of this call of %s to %s cannot be compared with its limit. Edit or reject it.',
          p_delivery.agent_id, p_delivery.tool
        ),
        'decisions', '["edit","reject"]'::jsonb
      )
      else jsonb_build_object(
        'reason', format('An approval is needed before %s calls %s.', p_delivery.agent_id, p_delivery.tool),
        'decisions', '["approve","edit","reject"]'::jsonb
      )
    end,
    'system', p_predecessor => p_predecessor, p_tool => p_tool
  );
end
$$;

-- Says that a delivery came to nothing.
create or replace function private.say_failed(
  p_delivery public.deliveries,
  p_error text,
  p_actor_type text,
  p_actor_id text default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.append_event(
    p_delivery.session_id, private.new_id(), 'agent_failed',
    jsonb_build_object(
      'deliveryId', p_delivery.id, 'eventId', p_delivery.about_event_id, 'agentId', p_delivery.agent_id,
      'tool', p_delivery.tool, 'error', p_error
    ),
    p_actor_type, p_actor_id
  );
  perform private.touch_session(p_delivery.session_id);
end
$$;

-- Gives a delivery up: it becomes a dead letter. Where another attempt could help, a person is asked for it.
create or replace function private.give_up(
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
  perform private.settle_delivery(p_delivery.id, 'dead', p_error);
  perform private.say_failed(p_delivery, p_error, p_actor_type, p_actor_id);
  if p_ask and private.is_active(p_delivery.session_id) then
    perform private.ask_people(
      p_delivery, 'agent_failed',
      jsonb_build_object(
        'reason', format('%s failed at %s (%s). Approve to try once more.', p_delivery.agent_id, p_delivery.tool, p_error),
        'decisions', '["approve","reject"]'::jsonb
      ),
      'system', null, p_error
    );
  end if;
end
$$;

-- Nobody knows whether the call was done, and it may not be repeated unasked. After the session's end there is nobody to ask.
create or replace function private.lose_track(p_delivery public.deliveries, p_error text) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.settle_delivery(p_delivery.id, 'unknown', p_error);
  if private.is_active(p_delivery.session_id) then
    perform private.ask_people(
      p_delivery, 'outcome_unknown',
      jsonb_build_object(
        'reason', format(
          'It is not known whether %s did %s (%s). Approve to call it again.', p_delivery.agent_id, p_delivery.tool, p_error
        ),
        'decisions', '["approve","reject"]'::jsonb
      ),
      'system', null, p_error
    );
  else
    perform private.say_failed(p_delivery, 'outcome_unknown', 'system');
  end if;
end
$$;

create or replace function private.is_active(p_session_id uuid) returns boolean
language sql stable
set search_path = ''
as $$
  select s.status = 'active' from public.chat_sessions as s where s.id = p_session_id
$$;

revoke all on function private.higher_risk(text, text) from public, anon, authenticated, service_role;
revoke all on function private.ask_people(
  public.deliveries, text, jsonb, text, text, text, public.chat_escalations, public.agent_tools
) from public, anon, authenticated, service_role;
revoke all on function private.call_in(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.hold_delivery(public.deliveries, public.agent_tools, text, public.chat_escalations)
  from public, anon, authenticated, service_role;
revoke all on function private.say_failed(public.deliveries, text, text, text)
  from public, anon, authenticated, service_role;
revoke all on function private.give_up(public.deliveries, text, boolean, text, text)
  from public, anon, authenticated, service_role;
revoke all on function private.lose_track(public.deliveries, text) from public, anon, authenticated, service_role;
revoke all on function private.is_active(uuid) from public, anon, authenticated, service_role;
