-- Deliveries: events on their way to agents, in one queue per session.

create table if not exists public.deliveries (
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The event that the agent is told, and the call's idempotency key.
  event_id uuid not null,
  -- The place in the session's queue: in the order they were queued.
  seq bigint not null,
  agent_id text not null,
  tool text not null,
  -- The delivery whose call this one takes up again, after a decision. A call may be taken up more than once, so what it was
  -- first about stands here as well: the event that is sent, and its inputs if somebody edited them.
  resumes uuid,
  about_event_id uuid not null,
  inputs jsonb,
  -- The decision that set it going.
  escalation_id uuid,
  -- The agent's own question whose decision the tool is sent. With an answer, that is part of the call.
  answer_id uuid,
  -- The decision to call once more, after a failure or an unknown outcome.
  retry_id uuid,
  -- Who wrote the call as it is, by editing or answering; null: the requester or an agent.
  author_id uuid,
  -- The approval that releases the call, and the hash of the very call that was approved.
  release_id uuid,
  released_hash text,
  -- How far this is from what a person did, and what that was: agents that set each other to work come to an end.
  depth integer not null default 0,
  root_event_id uuid not null,
  status text not null default 'pending',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  -- Until when the call may take. Who holds the fence may finish it, and nobody else.
  lease_until timestamptz,
  -- The claim that began or settled it last: a router that did not hear the answer asks for it again.
  claim_id uuid,
  fence bigint not null default 0,
  -- The fence that finished it last, and as what: a repeated finish is answered the same.
  finished_fence bigint,
  finished_as text,
  -- What the server wants back when the call is taken up again (MCP).
  request_state jsonb,
  -- A code of ours; never what an upstream said.
  error text,
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint deliveries_once_each unique (session_id, event_id, agent_id, tool),
  constraint deliveries_seq_key unique (session_id, seq),
  constraint deliveries_event_fkey foreign key (session_id, event_id) references public.chat_events (session_id, id),
  constraint deliveries_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint deliveries_seq_positive check (seq > 0),
  constraint deliveries_depth_bound check (depth between 0 and 5),
  constraint deliveries_inputs_object check (jsonb_typeof(inputs) = 'object'),
  constraint deliveries_status_known
    check (status in ('pending', 'running', 'asked', 'done', 'dead', 'unknown', 'withdrawn')),
  constraint deliveries_release_is_whole check ((release_id is null) = (released_hash is null)),
  constraint deliveries_lease_while_running check ((status = 'running') = (lease_until is not null)),
  constraint deliveries_finish_is_whole check ((status in ('pending', 'running')) = (finished_at is null)),
  constraint deliveries_error_form check (error ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint deliveries_error_is_named check (status not in ('dead', 'unknown') or error is not null),
  constraint deliveries_request_state_size check (octet_length(request_state::text) <= 65536)
);

-- The head of a session's queue.
create index if not exists deliveries_queued
  on public.deliveries (session_id, seq) where status in ('pending', 'running');

-- One call at a time in a session, whatever the routers believe.
create unique index if not exists deliveries_one_running on public.deliveries (session_id) where status = 'running';

-- How many calls of an organisation are under way.
create index if not exists deliveries_running on public.deliveries (org_id) where status = 'running';

-- What a claim has begun or settled.
create index if not exists deliveries_by_claim on public.deliveries (claim_id) where claim_id is not null;

-- What one thing that a person did has led to.
create index if not exists deliveries_by_root on public.deliveries (session_id, root_event_id);

-- Dead letters, in the order they were made (ids are of version 7).
create index if not exists deliveries_dead on public.deliveries (org_id, id) where status in ('dead', 'unknown');

-- The organisation's deliveries, in the same way. One more entry each time that a call is made, begun or finished, next to a call
-- over the network.
create index if not exists deliveries_by_creation
  on public.deliveries (org_id, created_at)
  include (id, session_id, status, finished_as, resumes, fence);

alter table public.deliveries enable row level security;
revoke all on table public.deliveries from public, anon, authenticated, service_role;

-- Deliveries are counted by the hour and the day. Told that there are few distinct times, the planner aggregates in memory and in
-- parallel instead of sorting every delivery. No query looks for one time, which is what else the number is used for.
alter table public.deliveries alter column created_at set (n_distinct = 400);

create table if not exists public.delivery_queues (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  -- When the head may be tried or, while its call runs, when its lease ends.
  due_at timestamptz not null,
  constraint delivery_queues_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.delivery_queues is 
  'One row for every session with something pending or running: what the claim looks at. Kept by '
  'trigger, under the session''s lock.';

create index if not exists delivery_queues_due on public.delivery_queues (due_at);

create index if not exists delivery_queues_due_by_org on public.delivery_queues (org_id, due_at);

-- The organisations, strewn evenly: for going round them from anywhere.
create index if not exists delivery_queues_orgs on public.delivery_queues (uuid_hash(org_id), org_id);

alter table public.delivery_queues enable row level security;
revoke all on table public.delivery_queues from public, anon, authenticated, service_role;

-- A new delivery stands at the end of its queue: it matters to a queue that is empty, and to no other.
create or replace function chatkit_private.enqueue_new_sessions() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  insert into public.delivery_queues (org_id, user_id, session_id, due_at)
  select distinct on (n.session_id) n.org_id, n.user_id, n.session_id, n.next_attempt_at
  from made as n
  where n.status = 'pending'
  order by n.session_id, n.seq
  on conflict (session_id) do nothing;
  return null;
end
$$;

create or replace trigger enqueue_new_sessions
  after insert on public.deliveries
  referencing new table as made
  for each statement execute function chatkit_private.enqueue_new_sessions();

-- Whatever changes a delivery, its session's queue is due by its head. What runs is always the head: it was when it was claimed,
-- and what comes later or comes back stands behind it.
create or replace function chatkit_private.refresh_queue_heads() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session record;
  v_due_at timestamptz;
begin
  for v_session in select distinct n.org_id, n.user_id, n.session_id from changed as n loop
    select coalesce(d.lease_until, d.next_attempt_at)
    into v_due_at
    from public.deliveries as d
    where d.session_id = v_session.session_id and d.status in ('pending', 'running')
    order by d.seq
    limit 1;
    if found then
      insert into public.delivery_queues as q (org_id, user_id, session_id, due_at)
      values (v_session.org_id, v_session.user_id, v_session.session_id, v_due_at)
      on conflict (session_id) do update set due_at = excluded.due_at where q.due_at <> excluded.due_at;
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

-- Nobody is told anything on behalf of a session that has ended.
create or replace trigger require_active_session
  before insert on public.deliveries
  for each row execute function chatkit_private.require_active_session();

-- A session that ends, however it ends, withdraws what it did not begin, and what waits for a person. A call under way stays in
-- its queue until it is finished or its lease is over.
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

-- Locks a delivery, its session first, as everywhere.
create or replace function chatkit_private.lock_delivery(p_delivery_id uuid) returns public.deliveries
language plpgsql
set search_path = ''
as $$
declare
  v_delivery public.deliveries;
begin
  perform from public.chat_sessions as s
  where s.id = (select d.session_id from public.deliveries as d where d.id = p_delivery_id)
  for update;
  select * into v_delivery from public.deliveries as d where d.id = p_delivery_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'delivery_not_found';
  end if;
  return v_delivery;
end
$$;

-- What has become of a delivery, which releases the next one in its queue.
create or replace function chatkit_private.close_delivery(p_delivery_id uuid, p_status text, p_error text default null) returns void
language sql
set search_path = ''
as $$
  update public.deliveries as d
  set status = p_status, error = p_error, lease_until = null, finished_at = clock_timestamp()
  where d.id = p_delivery_id
$$;

-- Once again, from the end of the queue and with all its attempts: what is waiting has been waiting longer. It takes with it what
-- it began with, and not the state of an answer that nobody gave. p_retry_id: the decision to call once more; null for an operator's.
create or replace function chatkit_private.requeue_delivery(p_delivery_id uuid, p_retry_id uuid default null) returns void
language sql
set search_path = ''
as $$
  update public.deliveries as d
  set status = 'pending', error = null, lease_until = null, finished_at = null, attempts = 0, retry_id = p_retry_id,
      next_attempt_at = clock_timestamp(),
      request_state = (select r.request_state from public.deliveries as r where r.id = d.resumes),
      seq = 1 + (select max(o.seq) from public.deliveries as o where o.session_id = d.session_id)
  where d.id = p_delivery_id
$$;

-- The next place in a session's queue; the session is locked.
create or replace function chatkit_private.next_delivery_seq(p_session_id uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select 1 + coalesce(max(d.seq), 0) from public.deliveries as d where d.session_id = p_session_id
$$;
