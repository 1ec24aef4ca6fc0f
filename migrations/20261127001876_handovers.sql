-- Handovers by agents: in the result of a call, or by a model.

-- Returns why an agent may not hand a session over to another one, or null if it may. The session
-- must be with the agent that hands it over, and its user must be allowed to open the other agent
-- in the session's channel. With p_run_id the answer continues with the next agent, which is
-- possible a limited number of times (see chat_runs_handovers_bound).
create or replace function chatkit_private.handover_rejection(
  p_session public.chat_sessions,
  p_from_agent_id text,
  p_agent_id text,
  p_run_id uuid
) returns text
language plpgsql
set search_path = ''
as $$
declare
  v_agent public.agents;
begin
  if p_session.status = 'ended' then
    return 'session_ended';
  end if;
  if p_session.agent_id <> p_from_agent_id or p_session.agent_id = p_agent_id then
    return 'agent_changed';
  end if;
  if exists (select from public.chat_runs as r where r.id = p_run_id and r.handovers >= 3) then
    return 'too_many_handovers';
  end if;
  v_agent := chatkit_private.openable_agent(p_session.org_id, p_session.user_id, p_agent_id);
  perform chatkit_private.require_channel(v_agent, p_session.channel);
  return null;
exception
  when sqlstate 'PT403' or sqlstate 'PT422' then
    return sqlerrm;
end
$$;

-- Adds a note for the next agent's model to the thread that a handover has given to it.
create or replace function chatkit_private.append_handover_note(p_event public.chat_events)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_thread_id text;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_event.session_id;
  select t.id into v_thread_id
  from (
    select l.thread_id
    from public.chat_thread_sessions as l
    where l.session_id = v_session.id
    order by l.last_used_at desc, l.thread_id
    limit 1
  ) as u
  join public.chat_threads as t on t.id = u.thread_id and t.agent_id = v_session.agent_id;
  if found then
    perform chatkit_private.append_item(
      v_session, v_thread_id,
      jsonb_build_object(
        'type', 'hidden_context_item',
        'id', 'shcx_' || replace(gen_random_uuid()::text, '-', ''),
        'event_id', p_event.id,
        'content', jsonb_build_object('event', 'The conversation was handed over to you.')
          || (p_event.payload - 'agentId')
      )
    );
  end if;
end
$$;

-- Hands a session over for its agent, after handover_rejection. With p_run_id, the answer's thread
-- moves too, and the answer is not stopped: it continues with the next agent, or its process ends
-- it if the next agent is hosted.
create or replace function chatkit_private.hand_over_by_agent(
  p_session public.chat_sessions,
  p_from_agent_id text,
  p_handover jsonb,
  p_root_event_id uuid,
  p_depth integer,
  p_run_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_run public.chat_runs;
  v_agent public.agents;
  v_event public.chat_events;
begin
  select * into v_run from public.chat_runs as r where r.id = p_run_id and r.status = 'running';
  if found then
    -- The session may have used another thread since the answer began.
    perform chatkit_private.link_thread(p_session, v_run.thread_id);
  end if;
  v_event := chatkit_private.append_event(
    p_session.id, chatkit_private.new_id(), 'handover',
    jsonb_build_object('agentId', p_handover -> 'agent_id', 'fromAgentId', p_from_agent_id)
      || jsonb_strip_nulls(jsonb_build_object(
        'reason', p_handover -> 'reason', 'summary', p_handover -> 'summary'
      )),
    'agent', p_from_agent_id
  );
  select * into strict v_agent
  from public.agents as a
  where a.org_id = p_session.org_id and a.id = p_handover ->> 'agent_id';
  perform chatkit_private.change_agent(p_session.id, v_agent);
  perform chatkit_private.append_handover_note(v_event);
  -- A trigger has asked the session's answers to stop.
  update public.chat_runs as r
  set agent_id = case v_agent.provider when 'self_hosted' then v_agent.id else r.agent_id end,
      stop_requested_at = v_run.stop_requested_at,
      handovers = r.handovers + 1
  where r.id = v_run.id;
  -- The event is routed after the handover, so it goes to the session's new agent.
  perform chatkit_private.route_event(v_event, p_root_event_id, p_depth);
end
$$;

-- Returns the agents to which the model of a session may hand it over, up to 50.
create or replace function chatkit_private.handover_agents(p_session public.chat_sessions)
returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(o) order by o.id), '[]')
  from (
    select a.id, a.display_name, a.description
    from public.agents as a
    where a.org_id = p_session.org_id
      and a.id <> p_session.agent_id
      and chatkit_private.agent_is_open_to(p_session.org_id, p_session.user_id, a.id)
    order by a.id
    limit 50
  ) as o
$$;

-- Returns what a model of a session's agent needs to answer, apart from the history: `settings`,
-- `tools`, and `agents` to which it may hand the session over. A hosted agent has no settings.
create or replace function chatkit_private.model_setup(p_session public.chat_sessions) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'settings', to_jsonb(m),
    'tools', chatkit_private.offered_tools(p_session.org_id, p_session.agent_id),
    'agents', case
      when 'hand_over_to_agent' = any (m.built_in_tools)
        then chatkit_private.handover_agents(p_session)
      else '[]'
    end
  )
  from (select p_session.id) as s (id)
  left join public.session_model_settings as m on m.session_id = s.id
$$;

-- Returns the agent that continues a running answer after a call of p_agent_id has handed its
-- session over, with the note about the handover, and null otherwise. A handover from outside the
-- turn stops the answer.
create or replace function chatkit_private.next_agent(p_run_id uuid, p_agent_id text) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'display_name', a.display_name,
    'note', (
      select h.item
      from public.chat_hidden_items as h
      where h.thread_id = r.thread_id
        and h.thread_seq > r.preceding_item_seq
        and h.kind = 'hidden_context_item'
        and h.item -> 'content' ? 'fromAgentId'
      order by h.thread_seq desc
      limit 1
    )
  ) || chatkit_private.model_setup(s)
  from public.chat_runs as r
  join public.chat_sessions as s on s.id = r.session_id
  join public.agents as a on a.org_id = s.org_id and a.id = s.agent_id
  where r.id = p_run_id
    and r.status = 'running'
    and r.stop_requested_at is null
    and s.status = 'active'
    and s.agent_id <> p_agent_id
$$;
