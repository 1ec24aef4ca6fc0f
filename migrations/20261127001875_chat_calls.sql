-- Calls of tools by the models of the self-hosted chat.
--
-- A call is a delivery that its turn begins, in one transaction with the checks that precede every
-- call. The turn makes it at once and records its result with finish_delivery. If the turn's
-- process stops, a dispatcher takes the call over when its lease has expired.
--
-- A thread holds the call and one output of it, both hidden from readers. What becomes of a call
-- after the model has received its output is a note.

-- Returns the tools that the model of an agent may call. A tool without a description is not
-- offered.
create or replace function chatkit_private.offered_tools(p_org_id uuid, p_agent_id text)
returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'name', t.name, 'description', t.description, 'input_schema', t.input_schema
  ) order by t.name), '[]')
  from public.agent_tools as t
  where t.org_id = p_org_id
    and t.agent_id = p_agent_id
    and t.description is not null
    and t.policy <> 'never'
$$;

-- Returns what a model receives as the status of a call: completed, held, failed or unknown.
create or replace function chatkit_private.call_status(p_delivery_status text) returns text
language sql immutable parallel safe
set search_path = ''
return case p_delivery_status
  when 'done' then 'completed'
  when 'asked' then 'held'
  when 'dead' then 'failed'
  when 'withdrawn' then 'failed'
  else 'unknown'
end;

-- Returns what a tool returned, in the form in which a model receives it, or null. The whole item
-- must fit into a hidden item.
create or replace function chatkit_private.call_data(p_outcome jsonb) returns jsonb
language sql immutable
set search_path = ''
as $$
  select case
    when d.data = '{}' then null
    when octet_length(d.data::text) > 262144
      then jsonb_build_object('truncated', true, 'text', left(d.data::text, 65536))
    else d.data
  end
  from (
    select coalesce(jsonb_object_agg(m.key, m.value), '{}') as data
    from jsonb_each(p_outcome) as m
    where m.key in ('message', 'output', 'notices') and m.value not in ('null', '[]', '""')
  ) as d
$$;

-- Returns the output of a model's call as a hidden item, and null for a delivery that is not the
-- call of a model itself.
create or replace function chatkit_private.call_output_item(
  p_delivery public.deliveries,
  p_status text,
  p_outcome jsonb default '{}'
) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'type', 'function_call_output',
    'id', 'fco_' || replace(p_delivery.id::text, '-', ''),
    'call_id', p_delivery.call_id,
    'delivery_id', p_delivery.id,
    'tool', p_delivery.tool,
    'status', p_status,
    'error', p_delivery.error
  )) || case
    when chatkit_private.call_data(p_outcome) is null then '{}'
    else jsonb_build_object('data', chatkit_private.call_data(p_outcome))
  end
  where p_delivery.call_id is not null
$$;

-- Returns the output of a model's call that its thread holds. Null if there is none: the call is
-- under way, or its turn broke off.
create or replace function chatkit_private.stored_call_output(p_delivery public.deliveries)
returns jsonb
language sql stable
set search_path = ''
as $$
  select h.item
  from public.chat_runs as r
  join public.chat_hidden_items as h
    on h.thread_id = r.thread_id and h.thread_seq > r.preceding_item_seq
  where r.id = p_delivery.run_id
    and h.kind = 'function_call_output'
    and h.item ->> 'delivery_id' = p_delivery.id::text
$$;

