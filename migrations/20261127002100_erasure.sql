-- Erasure of a user: all data of a user in an organisation, and the user's threads at OpenAI.

create table if not exists public.erasures (
  id uuid primary key,
  org_id uuid not null,
  -- The user whose data is erased. Without an account, the id cannot be linked to a person.
  user_id uuid not null,
  -- Who requested the erasure and why, as entered by the operator.
  requested_by text not null,
  reason text not null,
  started_at timestamptz not null default clock_timestamp(),
  -- While this time is in the future, a run is working on the erasure. After it, another run may
  -- resume.
  lease_until timestamptz not null,
  -- The ChatKit threads that were found, recorded before they are deleted at OpenAI. After the
  -- erasure only their number remains.
  thread_ids text[] not null default '{}',
  -- Numbers of erased rows and threads, by kind.
  counts jsonb not null default '{}',
  finished_at timestamptz,
  constraint erasures_requested_by_length check (char_length(requested_by) between 1 and 200),
  constraint erasures_reason_length check (char_length(reason) between 1 and 2000),
  constraint erasures_counts_object check (jsonb_typeof(counts) = 'object'),
  constraint erasures_thread_ids_while_running check (finished_at is null or thread_ids = '{}')
);

comment on table public.erasures is
  'Erasures of users'' data, running and finished. A row is never deleted, and does not change '
  'after the erasure has finished: it is the record that the erasure was done.';

-- One running erasure for a user. reject_during_erasure looks it up.
create unique index if not exists erasures_running
  on public.erasures (org_id, user_id) where finished_at is null;

-- Earlier erasures of a user.
create index if not exists erasures_by_user on public.erasures (org_id, user_id, started_at desc);

-- Running erasures whose lease has expired.
create index if not exists erasures_due on public.erasures (lease_until) where finished_at is null;

alter table public.erasures enable row level security;
revoke all on table public.erasures from public, anon, authenticated, service_role;

-- Rejects deletions, changes to the request, and changes to a finished erasure.
create or replace function chatkit_private.prevent_erasure_rewrite() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' or old.finished_at is not null
     or (new.id, new.org_id, new.user_id, new.requested_by, new.reason, new.started_at)
        is distinct from
        (old.id, old.org_id, old.user_id, old.requested_by, old.reason, old.started_at) then
    raise check_violation using message = 'an erasure stays on record as it was ordered and done';
  end if;
  return new;
end
$$;

create or replace trigger prevent_erasure_rewrite
  before update or delete on public.erasures
  for each row execute function chatkit_private.prevent_erasure_rewrite();

-- Returns the key of the advisory lock of a user. A transaction that begins something for the user
-- holds it shared; one that begins or finishes the user's erasure holds it exclusively. It is the
-- first lock that a transaction takes (see "Lock order" in schema.sql), so a transaction that
-- waits for it holds no other.
create or replace function chatkit_private.erasure_lock_key(p_org_id uuid, p_user_id uuid)
returns bigint
language sql immutable parallel safe
set search_path = ''
as $$
  select hashtextextended(p_org_id::text || p_user_id::text, 151000)
$$;

-- Rejects new data of a user whose erasure is running. The lock decides which comes first: an
-- erasure finds the data that was inserted before it, and an insert after that finds the erasure.
-- All other data of a user belongs to a session and is erased with it. New idempotency keys are
-- accepted; finish_erasure waits for a key that is being claimed and deletes those that are left,
-- because not every key has a session.
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

