-- What deliveries and a session's life have to do with each other: while something is on its way the session is not idle, and
-- when it ends, what was not begun is withdrawn and what was begun is still recorded.

-- When a session becomes idle if nothing happens; null while it cannot: it has ended, an escalation is open, or an agent is
-- still to be told something. Otherwise an agent that is down for an afternoon would lose what its users did before.
create or replace function private.idle_at(p_session public.chat_sessions) returns timestamptz
language sql stable
set search_path = ''
as $$
  select p_session.last_activity_at + make_interval(secs => a.idle_timeout_seconds)
  from public.agents as a
  where a.org_id = p_session.org_id
    and a.id = p_session.agent_id
    and p_session.status = 'active'
    and not exists (
      select from public.chat_escalations as e where e.session_id = p_session.id and e.status = 'open'
    )
    and not exists (select from public.delivery_queues as q where q.session_id = p_session.id)
$$;

-- A queue that begins pauses its session, and one that is empty lets it go on.
create or replace function private.plan_idle_check_of_queue() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into v_session
  from public.chat_sessions as s
  where s.id = case tg_op when 'DELETE' then old.session_id else new.session_id end;
  if found then
    perform private.plan_idle_check(v_session);
  end if;
  return null;
end
$$;

create or replace trigger plan_idle_check
  after insert or delete on public.delivery_queues
  for each row execute function private.plan_idle_check_of_queue();

-- What no update may do to a session, whoever writes it: change hands, count backwards, or come back from its end. After the
-- end a call under way may still be recorded, so events, messages and activity go on.
create or replace function private.guard_session_history() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.id, new.org_id, new.user_id, new.channel, new.created_at)
     is distinct from (old.id, old.org_id, old.user_id, old.channel, old.created_at) then
    raise check_violation using message = 'a session keeps its id, tenant, channel and time of creation';
  end if;
  if new.last_event_seq < old.last_event_seq or new.last_message_seq < old.last_message_seq then
    raise check_violation using message = 'a session counts its events and messages upwards only';
  end if;
  if old.status = 'ended'
     and (new.status, new.ended_at, new.end_reason, new.agent_id, new.metadata)
         is distinct from (old.status, old.ended_at, old.end_reason, old.agent_id, old.metadata) then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  return new;
end
$$;

-- Nothing happens in a session after its end, but that a call which was under way then comes to its own.
create or replace trigger require_active_session
  before insert on public.chat_events
  for each row when (new.type not in ('agent_result', 'agent_failed'))
  execute function private.require_active_session();

-- Nobody is told anything on behalf of a session that has ended.
create or replace trigger require_active_session
  before insert on public.deliveries
  for each row execute function private.require_active_session();

-- A session that ends, however it ends, withdraws what it did not begin, and what waits for a person. A call under way stays in
-- its queue until it is finished or its lease is over.
create or replace function private.withdraw_deliveries() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  update public.deliveries as d
  set status = 'withdrawn', error = 'session_ended', finished_at = clock_timestamp()
  where d.session_id = new.id and d.status in ('pending', 'asked');
  return null;
end
$$;

create or replace trigger withdraw_deliveries
  after update on public.chat_sessions
  for each row when (old.status <> new.status)
  execute function private.withdraw_deliveries();

revoke all on function private.plan_idle_check_of_queue() from public, anon, authenticated, service_role;
revoke all on function private.withdraw_deliveries() from public, anon, authenticated, service_role;
