-- Built-in tools: tools of this deployment that the models of the self-hosted chat may call. Each
-- does what an event or a result of an agent does, by the same functions.

-- Hands the session over to another agent: {agent_id, summary}.
create or replace function chatkit_private.hand_over_to_agent(
  p_run public.chat_runs,
  p_event public.chat_events,
  p_inputs jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_rejection text;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_run.session_id;
  v_rejection := chatkit_private.handover_rejection(
    v_session, p_run.agent_id, p_inputs ->> 'agent_id', p_run.id
  );
  if v_rejection is not null then
    return jsonb_build_object('status', 'refused', 'error', v_rejection);
  end if;
  perform chatkit_private.hand_over_by_agent(
    v_session, p_run.agent_id, p_inputs, p_event.id, 1, p_run.id
  );
  return '{"status": "completed"}';
end
$$;

-- Opens an escalation with a question: {question, decisions?}. The decision is a note for the model
-- and releases no call.
create or replace function chatkit_private.ask_person(
  p_run public.chat_runs,
  p_event public.chat_events,
  p_inputs jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.apply_event(
    p_run.session_id,
    jsonb_build_object(
      'id', chatkit_private.new_id(),
      'type', 'hitl_escalation',
      'escalation_id', chatkit_private.new_id(),
      'payload', jsonb_build_object(
        'reason', p_inputs -> 'question',
        'decisions', coalesce(p_inputs -> 'decisions', '["respond", "reject"]'),
        'threadId', p_run.thread_id,
        'callId', p_event.payload -> 'callId'
      )
    ),
    'agent', p_run.agent_id
  );
  return '{"status": "asked"}';
end
$$;

-- Creates a task of the session or changes one: {id, title, status}.
create or replace function chatkit_private.set_task(p_run public.chat_runs, p_inputs jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_task public.chat_tasks;
begin
  select * into v_task
  from public.chat_tasks as t
  where t.session_id = p_run.session_id and t.id = p_inputs ->> 'id';
  if not found and (
    select count(*) from public.chat_tasks as t where t.session_id = p_run.session_id
  ) >= 100 then
    return '{"status": "refused", "error": "too_many_tasks"}';
  end if;
  perform public.record_tasks(
    p_run.org_id, p_run.session_id,
    jsonb_build_array(jsonb_build_object(
      'id', p_inputs -> 'id', 'title', p_inputs -> 'title', 'status', p_inputs -> 'status',
      'requires_hitl', coalesce(v_task.requires_hitl, false)
    ))
  );
  return '{"status": "completed"}';
end
$$;

-- Makes a model's call of a built-in tool and stores the call and its output, once for each call
-- id. A call that fails changes nothing, and the model receives the reason. The caller has locked
-- the session.
create or replace function chatkit_private.call_built_in_tool(
  p_run public.chat_runs,
  p_call_id text,
  p_tool text,
  p_inputs jsonb,
  p_call_item jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_event public.chat_events;
  v_result jsonb;
  v_output jsonb;
begin
  select h.item into v_output
  from public.chat_hidden_items as h
  where h.thread_id = p_run.thread_id
    and h.thread_seq > p_run.preceding_item_seq
    and h.kind = 'function_call_output'
    and h.item ->> 'call_id' = p_call_id;
  if not found then
    if chatkit_private.must_stop(p_run) then
      return jsonb_build_object('outcome', 'stopped');
    end if;
    if not exists (
      select from public.session_model_settings as m
      where m.session_id = p_run.session_id and p_tool = any (m.built_in_tools)
    ) then
      return jsonb_build_object('outcome', 'refused', 'error', 'tool_unavailable');
    end if;
    if not chatkit_private.agent_is_open_to(p_run.org_id, p_run.user_id, p_run.agent_id) then
      return jsonb_build_object('outcome', 'refused', 'error', 'agent_forbidden');
    end if;

    v_event := chatkit_private.append_event(
      p_run.session_id, chatkit_private.new_id(), 'agent_call',
      jsonb_build_object(
        'agentId', p_run.agent_id, 'tool', p_tool, 'callId', p_call_id, 'threadId', p_run.thread_id
      ),
      'agent', p_run.agent_id
    );
    select * into strict v_session from public.chat_sessions as s where s.id = p_run.session_id;
    perform chatkit_private.append_item(
      v_session, p_run.thread_id, p_call_item || jsonb_build_object('event_id', v_event.id)
    );
    begin
      v_result := case p_tool
        when 'ask_person' then chatkit_private.ask_person(p_run, v_event, p_inputs)
        when 'hand_over_to_agent' then
          chatkit_private.hand_over_to_agent(p_run, v_event, p_inputs)
        when 'set_task' then chatkit_private.set_task(p_run, p_inputs)
      end;
    exception
      when sqlstate 'PT403' or sqlstate 'PT409' or sqlstate 'PT422' then
        v_result := jsonb_build_object('status', 'refused', 'error', sqlerrm);
      when check_violation or not_null_violation or data_exception then
        v_result := '{"status": "refused", "error": "invalid_inputs"}';
    end;
    v_output := jsonb_build_object(
      'type', 'function_call_output',
      'id', 'fco_' || replace(v_event.id::text, '-', ''),
      'thread_id', p_run.thread_id,
      'call_id', p_call_id,
      'event_id', v_event.id,
      'agent_id', p_run.agent_id,
      'tool', p_tool
    ) || v_result;
    perform chatkit_private.append_item(v_session, p_run.thread_id, v_output);
    perform chatkit_private.touch_session(p_run.session_id);
  end if;
  return jsonb_build_object(
    'outcome', 'ended',
    'output', v_output,
    'next_agent', chatkit_private.next_agent(p_run.id, v_output ->> 'agent_id')
  );
end
$$;

-- Returns the thread in which a model asked the question of an escalation, and null for any other
-- escalation. A page does not choose it, because a page's escalations have another origin.
create or replace function chatkit_private.question_thread_id(p_escalation public.chat_escalations)
returns text
language sql immutable
set search_path = ''
as $$
  select case
    when p_escalation.kind = 'browser' and p_escalation.origin = 'orchestrator'
      then p_escalation.subject #>> '{event,payload,threadId}'
  end
$$;

-- Adds a note about a model's question that is decided, expired or withdrawn to its thread. Not
-- while the user is being erased.
create or replace function chatkit_private.note_closed_question() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  if exists (
    select from public.erasures as e
    where e.org_id = new.org_id and e.user_id = new.user_id and e.finished_at is null
  ) then
    return null;
  end if;
  select * into strict v_session from public.chat_sessions as s where s.id = new.session_id;
  perform chatkit_private.append_item(
    v_session, t.id,
    jsonb_build_object(
      'type', 'hidden_context_item',
      'id', 'shcx_' || replace(gen_random_uuid()::text, '-', ''),
      'event_id', new.event_id,
      'content', jsonb_strip_nulls(jsonb_build_object(
        'event', 'An earlier question to a person is closed.',
        'question', new.reason,
        'status', new.status,
        'decision', new.decision,
        'comment', new.comment,
        'decidedBy', case
          when new.decided_by = new.user_id then 'the user'
          when new.decided_by is not null then 'an approver'
        end
      )) || case when new.answer is null then '{}' else jsonb_build_object('answer', new.answer) end
    )
  )
  from public.chat_threads as t
  where t.id = chatkit_private.question_thread_id(new)
    and t.org_id = new.org_id
    and t.user_id = new.user_id;
  return null;
end
$$;

create or replace trigger note_closed_question
  after update on public.chat_escalations
  for each row when (
    old.status = 'open' and new.status <> 'open'
    and new.kind = 'browser' and new.origin = 'orchestrator'
  )
  execute function chatkit_private.note_closed_question();
