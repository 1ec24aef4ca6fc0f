-- Erasing a session, for the erasure of its user and for the retention period.

-- Returns the time until which a session cannot be erased, or null if it can be erased now. It
-- waits for a running call or answer, for a request to OpenAI whose outcome is not recorded, and
-- for ChatKit sessions that may still be live, because a row must name each of them until it is
-- over.
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
    select r.lease_until
    from public.chat_runs as r
    where r.session_id = p_session_id and r.status = 'running'
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

-- Gives a session's items of shared threads to other sessions, for retention: up to p_limit rows,
-- and returns {rows, locked}. An item keeps its place in the thread and has none in the other
-- transcript; hidden items, which only this transcript shows, stay. A thread that no other session
-- uses is closed, so that no request continues it while it is erased.
--
-- The caller has locked the session. A thread is locked next, so that no request begins to use it
-- meanwhile. The other session is locked out of order, so it is skipped if another transaction has
-- locked it; `locked` reports whether that happened.
create or replace function chatkit_private.release_threads(p_session_id uuid, p_limit integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_left integer := p_limit;
  v_locked boolean := false;
  v_thread_id text;
  v_heir_id uuid;
  v_count integer;
begin
  perform chatkit_private.settle_run(r.id)
  from public.chat_runs as r
  where r.session_id = p_session_id and r.status = 'running';

  for v_thread_id in
    select l.thread_id
    from public.chat_thread_sessions as l
    where l.session_id = p_session_id and l.released_at is null
    order by l.thread_id
    limit p_limit
  loop
    exit when v_left <= 0;
    perform from public.chat_threads as t where t.id = v_thread_id for update;
    if exists (
      select from public.chat_thread_sessions as k
      where k.thread_id = v_thread_id and k.session_id <> p_session_id and k.released_at is null
    ) then
      select s.id into v_heir_id
      from public.chat_thread_sessions as k
      join public.chat_sessions as s on s.id = k.session_id
      where k.thread_id = v_thread_id and k.session_id <> p_session_id and k.released_at is null
      order by s.id desc
      limit 1
      for key share of s skip locked;
      if not found then
        v_locked := true;
        continue;
      end if;
      update public.chat_messages as m
      set session_id = v_heir_id, seq = null
      from (
        select o.thread_seq
        from public.chat_messages as o
        where o.thread_id = v_thread_id and o.session_id = p_session_id and o.hidden_at is null
        limit v_left
      ) as o
      where m.thread_id = v_thread_id and m.thread_seq = o.thread_seq;
      get diagnostics v_count = row_count;
      v_left := v_left - v_count;
    else
      update public.chat_threads as t
      set hidden_at = coalesce(t.hidden_at, clock_timestamp())
      where t.id = v_thread_id;
    end if;
    exit when v_left <= 0;
    update public.chat_thread_sessions as l
    set released_at = clock_timestamp()
    where l.session_id = p_session_id and l.thread_id = v_thread_id;
    v_left := v_left - 1;
  end loop;
  return jsonb_build_object('rows', p_limit - v_left, 'locked', v_locked);
end
$$;

-- Deletes up to p_limit hidden items of the threads that no other session uses, and returns their
-- number.
create or replace function chatkit_private.erase_hidden_items(p_session_id uuid, p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_erased integer;
begin
  delete from public.chat_hidden_items as h
  using (
    select o.thread_id, o.thread_seq
    from public.chat_thread_sessions as l
    join public.chat_hidden_items as o on o.thread_id = l.thread_id
    where l.session_id = p_session_id
      and not exists (
        select from public.chat_thread_sessions as k
        where k.thread_id = l.thread_id
          and k.session_id <> p_session_id
          and k.released_at is null
      )
    limit p_limit
  ) as u
  where h.thread_id = u.thread_id and h.thread_seq = u.thread_seq;
  get diagnostics v_erased = row_count;
  return v_erased;
end
$$;

-- Deletes up to p_limit links of a session to threads, after its items are erased, and the threads
-- that no other session uses. Returns {links, threads, locked}. A thread is locked first: two
-- sessions that give up a thread at the same moment would each leave it to the other one. It is
-- locked out of order, so one that another transaction has locked is skipped; `locked` reports
-- whether links are left.
create or replace function chatkit_private.erase_threads(p_session_id uuid, p_limit integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_thread_ids text[];
  v_links integer;
  v_threads integer;
begin
  v_thread_ids := array(
    select t.id
    from public.chat_threads as t
    where t.id in (
      select l.thread_id from public.chat_thread_sessions as l where l.session_id = p_session_id
    )
    limit p_limit
    for update skip locked
  );
  delete from public.chat_thread_sessions as l
  where l.session_id = p_session_id and l.thread_id = any (v_thread_ids);
  get diagnostics v_links = row_count;
  delete from public.chat_threads as t
  where t.id = any (v_thread_ids)
    and not exists (select from public.chat_thread_sessions as k where k.thread_id = t.id);
  get diagnostics v_threads = row_count;
  return jsonb_build_object(
    'links', v_links,
    'threads', v_threads,
    'locked', exists (
      select from public.chat_thread_sessions as l where l.session_id = p_session_id
    )
  );
end
$$;

-- Deletes up to p_limit rows of a session, in the tables that name it, and returns {rows, counts}:
-- `counts` is by table. If the list below lacks a table, the table's foreign key blocks the deletion
-- of the session, and the erasure cannot finish.
create or replace function chatkit_private.erase_rows_of_session(
  p_session_id uuid,
  p_limit integer
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_left integer := p_limit;
  v_counts jsonb := '{}';
  v_table text;
  v_table_gone integer;
  v_gone integer;
  v_missed boolean;
begin
  -- In an order that satisfies the foreign keys between the tables.
  foreach v_table in array array[
    'chat_escalations', 'deliveries', 'delivery_queues', 'chat_events', 'chat_run_chunks',
    'chat_runs', 'chat_messages', 'chat_tasks', 'chatkit_threads', 'chatkit_sessions',
    'session_model_settings', 'idle_checks', 'transcripts_due', 'retention_leases',
    'auto_call_amounts'
  ] loop
    exit when v_left = 0;
    v_table_gone := 0;
    loop
      execute format(
        'delete from public.%1$I as t where t.ctid = any (array('
        '  select o.ctid from public.%1$I as o where o.session_id = $1 limit $2))', v_table
      ) using p_session_id, v_left;
      get diagnostics v_gone = row_count;
      v_table_gone := v_table_gone + v_gone;
      v_left := v_left - v_gone;
      exit when v_left = 0;
      -- A claim may update a row without the session's lock. The delete above waits for that update
      -- and then misses the row, which has moved.
      execute format(
        'select exists (select from public.%I as o where o.session_id = $1)', v_table
      ) into v_missed using p_session_id;
      exit when not v_missed;
    end loop;
    v_counts := v_counts || jsonb_build_object(v_table, v_table_gone);
  end loop;
  return jsonb_build_object('rows', p_limit - v_left, 'counts', v_counts);
end
$$;

-- Erases up to p_limit rows of a session, and returns {erased, rows, wait_seconds, counts}. With
-- p_keep_shared_threads, items of threads that other sessions use are kept. The session has ended,
-- and the caller has locked it. A late write finds no session, and every table that refers to
-- sessions rejects rows without one.
create or replace function chatkit_private.erase_session(
  p_session public.chat_sessions,
  p_limit integer,
  p_keep_shared_threads boolean
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_erasable_at timestamptz := chatkit_private.erasable_after(p_session.id);
  v_limit integer := greatest(coalesce(p_limit, 1), 1);
  v_left integer := v_limit;
  v_counts jsonb := '{}';
  v_gone integer;
  v_released jsonb;
  v_erased jsonb;
  v_threads jsonb;
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

  if p_keep_shared_threads then
    v_released := chatkit_private.release_threads(p_session.id, v_left);
    v_left := v_left - (v_released ->> 'rows')::integer;
    if v_left = 0 or (v_released ->> 'locked')::boolean then
      return jsonb_build_object(
        'erased', false, 'rows', v_limit - v_left, 'counts', v_counts,
        'wait_seconds', case when v_left = 0 then 0 else 1 end
      );
    end if;
  end if;
  v_gone := chatkit_private.erase_hidden_items(p_session.id, v_left);
  v_left := v_left - v_gone;
  v_counts := jsonb_build_object('chat_hidden_items', v_gone);

  v_erased := chatkit_private.erase_rows_of_session(p_session.id, v_left);
  v_left := v_left - (v_erased ->> 'rows')::integer;
  v_counts := v_counts || (v_erased -> 'counts');
  if v_left > 0 then
    v_threads := chatkit_private.erase_threads(p_session.id, v_left);
    v_left := v_left - (v_threads ->> 'links')::integer;
    v_counts := v_counts || jsonb_build_object('threads', v_threads -> 'threads');
  end if;
  if v_left = 0 or (v_threads ->> 'locked')::boolean then
    return jsonb_build_object(
      'erased', false, 'rows', v_limit - v_left, 'counts', v_counts,
      'wait_seconds', case when v_left = 0 then 0 else 1 end
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
