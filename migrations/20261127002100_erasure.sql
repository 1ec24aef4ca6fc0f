-- Erasing a person: all that is stored about a user of an organisation, and their threads at ChatKit.

create table if not exists public.erasures (
  id uuid primary key,
  org_id uuid not null,
  -- Whose data; the id says nothing by itself once the account is gone.
  user_id uuid not null,
  -- Who ordered it and why, in the operator's words.
  requested_by text not null,
  reason text not null,
  started_at timestamptz not null default clock_timestamp(),
  -- Until when somebody is at it; then the next may go on.
  lease_until timestamptz not null,
  -- The threads that were found at ChatKit, written down before they are deleted there. Only their number outlives the erasure.
  thread_ids text[] not null default '{}',
  -- How much was erased, by kind.
  counts jsonb not null default '{}',
  finished_at timestamptz,
  constraint erasures_requested_by_length check (char_length(requested_by) between 1 and 200),
  constraint erasures_reason_length check (char_length(reason) between 1 and 2000),
  constraint erasures_counts_object check (jsonb_typeof(counts) = 'object'),
  constraint erasures_thread_ids_while_running check (finished_at is null or thread_ids = '{}')
);

-- One at a time for a person; also what everything that begins looks at.
create unique index if not exists erasures_running on public.erasures (org_id, user_id) where finished_at is null;

-- What was erased of a person before.
create index if not exists erasures_by_user on public.erasures (org_id, user_id, started_at desc);

-- Those that nobody is at.
create index if not exists erasures_due on public.erasures (lease_until) where finished_at is null;

alter table public.erasures enable row level security;
revoke all on table public.erasures from public, anon, authenticated, service_role;

-- What was done stays as it was done.
create or replace function chatkit_private.prevent_erasure_rewrite() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' or old.finished_at is not null
     or (new.id, new.org_id, new.user_id, new.requested_by, new.reason, new.started_at)
        is distinct from (old.id, old.org_id, old.user_id, old.requested_by, old.reason, old.started_at) then
    raise check_violation using message = 'an erasure stays on record as it was ordered and done';
  end if;
  return new;
end
$$;

create or replace trigger prevent_erasure_rewrite
  before update or delete on public.erasures
  for each row execute function chatkit_private.prevent_erasure_rewrite();

-- What is locked of a person: shared by whoever begins something for them, alone by who begins or finishes their erasure. Before
-- everything else: person, key, session, queue, delivery, escalation, throttles. Nobody waits for it with anything in hand.
create or replace function chatkit_private.erasure_lock_key(p_org_id uuid, p_user_id uuid) returns bigint
language sql immutable parallel safe
set search_path = ''
as $$
  select hashtextextended(p_org_id::text || p_user_id::text, 151000)
$$;

-- Nothing begins for a person who is being erased. Who came first is decided by the lock: what began before is found by the
-- erasure, and what begins after finds it. Everything else of a person's hangs off a session, and goes with it. Keys go on, since
-- not every one has a session; those that there are at the end go then, and one that is just being claimed is waited for.
create or replace function chatkit_private.reject_during_erasure() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(chatkit_private.erasure_lock_key(new.org_id, new.user_id));
  if tg_table_name <> 'idempotency_keys' and exists (
    select from public.erasures as e
    where e.org_id = new.org_id and e.user_id = new.user_id and e.finished_at is null
  ) then
    raise sqlstate 'PT409' using message = 'erasure_running';
  end if;
  return new;
end
$$;

create or replace trigger reject_during_erasure
  before insert on public.chatkit_users
  for each row execute function chatkit_private.reject_during_erasure();

create or replace trigger reject_during_erasure
  before insert on public.chat_sessions
  for each row execute function chatkit_private.reject_during_erasure();

create or replace trigger reject_during_erasure
  before insert on public.idempotency_keys
  for each row execute function chatkit_private.reject_during_erasure();

-- An erasure as the RPCs answer it. `chatkit_user`: under which name to ask ChatKit, null if the person never had one.
-- `at_chatkit`: whether there may be something of theirs.
create or replace function chatkit_private.erasure_response(p_erasure public.erasures) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('erasure', to_jsonb(p_erasure) - '{lease_until,thread_ids}'::text[])
    || jsonb_build_object(
      'chatkit_user', (
        select u.chatkit_user
        from public.chatkit_users as u
        where u.org_id = p_erasure.org_id and u.user_id = p_erasure.user_id and p_erasure.finished_at is null
      ),
      'at_chatkit', p_erasure.finished_at is null and (
        p_erasure.thread_ids <> '{}'
        or exists (
          select from public.chat_sessions as s
          join public.chatkit_sessions as c on c.session_id = s.id
          where s.org_id = p_erasure.org_id and s.user_id = p_erasure.user_id
        )
      )
    )
$$;

