-- Running an erasure: ends the sessions of the user, erases them in batches and finishes.

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
    v_step := chatkit_private.erase_session(v_session, v_left, false);
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