-- Appends a hidden item to the thread of a chat's call. The caller has locked the session.
create or replace function chatkit_private.append_call_item(
  p_delivery public.deliveries,
  p_item jsonb
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_thread_id text;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_delivery.session_id;
  select r.thread_id into strict v_thread_id
  from public.chat_runs as r where r.id = p_delivery.run_id;
  perform chatkit_private.append_item(v_session, v_thread_id, p_item);
end
$$;

-- Appends a note for the model about a call that it has received an output for, or whose turn has
-- broken off: the outcome of the call, and the result of the tool.
create or replace function chatkit_private.append_call_note(
  p_delivery public.deliveries,
  p_outcome jsonb default '{}'
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_data jsonb := chatkit_private.call_data(p_outcome);
begin
  perform chatkit_private.append_call_item(
    p_delivery,
    jsonb_build_object(
      'type', 'hidden_context_item',
      'id', 'shcx_' || replace(gen_random_uuid()::text, '-', ''),
      'content', jsonb_strip_nulls(jsonb_build_object(
        'event', 'An earlier call of a tool has a result.',
        'tool', p_delivery.tool,
        'status', chatkit_private.call_status(p_delivery.status),
        'error', p_delivery.error
      )) || jsonb_build_object('inputs', p_delivery.inputs)
    ) || case when v_data is null then '{}' else jsonb_build_object('data', v_data) end
  );
end
$$;

-- Adds the result of a chat's call to its thread: as the output of the call if its turn made it,
-- otherwise as a note, and on its card. A call that will be repeated has no result, and
-- note_closed_call adds the note about an unknown one.
create or replace function chatkit_private.append_call_result(
  p_delivery public.deliveries,
  p_in_turn boolean,
  p_outcome jsonb
) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_delivery.run_id is null then
    return;
  end if;
  if p_in_turn then
    perform chatkit_private.append_call_item(
      p_delivery,
      chatkit_private.call_output_item(
        p_delivery, chatkit_private.call_status(p_delivery.status), p_outcome
      )
    );
  elsif p_delivery.status not in ('pending', 'unknown') then
    perform chatkit_private.append_call_note(p_delivery, p_outcome);
    perform chatkit_private.show_held_call(
      x, p_delivery, coalesce(
        nullif(p_outcome ->> 'message', ''), nullif(p_outcome ->> 'output', '{}')
      )
    )
    from public.chat_escalations as x
    where x.id = coalesce(p_delivery.retry_id, p_delivery.escalation_id);
  end if;
end
$$;

-- Adds a note about a chat's call that is closed without a result: by a decision, an expiry, a
-- policy, the session's end, or a lease that expired. Not while the user is being erased.
create or replace function chatkit_private.note_closed_call() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (
    select from public.erasures as e
    where e.org_id = new.org_id and e.user_id = new.user_id and e.finished_at is null
  ) then
    perform chatkit_private.append_call_note(new);
  end if;
  return null;
end
$$;

-- A call that begin_chat_call closes at once has an output and no note.
create or replace trigger note_closed_call
  after update on public.deliveries
  for each row when (
    new.run_id is not null
    and new.status in ('dead', 'unknown', 'withdrawn')
    and (
      old.status in ('pending', 'asked')
      or (old.status = 'running' and new.status = 'unknown' and not old.in_turn)
    )
  )
  execute function chatkit_private.note_closed_call();

-- Returns whether a running answer must stop instead of beginning a call.
create or replace function chatkit_private.must_stop(p_run public.chat_runs) returns boolean
language sql stable
set search_path = ''
as $$
  select p_run.status <> 'running' or p_run.stop_requested_at is not null
    or not chatkit_private.is_active(p_run.session_id)
$$;

-- Returns why a turn may not begin a call, apart from the policy of the tool; null if it may. A
-- call that is held, under way, or closed while a person may decide to make it again is not begun
-- a second time with the same inputs: two decisions would have it made twice. Another session of
-- the user may have begun it in the same thread.
create or replace function chatkit_private.call_rejection(
  p_run public.chat_runs,
  p_tool text,
  p_inputs jsonb
) returns text
language sql stable
set search_path = ''
as $$
  select case
    when not exists (
      select from public.agent_tools as t
      where t.org_id = p_run.org_id
        and t.agent_id = p_run.agent_id
        and t.name = p_tool
        and t.description is not null
    ) then 'tool_unavailable'
    when octet_length(p_inputs::text) > 65536 then 'inputs_too_large'
    when (
      select count(*)
      from public.deliveries as d
      where d.run_id = p_run.id and d.call_id is not null
    ) >= (
      select m.max_tool_calls
      from public.session_model_settings as m
      where m.session_id = p_run.session_id
    ) then 'too_many_calls'
    when exists (
      select from public.deliveries as d
      join public.chat_runs as r on r.id = d.run_id
      where d.session_id in (
          select l.session_id
          from public.chat_thread_sessions as l
          where l.thread_id = p_run.thread_id
        )
        and r.thread_id = p_run.thread_id
        and (
          d.in_turn and d.run_id = p_run.id
          or d.agent_id = p_run.agent_id and d.tool = p_tool and d.inputs = p_inputs and (
            d.status in ('pending', 'running', 'asked')
            or d.status in ('dead', 'unknown') and exists (
              select from public.chat_escalations as x
              where x.delivery_id = d.id and x.status = 'open'
            )
          )
        )
    ) then 'call_under_way'
  end
$$;

-- Returns the response of begin_chat_call about a stored call, also to a late repeat. Only the holder
-- of the lease makes the call. Otherwise the caller receives the output in the thread, if any.
create or replace function chatkit_private.begun_call_response(p_delivery public.deliveries)
returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  v_output jsonb := chatkit_private.stored_call_output(p_delivery);
  v_call jsonb;
begin
  if p_delivery.in_turn and p_delivery.lease_until > clock_timestamp() then
    -- Null if the tool is no longer registered.
    v_call := chatkit_private.delivery_payload(p_delivery);
  end if;
  return case
    when v_call is not null then jsonb_build_object('outcome', 'begun', 'call', v_call)
    when v_output ->> 'status' = 'held' then jsonb_build_object(
      'outcome', 'held', 'output', v_output, 'items', chatkit_private.held_call_items(p_delivery)
    )
    when v_output ->> 'status' = 'refused' then jsonb_build_object(
      'outcome', 'refused', 'error', v_output -> 'error', 'output', v_output
    )
    else jsonb_build_object(
      'outcome', 'ended', 'output', v_output,
      'next_agent', chatkit_private.next_agent(p_delivery.run_id, p_delivery.agent_id)
    )
  end;
end
$$;

create or replace function public.begin_chat_call(
  p_secret_hash text,
  p_run_id uuid,
  p_call_id text,
  p_tool text,
  p_inputs jsonb,
  p_call_item jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_run public.chat_runs := chatkit_private.lock_run(p_secret_hash, p_run_id);
  v_delivery public.deliveries;
  v_event public.chat_events;
  v_rejection text;
  v_constraint text;
  v_column text;
begin
  if p_tool = any (chatkit_private.built_in_tools()) then
    return chatkit_private.call_built_in_tool(v_run, p_call_id, p_tool, p_inputs, p_call_item);
  end if;
  select * into v_delivery
  from public.deliveries as d
  where d.run_id = p_run_id and d.call_id = p_call_id;
  if not found then
    if chatkit_private.must_stop(v_run) then
      return jsonb_build_object('outcome', 'stopped');
    end if;
    v_rejection := chatkit_private.call_rejection(v_run, p_tool, p_inputs);
    if v_rejection is not null then
      return jsonb_build_object('outcome', 'refused', 'error', v_rejection);
    end if;

    -- The agent's event is not routed: only the call follows from it.
    v_event := chatkit_private.append_event(
      v_run.session_id, chatkit_private.new_id(), 'agent_call',
      jsonb_build_object(
        'agentId', v_run.agent_id, 'tool', p_tool, 'callId', p_call_id, 'threadId', v_run.thread_id
      ),
      'agent', v_run.agent_id
    );
    insert into public.deliveries (
      id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, inputs,
      run_id, call_id, follows_tool_output, root_event_id, status, lease_until
    ) values (
      chatkit_private.new_id(), v_run.org_id, v_run.user_id, v_run.session_id, v_event.id,
      chatkit_private.next_delivery_seq(v_run.session_id), v_run.agent_id, p_tool, v_event.id,
      p_inputs, p_run_id, p_call_id,
      chatkit_private.has_read_tool_output(v_run),
      v_event.id,
      -- Never pending, so no dispatcher is woken for it. begin_call sets its lease.
      'running', clock_timestamp()
    )
    returning * into v_delivery;
    v_delivery.status := 'pending';
    perform chatkit_private.append_call_item(
      v_delivery, p_call_item || jsonb_build_object('delivery_id', v_delivery.id)
    );
    perform chatkit_private.begin_call(v_delivery, null, null);
    -- The model learns of a refusal at once, so it is not a dead letter.
    update public.deliveries as d
    set status = 'withdrawn'
    where d.id = v_delivery.id and d.status = 'dead';
    select * into strict v_delivery from public.deliveries as d where d.id = v_delivery.id;
    if not v_delivery.in_turn then
      perform chatkit_private.append_call_item(
        v_delivery,
        chatkit_private.call_output_item(
          v_delivery, case v_delivery.status when 'asked' then 'held' else 'refused' end
        )
      );
    end if;
    perform chatkit_private.touch_session(v_run.session_id);
  end if;
  return chatkit_private.begun_call_response(v_delivery);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_item',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

comment on function public.begin_chat_call is
  'Begins the call of a tool that the model of a running answer requests, and stores it in the '
  'thread (p_call_item). Every check that precedes a call precedes this one: the requester, the '
  'allowlist, the policy and its limits. `outcome` is `begun` (with the call, as claim_deliveries '
  'returns it, leased to the caller), `held` (a person must decide first; `items` are the task and '
  'the card that the thread has), `refused` (with an error for the model), `ended` (a built-in tool '
  'has done its work; `next_agent` is the agent that continues the answer after a handover), or '
  '`stopped` (the answer must stop). A repeat with the same p_call_id returns the same as long as '
  'the caller may make the call. Later it returns `ended` with the output of the call, or without '
  'one if the lease has expired before the turn recorded a result: the outcome is then unknown. The '
  'result is recorded with finish_delivery.';