create or replace function public.begin_erasure(
  p_org_id uuid,
  p_user_id uuid,
  p_requested_by text,
  p_reason text,
  p_lease_seconds integer default 300
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_lease_until timestamptz := clock_timestamp() + make_interval(secs => coalesce(p_lease_seconds, 300));
  v_erasure public.erasures;
  v_constraint text;
  v_column text;
begin
  -- Waits for what is just beginning; all that comes later sees the row that is written here.
  perform pg_advisory_xact_lock(chatkit_private.erasure_lock_key(p_org_id, p_user_id));
  update public.erasures as e
  set lease_until = v_lease_until
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  returning * into v_erasure;

  if not found
     and not exists (select from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id)
     and not exists (select from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id) then
    select * into v_erasure
    from public.erasures as e
    where e.org_id = p_org_id and e.user_id = p_user_id
    order by e.started_at desc
    limit 1;
    if not found and not exists (
      select from auth.users as u
      where u.id = p_user_id and chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
    ) then
      raise sqlstate 'PT404' using message = 'user_not_found';
    end if;
  end if;

  if v_erasure.id is null then
    insert into public.erasures as e (id, org_id, user_id, requested_by, reason, lease_until)
    values (chatkit_private.new_id(), p_org_id, p_user_id, p_requested_by, p_reason, v_lease_until)
    returning * into v_erasure;
  end if;
  return chatkit_private.erasure_response(v_erasure);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_erasure', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.begin_erasure is 
  'Begins to erase a person, or takes up where it stopped: as often as one likes, and nobody has to '
  'know how far it got. Of whom nothing is left since the last time, that last time is answered. A '
  'person of whom nothing is known at all is more likely a wrong id than somebody to be erased.';

create or replace function public.claim_erasures(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_erasures jsonb;
begin
  with due as (
    select e.id, e.lease_until
    from public.erasures as e
    where e.finished_at is null and e.lease_until <= v_now
    order by e.lease_until
    -- One of a person at a time, and 2,200 characters of the operator's words in each: far below 4 MiB.
    limit least(greatest(coalesce(p_limit, 1), 1), 100)
    for update skip locked
  ), leased as (
    update public.erasures as e
    set lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 300))
    from due
    where e.id = due.id
    returning e as erasure, due.lease_until as waited_since
  )
  select jsonb_agg(chatkit_private.erasure_response(l.erasure) order by l.waited_since, (l.erasure).id) into v_erasures from leased as l;
  return jsonb_build_object('erasures', coalesce(v_erasures, '[]'));
end
$$;

comment on function public.claim_erasures is 
  'Erasures that were begun and are not finished, the longest waiting first, leased to the caller; '
  'these again should the caller die.';

-- Until when a session has to wait before it can be erased, null if it need not: a call under way comes to its end, a request to
-- OpenAI is told what became of it, and no ChatKit session may live that no row knows of.
create or replace function chatkit_private.erasable_after(p_session_id uuid) returns timestamptz
language sql stable
set search_path = ''
as $$
  select max(w.until)
  from (
    select d.lease_until from public.deliveries as d where d.session_id = p_session_id and d.status = 'running'
    union all
    -- Who asked has died, if nothing is known of it after a minute (see fail_abandoned_requests).
    select c.requested_at + interval '1 minute'
    from public.chatkit_sessions as c
    where c.session_id = p_session_id and c.recorded_at is null and c.failed_at is null
    union all
    -- Until it is cancelled, or over by itself. OpenAI's clock is not ours: a minute of grace.
    select c.expires_at + interval '1 minute'
    from public.chatkit_sessions as c
    where c.session_id = p_session_id and c.recorded_at is not null and c.cancelled_at is null
  ) as w (until)
  where w.until > clock_timestamp()
$$;

-- Erases up to p_limit rows of a session that has ended and that the caller has locked. What comes late finds no session then,
-- and every table that hangs off one refuses what has none; a table that is forgotten here keeps the session from going, and
-- the erasure from being finished. Answers {erased, rows, wait_seconds, counts}.
create or replace function chatkit_private.erase_session(p_session public.chat_sessions, p_limit integer) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_erasable_at timestamptz := chatkit_private.erasable_after(p_session.id);
  v_limit integer := greatest(coalesce(p_limit, 1), 1);
  v_left integer := v_limit;
  v_counts jsonb := '{}';
  v_table text;
  v_gone integer;