-- Returns an erasure as the RPCs return it. `chatkit_user` is the user's name at ChatKit, null if
-- there never was one or the erasure has finished. `at_chatkit` reports whether OpenAI may have
-- data of the user.
create or replace function chatkit_private.erasure_response(p_erasure public.erasures) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('erasure', to_jsonb(p_erasure) - '{lease_until,thread_ids}'::text[])
    || jsonb_build_object(
      'chatkit_user', (
        select u.chatkit_user
        from public.chatkit_users as u
        where u.org_id = p_erasure.org_id
          and u.user_id = p_erasure.user_id
          and p_erasure.finished_at is null
      ),
      'at_chatkit', p_erasure.finished_at is null and (
        p_erasure.thread_ids <> '{}'
        or exists (
          select from public.chat_sessions as s
          join public.chatkit_sessions as c on c.session_id = s.id
          where s.org_id = p_erasure.org_id
            and s.user_id = p_erasure.user_id
            and c.provider = 'openai_hosted'
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
  v_lease_until timestamptz :=
    clock_timestamp() + make_interval(secs => coalesce(p_lease_seconds, 300));
  v_erasure public.erasures;
  v_constraint text;
  v_column text;
begin
  -- Waits for transactions that have begun something for the user. Later ones find the row that is
  -- written below.
  perform pg_advisory_xact_lock(chatkit_private.erasure_lock_key(p_org_id, p_user_id));
  update public.erasures as e
  set lease_until = v_lease_until
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  returning * into v_erasure;

  if not found
     and not exists (
       select from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id
     )
     and not exists (
       select from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id
     ) then
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
    raise sqlstate 'PT422' using message = 'invalid_erasure',
      detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.begin_erasure is
  'Begins to erase a user''s data, or resumes the running erasure; it may be called any number '
  'of times. If nothing was stored since an earlier erasure, returns that one. Fails with '
  'user_not_found if there is no data, no earlier erasure and no account in the organisation, '
  'because the id is then probably wrong.';

create or replace function public.claim_erasures(
  p_limit integer,
  p_lease_seconds integer
) returns jsonb
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
    -- A user has one running erasure, with at most 2,200 characters of the operator's text, so the
    -- response stays far below 4 MiB.
    limit least(greatest(coalesce(p_limit, 1), 1), 100)
    for update skip locked
  ), leased as (
    update public.erasures as e
    set lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 300))
    from due
    where e.id = due.id
    returning e as erasure, due.lease_until as waited_since
  )
  select jsonb_agg(
    chatkit_private.erasure_response(l.erasure) order by l.waited_since, (l.erasure).id
  )
  into v_erasures
  from leased as l;
  return jsonb_build_object('erasures', coalesce(v_erasures, '[]'));
end
$$;

comment on function public.claim_erasures is
  'Returns running erasures whose lease has expired, those that have waited longest first, and '
  'leases them to the caller. An erasure that is not finished is returned again after its lease.';

-- Returns the time until which a session cannot be erased, or null if it can be erased now. It
-- waits for a running call, for a request to OpenAI whose outcome is not recorded, and for ChatKit
-- sessions that may still be live, because a row must name each of them until it is over.
create or replace function chatkit_private.erasable_after(p_session_id uuid) returns timestamptz
language sql stable
set search_path = ''
as $$
  select max(w.until)
  from (
    select d.lease_until
    from public.deliveries as d
    where d.session_id = p_session_id and d.status = 'running'
    union all
    -- After a minute without an outcome the function that made the request has stopped (see
    -- fail_abandoned_requests).
    select c.requested_at + interval '1 minute'
    from public.chatkit_sessions as c
    where c.session_id = p_session_id and c.recorded_at is null and c.failed_at is null
    union all
    -- Until it is cancelled or has expired. OpenAI's clock may differ, so one minute is added.
    select c.expires_at + interval '1 minute'
    from public.chatkit_sessions as c
    where c.session_id = p_session_id and c.recorded_at is not null and c.cancelled_at is null
  ) as w (until)
  where w.until > clock_timestamp()
$$;

