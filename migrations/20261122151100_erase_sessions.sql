-- Erasing a session: its row and all that hangs off it, for a person's erasure and for retention alike. In bounded transactions,
-- however much was said in it; the session's own row goes last, so whoever dies in between leaves something to go on from.

-- Until when a session has to wait before it can be erased, null if it need not: a call under way comes to its end, a request to
-- OpenAI is told what became of it, and no ChatKit session may live that no row knows of.
create or replace function private.erasable_at(p_session_id uuid) returns timestamptz
language sql stable
set search_path = ''
as $$
  select max(w.until)
  from (
    select d.lease_until from public.deliveries as d where d.session_id = p_session_id and d.status = 'running'
    union all
    -- Who asked has died, if nothing is known of it after a minute (see settle_abandoned).
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
create or replace function private.erase_session(p_session public.chat_sessions, p_limit integer) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_erasable_at timestamptz := private.erasable_at(p_session.id);
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
create or replace function private.sum_of_counts(p_one jsonb, p_other jsonb) returns jsonb
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

revoke all on function private.erasable_at(uuid) from public, anon, authenticated, service_role;
revoke all on function private.erase_session(public.chat_sessions, integer)
  from public, anon, authenticated, service_role;
revoke all on function private.sum_of_counts(jsonb, jsonb) from public, anon, authenticated, service_role;