begin
  if p_session.status <> 'ended' then
    raise sqlstate 'PT409' using message = 'session_active';
  end if;
  if v_erasable_at is not null then
    return jsonb_build_object(
      'erased', false, 'rows', 0, 'counts', '{}'::jsonb,
      -- A day at most: what an upstream says of its times is not ours to add up.
      'wait_seconds', least(86400, greatest(1, ceil(extract(epoch from v_erasable_at - clock_timestamp()))))
    );
  end if;

  -- In the order of the foreign keys between them.
  foreach v_table in array array[
    'chat_escalations', 'deliveries', 'delivery_queues', 'chat_events', 'chat_messages', 'chat_tasks', 'chatkit_threads',
    'chatkit_sessions', 'idle_checks', 'transcripts_due', 'retention_leases', 'auto_call_amounts'
  ] loop
    exit when v_left = 0;
    execute format(
      'delete from public.%1$I as t where t.ctid = any (array('
      '  select o.ctid from public.%1$I as o where o.session_id = $1 limit $2))', v_table
    ) using p_session.id, v_left;
    get diagnostics v_gone = row_count;
    v_left := v_left - v_gone;
    v_counts := v_counts || jsonb_build_object(v_table, v_gone);
  end loop;
  if v_left = 0 then
    return jsonb_build_object('erased', false, 'rows', v_limit, 'counts', v_counts, 'wait_seconds', 0);
  end if;

  -- Keys are locked before their sessions everywhere else, so one that somebody works with is not waited for.
  delete from public.idempotency_keys as k
  using (
    select o.org_id, o.user_id, o.endpoint, o.key
    from public.idempotency_keys as o
    where o.org_id = p_session.org_id and o.user_id = p_session.user_id and o.session_id = p_session.id
    for update skip locked
  ) as u
  where (k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key);
  if exists (
    select from public.idempotency_keys as k
    where k.org_id = p_session.org_id and k.user_id = p_session.user_id and k.session_id = p_session.id
  ) then
    return jsonb_build_object('erased', false, 'rows', v_limit - v_left, 'counts', v_counts, 'wait_seconds', 1);
  end if;

  delete from public.throttles as t
  where t.org_id = p_session.org_id and t.scope = 'session' and t.subject = p_session.id;
  delete from public.chat_sessions as s where s.id = p_session.id;
  return jsonb_build_object(
    'erased', true, 'rows', v_limit - v_left + 1, 'wait_seconds', 0,
    'counts', v_counts || jsonb_build_object('chat_sessions', 1)
  );
end
$$;

-- Numbers under names, added up.
create or replace function chatkit_private.add_counts(p_one jsonb, p_other jsonb) returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(c.key, c.total), '{}')
  from (
    select n.key, sum(n.value::bigint) as total
    from (select * from jsonb_each_text(p_one) union all select * from jsonb_each_text(p_other)) as n
    group by n.key
  ) as c
$$;