-- Erases up to p_limit rows of a session, and returns {erased, rows, wait_seconds, counts}. The
-- session has ended, and the caller has locked it. A late write finds no session, and every table
-- that refers to sessions rejects rows without one. If the list below lacks a table, the table's
-- foreign key blocks the deletion of the session, and the erasure cannot finish.
create or replace function chatkit_private.erase_session(
  p_session public.chat_sessions,
  p_limit integer
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_erasable_at timestamptz := chatkit_private.erasable_after(p_session.id);
  v_limit integer := greatest(coalesce(p_limit, 1), 1);
  v_left integer := v_limit;
  v_counts jsonb := '{}';
  v_table text;
  v_table_gone integer;
  v_gone integer;
  v_missed boolean;
begin
  if p_session.status <> 'ended' then
    raise sqlstate 'PT409' using message = 'session_active';
  end if;
  if v_erasable_at is not null then
    return jsonb_build_object(
      'erased', false, 'rows', 0, 'counts', '{}'::jsonb,
      -- At most a day, because OpenAI sets expires_at and may send any time.
      'wait_seconds',
      least(86400, greatest(1, ceil(extract(epoch from v_erasable_at - clock_timestamp()))))
    );
  end if;

  -- In an order that satisfies the foreign keys between the tables.
  foreach v_table in array array[
    'chat_escalations', 'deliveries', 'delivery_queues', 'chat_events', 'chat_messages',
    'chat_tasks', 'chatkit_threads', 'chatkit_sessions', 'session_model_settings', 'idle_checks',
    'transcripts_due', 'retention_leases', 'auto_call_amounts'
  ] loop
    exit when v_left = 0;
    v_table_gone := 0;
    loop
      execute format(
        'delete from public.%1$I as t where t.ctid = any (array('
        '  select o.ctid from public.%1$I as o where o.session_id = $1 limit $2))', v_table
      ) using p_session.id, v_left;
      get diagnostics v_gone = row_count;
      v_table_gone := v_table_gone + v_gone;
      v_left := v_left - v_gone;
      exit when v_left = 0;
      -- A claim may update a row without the session's lock. The delete above waits for that update
      -- and then misses the row, which has moved.
      execute format(
        'select exists (select from public.%I as o where o.session_id = $1)', v_table
      ) into v_missed using p_session.id;
      exit when not v_missed;
    end loop;
    v_counts := v_counts || jsonb_build_object(v_table, v_table_gone);
  end loop;
  if v_left = 0 then
    return jsonb_build_object(
      'erased', false, 'rows', v_limit, 'counts', v_counts, 'wait_seconds', 0
    );
  end if;

  -- Everywhere else a key is locked before its session. Waiting for a locked key here could
  -- deadlock, so it is skipped and erased by a later call.
  delete from public.idempotency_keys as k
  using (
    select o.org_id, o.user_id, o.endpoint, o.key
    from public.idempotency_keys as o
    where
      o.org_id = p_session.org_id and o.user_id = p_session.user_id and o.session_id = p_session.id
    for update skip locked
  ) as u
  where (k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key);
  if exists (
    select from public.idempotency_keys as k
    where k.org_id = p_session.org_id
      and k.user_id = p_session.user_id
      and k.session_id = p_session.id
  ) then
    return jsonb_build_object(
      'erased', false, 'rows', v_limit - v_left, 'counts', v_counts, 'wait_seconds', 1
    );
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

-- Returns two objects of numbers, added by key.
create or replace function chatkit_private.add_counts(p_one jsonb, p_other jsonb) returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(c.key, c.total), '{}')
  from (
    select n.key, sum(n.value::bigint) as total
    from (
      select * from jsonb_each_text(p_one) union all select * from jsonb_each_text(p_other)
    ) as n
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
  -- A generic plan may scan the whole table; the plan for the actual time does not.
  set local plan_cache_mode = force_custom_plan;

  if not exists (
    select from public.erasures as e
    where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  ) then
    return jsonb_build_object('ended', 0, 'active', false, 'sessions', '[]'::jsonb);
  end if;

  -- In the order of the ids, as in every transaction that works on several sessions.
  for v_session_id in
    select s.id
    from public.chat_sessions as s
    where s.org_id = p_org_id and s.user_id = p_user_id and s.status = 'active'
    order by s.id
    limit least(greatest(coalesce(p_limit, 1), 1), 500)
  loop
    -- Another transaction may have ended it before it was locked.
    perform from public.chat_sessions as s
    where s.id = v_session_id and s.status = 'active'
    for update;
    if found then
      perform chatkit_private.end_session(v_session_id, 'cancelled', 'system', null);
      v_ended := v_ended + 1;
    end if;
  end loop;

  select jsonb_agg(
    jsonb_build_object('session_id', l.session_id, 'chatkit_session_ids', l.ids)
    order by l.session_id
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
  'Ends up to p_limit active sessions of a user whose erasure is running, and returns up to 200 '
  'ChatKit sessions of the user that must be cancelled at OpenAI. `active` reports whether more '
  'sessions have to be ended. p_refused_ids are ChatKit sessions that OpenAI did not cancel; '
  'they are left out, and expire within ten minutes.';

create or replace function public.record_deleted_threads(
  p_org_id uuid,
  p_user_id uuid,
  p_thread_ids text[]
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_threads integer;
begin
  update public.erasures as e
  set thread_ids = array(
    select t.id
    from unnest(e.thread_ids || p_thread_ids) as t (id)
    where t.id is not null
    group by t.id
    order by t.id
  )
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  returning cardinality(e.thread_ids) into v_threads;
  return jsonb_build_object('threads', coalesce(v_threads, 0));
end
$$;

comment on function public.record_deleted_threads is
  'Records the ChatKit threads that are about to be deleted at OpenAI, and returns how many the '
  'running erasure has found. A thread is counted once, however often it is found.';

create or replace function public.erase_batch(
  p_org_id uuid,
  p_user_id uuid,
  p_limit integer default 1000
) returns jsonb
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
  -- Batches of one erasure run one after the other, so that each is counted.
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
    'left', exists (
      select from public.chat_sessions as s where s.org_id = p_org_id and s.user_id = p_user_id
    ),
    'rows', v_rows,
    'wait_seconds', coalesce(v_wait, 0)
  );
end
$$;

comment on function public.erase_batch is
  'Erases about p_limit rows of a user''s ended sessions, if the user''s erasure is running, and '
  'returns {left, rows, wait_seconds}. `left` reports whether sessions remain. `wait_seconds` is '
  'the time until the first session that cannot be erased yet can be, 0 if there is none.';

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
  -- Waits for transactions that have begun something for the user, even if it will be rejected.
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
  if exists (
    select from public.chat_sessions as s where s.org_id = p_org_id and s.user_id = p_user_id
  ) then
    raise sqlstate 'PT409' using message = 'erasure_unfinished';
  end if;

  delete from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id;
  delete from public.throttles as t
  where t.org_id = p_org_id and t.scope = 'user' and t.subject = p_user_id;
  delete from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id;
  update public.erasures as e
  set finished_at = clock_timestamp(),
      counts = chatkit_private.add_counts(
        e.counts,
        jsonb_build_object('threads', greatest(0, cardinality(e.thread_ids) - v_refused))
          || case
            when v_refused > 0 then jsonb_build_object('undeleted_threads', v_refused)
            else '{}'
          end
      ),
      thread_ids = '{}'
  where e.id = v_erasure.id
  returning * into v_erasure;
  return chatkit_private.erasure_response(v_erasure);
end
$$;

comment on function public.finish_erasure is
  'Finishes an erasure after all sessions are erased: deletes the user''s data that does not '
  'belong to a session, including the name at ChatKit, and returns the erasure. If it has '
  'finished already, returns it unchanged. p_refused_thread_ids are threads that OpenAI lists '
  'but does not delete; they are counted separately, and the operator must ask OpenAI''s support '
  'to delete them. Fails with erasure_not_found or, while sessions are left, with '
  'erasure_unfinished.';
