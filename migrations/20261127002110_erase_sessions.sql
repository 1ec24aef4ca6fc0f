-- Erasing a session, for the erasure of its user and for the retention period.

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
    'chat_tasks', 'chatkit_threads',
    'chatkit_sessions', 'idle_checks', 'transcripts_due', 'retention_leases', 'auto_call_amounts'
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