create or replace function public.end_erased_sessions(
  p_org_id uuid,
  p_user_id uuid,
  p_limit integer,
  p_refused_ids text[] default '{}'
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_session_id uuid;
  v_ended integer := 0;
  v_sessions jsonb;
begin
  -- Planned for the moment at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  if not exists (
    select from public.erasures as e
    where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  ) then
    return jsonb_build_object('ended', 0, 'active', false, 'sessions', '[]'::jsonb);
  end if;

  -- In the order of their ids, like all that works on several sessions at once.
  for v_session_id in
    select s.id
    from public.chat_sessions as s
    where s.org_id = p_org_id and s.user_id = p_user_id and s.status = 'active'
    order by s.id
    limit least(greatest(coalesce(p_limit, 1), 1), 500)
  loop
    -- Looked at again, now that nobody else can end it.
    perform from public.chat_sessions as s where s.id = v_session_id and s.status = 'active' for update;
    if found then
      perform chatkit_private.end_session(v_session_id, 'cancelled', 'system', null);
      v_ended := v_ended + 1;
    end if;
  end loop;

  select jsonb_agg(
    jsonb_build_object('session_id', l.session_id, 'chatkit_session_ids', l.ids) order by l.session_id
  )
  into v_sessions
  from (
    select a.session_id, jsonb_agg(a.chatkit_session_id order by a.requested_at, a.id) as ids
    from (
      select c.session_id, c.chatkit_session_id, c.requested_at, c.id
      from public.chatkit_sessions as c
      where c.org_id = p_org_id and c.user_id = p_user_id
        and c.recorded_at is not null and c.sealed_secret is null and c.cancelled_at is null
        and c.expires_at > v_now - interval '1 minute'
        and c.chatkit_session_id <> all (p_refused_ids)
      order by c.session_id, c.requested_at, c.id
      limit 200
    ) as a
    group by a.session_id
  ) as l;
  return jsonb_build_object(
    'ended', v_ended,
    'active', exists (
      select from public.chat_sessions as s
      where s.org_id = p_org_id and s.user_id = p_user_id and s.status = 'active'
    ),
    'sessions', coalesce(v_sessions, '[]')
  );
end
$$;

comment on function public.end_erased_sessions is 
  'Ends the person''s sessions, up to p_limit of them, and says which of their ChatKit sessions '
  'remain to be cancelled, up to 200 of them. `active`: more of them to end. p_refused_ids: ChatKit '
  'sessions that OpenAI does not cancel; they are over within ten minutes, and are not said again.';

create or replace function public.record_deleted_threads(p_org_id uuid, p_user_id uuid, p_thread_ids text[]) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_threads integer;
begin
  update public.erasures as e
  set thread_ids = array(
    select t.id from unnest(e.thread_ids || p_thread_ids) as t (id) where t.id is not null group by t.id order by t.id
  )
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  returning cardinality(e.thread_ids) into v_threads;
  return jsonb_build_object('threads', coalesce(v_threads, 0));
end
$$;

comment on function public.record_deleted_threads is 
  'Writes down which threads are about to be deleted at ChatKit: counted once, however often they '
  'are found.';

create or replace function public.erase_batch(p_org_id uuid, p_user_id uuid, p_limit integer default 1000) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_erasure public.erasures;
  v_left integer := greatest(coalesce(p_limit, 1), 1);
  v_session_id uuid;
  v_session public.chat_sessions;
  v_step jsonb;
  v_rows integer := 0;
  v_wait integer;
  v_counts jsonb := '{}';
begin
  -- One batch after the other, so that each is counted.
  select * into v_erasure
  from public.erasures as e
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  for update;
  if not found then
    return jsonb_build_object('left', false, 'rows', 0, 'wait_seconds', 0);
  end if;

  for v_session_id in
    select s.id
    from public.chat_sessions as s
    where s.org_id = p_org_id and s.user_id = p_user_id and s.status = 'ended'
    order by s.id
    limit 200
  loop
    exit when v_left <= 0;
    select * into v_session from public.chat_sessions as s where s.id = v_session_id for update;
    continue when not found;
    v_step := chatkit_private.erase_session(v_session, v_left);
    v_rows := v_rows + (v_step ->> 'rows')::integer;
    v_left := v_left - (v_step ->> 'rows')::integer;
    v_counts := chatkit_private.add_counts(v_counts, v_step -> 'counts');
    v_wait := least(v_wait, nullif((v_step ->> 'wait_seconds')::integer, 0));
  end loop;

  update public.erasures as e
  set counts = chatkit_private.add_counts(e.counts, v_counts)
  where e.id = v_erasure.id and v_counts <> '{}';
  return jsonb_build_object(
    'left', exists (select from public.chat_sessions as s where s.org_id = p_org_id and s.user_id = p_user_id),
    'rows', v_rows,
    'wait_seconds', coalesce(v_wait, 0)
  );
end
$$;

comment on function public.erase_batch is 
  'Erases rows, about p_limit of them. `left`: whether there are more; `wait_seconds`: after how '
  'long the first of those can be erased that cannot be yet.';

create or replace function public.finish_erasure(
  p_org_id uuid,
  p_user_id uuid,
  p_refused_thread_ids text[] default '{}'
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_erasure public.erasures;
  v_refused integer := cardinality(p_refused_thread_ids);
begin
  -- Nobody is just beginning something, not even something that will be refused.
  perform pg_advisory_xact_lock(chatkit_private.erasure_lock_key(p_org_id, p_user_id));
  select * into v_erasure
  from public.erasures as e
  where e.org_id = p_org_id and e.user_id = p_user_id
  order by e.finished_at desc nulls first
  limit 1
  for update;
  if not found then
    raise sqlstate 'PT404' using message = 'erasure_not_found';
  end if;
  if v_erasure.finished_at is not null then
    return chatkit_private.erasure_response(v_erasure);
  end if;
  if exists (select from public.chat_sessions as s where s.org_id = p_org_id and s.user_id = p_user_id) then
    raise sqlstate 'PT409' using message = 'erasure_unfinished';
  end if;

  delete from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id;
  delete from public.throttles as t where t.org_id = p_org_id and t.scope = 'user' and t.subject = p_user_id;
  delete from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id;
  update public.erasures as e
  set finished_at = clock_timestamp(),
      counts = chatkit_private.add_counts(
        e.counts,
        jsonb_build_object('threads', greatest(0, cardinality(e.thread_ids) - v_refused))
          || case when v_refused > 0 then jsonb_build_object('undeleted_threads', v_refused) else '{}' end
      ),
      thread_ids = '{}'
  where e.id = v_erasure.id
  returning * into v_erasure;
  return chatkit_private.erasure_response(v_erasure);
end
$$;

comment on function public.finish_erasure is 
  'Finishes an erasure: what does not hang off a session goes, and with it the name under which '
  'ChatKit knew the person. Repeated, it answers the one that was finished. p_refused_thread_ids: '
  'threads that OpenAI lists and does not delete. They are counted apart, for the operator to have '
  'them deleted by OpenAI''s support.';
