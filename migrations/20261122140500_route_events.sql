-- Routing: an event that is accepted makes its deliveries in the same transaction. None is lost between the two, and a repeat of
-- the event, which changes nothing, makes none.

-- How many more deliveries may come of one thing that a person did. Together with the bound on depth (a constraint of the
-- table) this ends whatever agents set each other to do. What a decision takes up again is not counted: people end that.
create or replace function private.deliveries_left(p_session_id uuid, p_root_event_id uuid) returns integer
language sql stable
set search_path = ''
as $$
  select greatest(0, 50 - count(*))::integer
  from public.deliveries as d
  where d.session_id = p_session_id and d.root_event_id = p_root_event_id and d.resumes is null
$$;

-- The next place in a session's queue; the session is locked.
create or replace function private.next_delivery_seq(p_session_id uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select 1 + coalesce(max(d.seq), 0) from public.deliveries as d where d.session_id = p_session_id
$$;

-- Whether an agent is there for a user now: enabled, and open to the role that the user has in the organisation.
create or replace function private.agent_is_open_to(p_org_id uuid, p_user_id uuid, p_agent_id text) returns boolean
language sql stable
set search_path = ''
as $$
  select exists (
    select from public.agents as a
    cross join lateral private.member_role(p_org_id, p_user_id) as m (role)
    where a.org_id = p_org_id
      and a.id = p_agent_id
      and a.enabled
      and m.role is not null
      and (a.allowed_org_roles is null or m.role = any (a.allowed_org_roles))
  )
$$;

-- Makes the deliveries of an event: to the agents of its organisation that its user may use and that have a route for its type, for
-- the agent that the session has now and for its metadata; each tool once. Beyond the bounds there are none.
create or replace function private.route_event(
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
    select from public.agent_routes as r where r.org_id = p_event.org_id and r.event_type = p_event.type
  ) then
    return;
  end if;
  insert into public.deliveries (
    id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, depth, root_event_id
  )
  select private.new_id(), p_event.org_id, p_event.user_id, p_event.session_id, p_event.id,
         private.next_delivery_seq(p_event.session_id) + row_number() over (order by w.agent_id, w.tool) - 1,
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
  where private.agent_is_open_to(p_event.org_id, p_event.user_id, w.agent_id)
  order by w.agent_id, w.tool
  limit private.deliveries_left(p_event.session_id, p_root_event_id);
end
$$;

-- The tool by which an agent takes follow-ups of a session: that of its first route for them. Null: it takes none.
create or replace function private.follow_up_tool(p_session public.chat_sessions, p_agent_id text) returns text
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

-- Takes up the call of a delivery again, under a decision: as it was, or with what the decision wrote (p_inputs, and the answer to
-- the agent's own question). With p_released_hash the decision releases that call; without one, an earlier release is kept and holds
-- as long as the call is the one that it was given for.
create or replace function private.resume_delivery(
  p_delivery public.deliveries,
  p_escalation public.chat_escalations,
  p_inputs jsonb default null,
  p_author_id uuid default null,
  p_released_hash text default null
) returns public.deliveries
language sql
set search_path = ''
as $$
  insert into public.deliveries (
    id, org_id, user_id, session_id, event_id, seq, agent_id, tool, resumes, about_event_id, inputs, escalation_id, answer_id,
    author_id, release_id, released_hash, depth, root_event_id, request_state
  ) values (
    private.new_id(), p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, p_escalation.decision_event_id,
    private.next_delivery_seq(p_delivery.session_id), p_delivery.agent_id, p_delivery.tool, p_delivery.id,
    p_delivery.about_event_id, coalesce(p_inputs, p_delivery.inputs), p_escalation.id,
    case p_escalation.kind when 'agent_asked' then p_escalation.id else p_delivery.answer_id end,
    coalesce(p_author_id, p_delivery.author_id),
    case when p_released_hash is null then p_delivery.release_id else p_escalation.id end,
    coalesce(p_released_hash, p_delivery.released_hash), p_delivery.depth, p_delivery.root_event_id,
    p_delivery.request_state
  )
  returning *
$$;

revoke all on function private.deliveries_left(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function private.next_delivery_seq(uuid) from public, anon, authenticated, service_role;
revoke all on function private.agent_is_open_to(uuid, uuid, text) from public, anon, authenticated, service_role;
revoke all on function private.route_event(public.chat_events, uuid, integer)
  from public, anon, authenticated, service_role;
revoke all on function private.follow_up_tool(public.chat_sessions, text)
  from public, anon, authenticated, service_role;
revoke all on function private.resume_delivery(public.deliveries, public.chat_escalations, jsonb, uuid, text)
  from public, anon, authenticated, service_role;
