-- Routing: the transaction that records an event also creates its deliveries.

-- Returns how many more deliveries one action of a person may cause in a session. Together with
-- the limit on depth (a constraint of the table), this stops agents that keep calling each other.
-- Deliveries resumed by a decision are not counted, because a person controls those.
create or replace function chatkit_private.remaining_fan_out(
  p_session_id uuid,
  p_root_event_id uuid
) returns integer
language sql stable
set search_path = ''
as $$
  select greatest(0, 50 - count(*))::integer
  from public.deliveries as d
  where d.session_id = p_session_id and d.root_event_id = p_root_event_id and d.resumes is null
$$;

-- Creates the deliveries of an event, one for each tool. A tool receives the event if its agent
-- has a matching route (event type, the session's current agent, the session's metadata) and the
-- user may use that agent. Creates none beyond the limits on depth and number.
create or replace function chatkit_private.route_event(
  p_event public.chat_events,
  p_root_event_id uuid,
  p_depth integer default 0
) returns void
language plpgsql
set search_path = ''
as $$
begin
  -- Most events have no route.
  if p_depth > 5 or not exists (
    select from public.agent_routes as r
    where r.org_id = p_event.org_id and r.event_type = p_event.type
  ) then
    return;
  end if;
  insert into public.deliveries (
    id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, depth,
    root_event_id
  )
  select chatkit_private.new_id(), p_event.org_id, p_event.user_id, p_event.session_id, p_event.id,
         chatkit_private.next_delivery_seq(p_event.session_id)
           + row_number() over (order by w.agent_id, w.tool) - 1,
         w.agent_id, w.tool, p_event.id, p_depth, p_root_event_id
  from (
    select distinct r.agent_id, r.tool
    from public.agent_routes as r
    join public.chat_sessions as s on s.id = p_event.session_id
    where r.org_id = p_event.org_id
      and r.event_type = p_event.type
      and (r.session_agent_id is null or r.session_agent_id = s.agent_id)
      and s.metadata @> r.metadata
  ) as w
  where chatkit_private.agent_is_open_to(p_event.org_id, p_event.user_id, w.agent_id)
  order by w.agent_id, w.tool
  limit chatkit_private.remaining_fan_out(p_event.session_id, p_root_event_id);
end
$$;

-- Returns the tool with which an agent accepts follow-ups in a session: that of its first matching
-- route. Null if it accepts none.
create or replace function chatkit_private.follow_up_tool(
  p_session public.chat_sessions,
  p_agent_id text
) returns text
language sql stable
set search_path = ''
as $$
  select r.tool
  from public.agent_routes as r
  join public.agents as a on a.org_id = r.org_id and a.id = r.agent_id and a.enabled
  where r.org_id = p_session.org_id
    and r.event_type = 'agent_follow_up'
    and r.agent_id = p_agent_id
    and (r.session_agent_id is null or r.session_agent_id = p_session.agent_id)
    and p_session.metadata @> r.metadata
  order by r.place
  limit 1
$$;

-- Returns the input schemas of the tools that take a session's follow-ups, by agent. The dispatcher
-- checks the inputs of follow-ups with them. They have at most 64 KiB in total, the smaller ones
-- first; inputs for the others are checked when they are about to be sent.
create or replace function chatkit_private.follow_up_schemas(p_session_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(
    jsonb_object_agg(t.agent_id, t.input_schema) filter (where t.total_size <= 65536), '{}'
  )
  from (
    select t.agent_id, t.input_schema,
           sum(octet_length(t.input_schema::text))
             over (order by octet_length(t.input_schema::text), t.agent_id) as total_size
    from public.chat_sessions as s
    join public.agent_tools as t on t.org_id = s.org_id and t.input_schema is not null
    where s.id = p_session_id and t.name = chatkit_private.follow_up_tool(s, t.agent_id)
  ) as t
$$;
