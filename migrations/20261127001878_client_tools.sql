-- Client tools: tools that run in the user's page.
--
-- A model's call ends the answer. It is an item of the thread, pending until the page sends the
-- output, which begins the next answer. A message of the user closes the call, and so does a day.
-- The item is completed once, whatever arrives later.

-- Finds the pending call of a thread; there is at most one, because every new answer closes it.
create unique index if not exists chat_messages_pending_client_call
  on public.chat_messages (thread_id)
  where kind = 'client_tool_call' and item ->> 'status' = 'pending' and hidden_at is null;

-- Records a model's call of a client tool as an event of its session.
create or replace function chatkit_private.record_client_call() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if chatkit_private.is_active(new.session_id) then
    perform chatkit_private.append_event(
      new.session_id, chatkit_private.new_id(), 'agent_call',
      jsonb_build_object(
        'agentId', s.agent_id, 'tool', new.item -> 'name', 'callId', new.item -> 'call_id',
        'threadId', new.thread_id
      ),
      'agent', s.agent_id
    )
    from public.chat_sessions as s
    where s.id = new.session_id;
  end if;
  return null;
end
$$;

create or replace trigger record_client_call
  after insert on public.chat_messages
  for each row when (new.kind = 'client_tool_call')
  execute function chatkit_private.record_client_call();

-- Completes the pending call of a thread with an output, and returns the number of its item; null
-- if no call is pending. The caller has locked the session and the thread.
create or replace function chatkit_private.close_client_call(
  p_session public.chat_sessions,
  p_thread_id text,
  p_output jsonb,
  p_event_type text,
  p_actor_type text
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_call public.chat_messages;
begin
  update public.chat_messages as m
  set item = m.item || jsonb_build_object('status', 'completed', 'output', p_output)
  where m.thread_id = p_thread_id
    and m.kind = 'client_tool_call'
    and m.item ->> 'status' = 'pending'
    and m.hidden_at is null
  returning * into v_call;
  if not found then
    return null;
  end if;
  perform chatkit_private.append_event(
    p_session.id, chatkit_private.new_id(), p_event_type,
    jsonb_build_object(
      'name', v_call.item -> 'name', 'callId', v_call.item -> 'call_id', 'threadId', p_thread_id
    ),
    p_actor_type, case p_actor_type when 'user' then p_session.user_id::text end
  );
  return v_call.thread_seq;
end
$$;

-- Completes the pending call of a thread with what the page returned.
create or replace function chatkit_private.complete_client_call(
  p_session public.chat_sessions,
  p_thread_id text,
  p_output jsonb
) returns bigint
language sql
set search_path = ''
as $$
  select chatkit_private.close_client_call(
    p_session, p_thread_id, coalesce(p_output, 'null'), 'client_tool_output', 'user'
  )
$$;

-- Completes the pending call of a thread, if there is one, without an output of the page.
create or replace function chatkit_private.abandon_client_call(
  p_session public.chat_sessions,
  p_thread_id text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform chatkit_private.close_client_call(
    p_session, p_thread_id,
    '{"status": "abandoned", "error": "The page did not return an output."}',
    'client_tool_abandoned', 'system'
  );
end
$$;

-- Returns whether a thread of the session's user has a client tool call that has been pending for a
-- day. A session that has ended does not close it.
create or replace function chatkit_private.has_old_client_call(
  p_session public.chat_sessions,
  p_thread_id text
) returns boolean
language sql stable
set search_path = ''
as $$
  select p_session.status = 'active' and exists (
    select from public.chat_messages as m
    where m.thread_id = p_thread_id
      and m.org_id = p_session.org_id
      and m.user_id = p_session.user_id
      and m.kind = 'client_tool_call'
      and m.item ->> 'status' = 'pending'
      and m.hidden_at is null
      and m.created_at < clock_timestamp() - interval '1 day'
  )
$$;

-- Returns the run to repeat for an output that no call of the thread waits for, because it was
-- taken before or is too late: the thread's latest run. Null if a call is pending.
create or replace function chatkit_private.run_after_client_call(p_thread_id text)
returns public.chat_runs
language plpgsql stable
set search_path = ''
as $$
declare
  v_run public.chat_runs;
begin
  if exists (
    select from public.chat_messages as m
    where m.thread_id = p_thread_id
      and m.kind = 'client_tool_call'
      and m.item ->> 'status' = 'pending'
      and m.hidden_at is null
  ) then
    return null;
  end if;
  select r.* into v_run
  from public.chat_runs as r
  where r.thread_id = p_thread_id
    and exists (
      select from public.chat_messages as m
      where m.thread_id = p_thread_id and m.kind = 'client_tool_call'
    )
  order by r.started_at desc
  limit 1;
  if not found then
    raise sqlstate 'PT404' using message = 'item_not_found';
  end if;
  return v_run;
end
$$;

-- Returns whether a run has read what a tool returned since the previous message of the person: it
-- continues after a client tool or a held call (the key of such a continuation comes from
-- get_chat_card), a run of the same question has made a call, or a note with the result of a call
-- came after the previous question.
create or replace function chatkit_private.has_read_tool_output(p_run public.chat_runs)
returns boolean
language sql stable
set search_path = ''
as $$
  select p_run.request_key like 'continue:%'
    or exists (
      select from public.chat_messages as m
      where m.thread_id = p_run.thread_id
        and m.thread_seq = p_run.question_seq
        and m.kind = 'client_tool_call'
    )
    or exists (
      select from public.chat_runs as r
      join public.deliveries as d on d.run_id = r.id
      where r.thread_id = p_run.thread_id and r.question_seq = p_run.question_seq and d.fence > 0
    )
    or exists (
      select from public.chat_hidden_items as h
      where h.thread_id = p_run.thread_id
        and h.hidden_at is null
        and h.kind = 'hidden_context_item'
        and h.item ? 'data'
        and h.thread_seq > coalesce((
          select max(r.question_seq)
          from public.chat_runs as r
          where r.thread_id = p_run.thread_id and r.question_seq < p_run.question_seq
        ), 0)
    )
$$;
