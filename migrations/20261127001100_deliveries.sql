-- Deliveries of events to agents, in one queue per session.

create table if not exists public.deliveries (
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The event that caused the delivery. Its id is the call's idempotency key.
  event_id uuid not null,
  -- The position in the session's queue.
  seq bigint not null,
  agent_id text not null,
  tool text not null,
  -- The delivery whose call this one resumes after a decision. A call can be resumed more than
  -- once, so the event that is sent is stored here too, and the inputs if they were edited.
  resumes uuid,
  about_event_id uuid not null,
  inputs jsonb,
  -- The decision that caused the delivery.
  escalation_id uuid,
  -- The agent's question whose decision is sent to the tool. If it has an answer, the answer is
  -- part of the call.
  answer_id uuid,
  -- The decision to call once more, after a failure or an unknown outcome.
  retry_id uuid,
  -- The user who edited or answered the call; null: the requester or an agent wrote it.
  author_id uuid,
  -- The approval that releases the call, and the hash of the exact call that was approved.
  release_id uuid,
  released_hash text,
  -- The run of the self-hosted chat whose model made the call, and the id of the model's call. A
  -- delivery that resumes such a call has the run only.
  run_id uuid,
  call_id text,
  -- Whether the model had called a tool before in the same turn, or the turn continues after the
  -- output of a tool, when it wrote the call.
  follows_tool_output boolean not null default false,
  -- The number of steps from a person's action, and that action's event. The limit on depth stops
  -- agents that trigger each other.
  depth integer not null default 0,
  root_event_id uuid not null,
  status text not null default 'pending',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  -- The end of the call's lease. Only a dispatcher with the current fence can finish the call.
  lease_until timestamptz,
  -- The claim that last began or closed it. A dispatcher whose response was lost repeats the claim
  -- under the same id.
  claim_id uuid,
  fence bigint not null default 0,
  -- Whether a turn of the chat makes the call now. The call is then not part of the session's
  -- queue, and no dispatcher claims it before its lease has expired.
  in_turn boolean not null generated always as
    (status = 'running' and run_id is not null and claim_id is null) stored,
  -- The last fence that finished it, and the status then: a repeated finish gets the same response.
  finished_fence bigint,
  finished_as text,
  -- The state that the MCP server expects back when the call is resumed.
  request_state jsonb,
  -- One of this project's error codes, never text from another system.
  error text,
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint deliveries_once_each unique (session_id, event_id, agent_id, tool),
  constraint deliveries_seq_key unique (session_id, seq),
  constraint deliveries_event_fkey
    foreign key (session_id, event_id) references public.chat_events (session_id, id),
  constraint deliveries_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint deliveries_seq_positive check (seq > 0),
  constraint deliveries_call_has_a_run check (call_id is null or run_id is not null),
  constraint deliveries_call_id_length check (char_length(call_id) between 1 and 64),
  constraint deliveries_depth_bound check (depth between 0 and 5),
  constraint deliveries_inputs_object check (jsonb_typeof(inputs) = 'object'),
  constraint deliveries_status_known
    check (status in ('pending', 'running', 'asked', 'done', 'dead', 'unknown', 'withdrawn')),
  constraint deliveries_release_is_whole check ((release_id is null) = (released_hash is null)),
  constraint deliveries_lease_while_running
    check ((status = 'running') = (lease_until is not null)),
  constraint deliveries_finish_is_whole
    check ((status in ('pending', 'running')) = (finished_at is null)),
  constraint deliveries_error_form check (error ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint deliveries_error_is_named
    check (status not in ('dead', 'unknown') or error is not null),
  constraint deliveries_request_state_size check (octet_length(request_state::text) <= 65536)
);

comment on table public.deliveries is
  'Calls of agents'' tools: one row for each event and tool that receives it, with its status, '
  'lease and outcome. A session''s deliveries are called one at a time, in the order of seq. A '
  'call that a turn of the self-hosted chat makes is not part of that order.';

-- Finds the head of a session's queue.
create index if not exists deliveries_queued
  on public.deliveries (session_id, seq) where status in ('pending', 'running');

-- Allows one running call per session, even if two dispatchers claim concurrently.
create unique index if not exists deliveries_one_running
  on public.deliveries (session_id) where status = 'running' and not in_turn;

-- Allows one running call per turn of the chat.
create unique index if not exists deliveries_one_running_of_turn
  on public.deliveries (run_id) where in_turn;

-- Finds the deliveries of a run, and the one of a model's call. Deliveries that resume a call have
-- no call_id, and nulls are distinct.
create unique index if not exists deliveries_by_call
  on public.deliveries (run_id, call_id) where run_id is not null;

-- Counts an organisation's running calls.
create index if not exists deliveries_running
  on public.deliveries (org_id) where status = 'running';

-- Finds the deliveries that a claim began or closed.
create index if not exists deliveries_by_claim
  on public.deliveries (claim_id) where claim_id is not null;

-- Counts the deliveries that one action of a person led to.
create index if not exists deliveries_by_root on public.deliveries (session_id, root_event_id);

-- Lists dead letters in the order of their creation (ids are version 7 UUIDs).
create index if not exists deliveries_dead
  on public.deliveries (org_id, id) where status in ('dead', 'unknown');

-- Lists an organisation's deliveries by creation, without reading their rows. It gains one entry
-- each time that a call is created, begun or finished, which is little next to a network call.
create index if not exists deliveries_by_creation
  on public.deliveries (org_id, created_at)
  include (id, session_id, status, finished_as, resumes, fence);

alter table public.deliveries enable row level security;
revoke all on table public.deliveries from public, anon, authenticated, service_role;

-- Metrics count deliveries by the hour and by the day. With few distinct values the planner
-- aggregates in memory and in parallel instead of sorting every delivery. The number is otherwise
-- used for queries for a single time, and there are none.
alter table public.deliveries alter column created_at set (n_distinct = 400);

create table if not exists public.delivery_queues (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  -- When the next delivery may be tried; while its call runs, the end of its lease.
  due_at timestamptz not null,
  -- The agent of that delivery.
  agent_id text not null,
  constraint delivery_queues_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.delivery_queues is
  'One row for every session with a pending or running delivery; claims read this table. Triggers '
  'maintain it under the session''s lock.';

create index if not exists delivery_queues_due on public.delivery_queues (due_at);

create index if not exists delivery_queues_due_by_org on public.delivery_queues (org_id, due_at);

-- Finds what is due for one agent, and the agents that have a queue.
create index if not exists delivery_queues_due_by_agent
  on public.delivery_queues (org_id, agent_id, due_at);

-- Orders organisations by hash, evenly distributed, so that a claim can go through them from a
-- random start.
create index if not exists delivery_queues_orgs
  on public.delivery_queues (uuid_hash(org_id), org_id);

alter table public.delivery_queues enable row level security;
revoke all on table public.delivery_queues from public, anon, authenticated, service_role;

-- Returns which agent's delivery in a session's queue is due next, and when: the head, or the call
-- of a turn whose lease expires earlier. Nulls if the queue is empty.
create or replace function chatkit_private.next_due_delivery(
  p_session_id uuid,
  out due_at timestamptz,
  out agent_id text
)
language sql stable
set search_path = ''
as $$
  select n.due_at, n.agent_id
  from (
    (
      select coalesce(d.lease_until, d.next_attempt_at) as due_at, d.agent_id
      from public.deliveries as d
      where d.session_id = p_session_id and d.status in ('pending', 'running') and not d.in_turn
      order by d.seq
      limit 1
    )
    union all
    (
      select d.lease_until, d.agent_id
      from public.deliveries as d
      where d.session_id = p_session_id and d.status in ('pending', 'running') and d.in_turn
      order by d.lease_until
      limit 1
    )
  ) as n
  order by n.due_at
  limit 1
$$;

-- Adds queues for new deliveries. A new delivery is the last of its queue, so it changes only a
-- queue that was empty, or that had only the call of a turn. That one exists, so route-events is
-- requested here.
create or replace function chatkit_private.enqueue_new_sessions() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_is_due_earlier boolean;
begin
  with queued as (
    insert into public.delivery_queues as q (org_id, user_id, session_id, due_at, agent_id)
    select n.org_id, n.user_id, n.session_id, f.due_at, f.agent_id
    from (
      select distinct m.org_id, m.user_id, m.session_id from made as m where m.status = 'pending'
    ) as n
    cross join lateral chatkit_private.next_due_delivery(n.session_id) as f
    on conflict (session_id) do update set due_at = excluded.due_at, agent_id = excluded.agent_id
    where q.due_at > excluded.due_at
    returning q.xmax <> 0 as existed
  )
  select coalesce(bool_or(q.existed), false) into v_is_due_earlier from queued as q;
  if v_is_due_earlier then
    perform chatkit_private.request_route_events();
  end if;
  return null;
end
$$;

create or replace trigger enqueue_new_sessions
  after insert on public.deliveries
  referencing new table as made
  for each statement execute function chatkit_private.enqueue_new_sessions();

-- Updates a session's queue after a change of its deliveries. A running delivery is always the
-- head: it was when it was claimed, and new and requeued ones are behind it.
create or replace function chatkit_private.refresh_queue_heads() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session record;
  v_next record;
begin
  for v_session in select distinct n.org_id, n.user_id, n.session_id from changed as n loop
    select * into v_next from chatkit_private.next_due_delivery(v_session.session_id);
    if v_next.due_at is not null then
      insert into public.delivery_queues as q (org_id, user_id, session_id, due_at, agent_id)
      values (
        v_session.org_id, v_session.user_id, v_session.session_id, v_next.due_at, v_next.agent_id
      )
      on conflict (session_id) do update set due_at = excluded.due_at, agent_id = excluded.agent_id
      where (q.due_at, q.agent_id) <> (excluded.due_at, excluded.agent_id);
    else
      delete from public.delivery_queues as q where q.session_id = v_session.session_id;
    end if;
  end loop;
  return null;
end
$$;

create or replace trigger refresh_queue_heads
  after update on public.deliveries
  referencing new table as changed
  for each statement execute function chatkit_private.refresh_queue_heads();

-- Agents receive nothing new from a session that has ended.
create or replace trigger require_active_session
  before insert on public.deliveries
  for each row execute function chatkit_private.require_active_session();

-- Withdraws the pending deliveries of a session that ends, for any reason, and those that wait for
-- a decision. A running call stays in its queue until it is finished or its lease expires.
create or replace function chatkit_private.withdraw_deliveries() returns trigger
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
  execute function chatkit_private.withdraw_deliveries();

-- Locks a delivery after its session and, for a call of the chat, its thread, as the lock order
-- requires.
create or replace function chatkit_private.lock_delivery(p_delivery_id uuid)
returns public.deliveries
language plpgsql
set search_path = ''
as $$
declare
  v_delivery public.deliveries;
begin
  perform from public.chat_sessions as s
  where s.id = (select d.session_id from public.deliveries as d where d.id = p_delivery_id)
  for update;
  perform from public.chat_threads as t
  where t.id = (
    select r.thread_id
    from public.deliveries as d
    join public.chat_runs as r on r.id = d.run_id
    where d.id = p_delivery_id
  )
  for update;
  select * into v_delivery from public.deliveries as d where d.id = p_delivery_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'delivery_not_found';
  end if;
  return v_delivery;
end
$$;

-- Closes a delivery with its outcome, which makes the next one of its queue the head.
create or replace function chatkit_private.close_delivery(
  p_delivery_id uuid,
  p_status text,
  p_error text default null
) returns void
language sql
set search_path = ''
as $$
  update public.deliveries as d
  set status = p_status, error = p_error, lease_until = null, finished_at = clock_timestamp()
  where d.id = p_delivery_id
$$;

-- Puts a delivery back at the end of its queue, behind those that have waited longer, with all its
-- attempts. It gets the request state that it began with, because a later one belongs to a question
-- that was not answered. p_retry_id: the decision to call once more; null for an operator's replay.
create or replace function chatkit_private.requeue_delivery(
  p_delivery_id uuid,
  p_retry_id uuid default null
) returns void
language sql
set search_path = ''
as $$
  update public.deliveries as d
  set status = 'pending', error = null, lease_until = null, finished_at = null, attempts = 0,
      retry_id = p_retry_id,
      next_attempt_at = clock_timestamp(),
      request_state = (select r.request_state from public.deliveries as r where r.id = d.resumes),
      seq = 1 + (select max(o.seq) from public.deliveries as o where o.session_id = d.session_id)
  where d.id = p_delivery_id
$$;

-- Returns the next position in a session's queue. The caller holds the session's lock.
create or replace function chatkit_private.next_delivery_seq(p_session_id uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select 1 + coalesce(max(d.seq), 0) from public.deliveries as d where d.session_id = p_session_id
$$;
