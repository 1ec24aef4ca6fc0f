-- The steps of an erasure, in this order: end the person's sessions, delete their threads at ChatKit, erase the rows, finish. Each
-- may be repeated, and taken by two at once; on a person who is not being erased, none of them does anything.

-- Ends the person's sessions, up to p_limit of them, and says which of their ChatKit sessions remain to be cancelled, up to 200 of
-- them. `active`: more of them to end. p_refused_ids: ChatKit sessions that OpenAI does not cancel; they are over within ten
-- minutes, and are not said again.
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
      perform private.end_session(v_session_id, 'cancelled', 'system', null);
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

-- Writes down which threads are about to be deleted at ChatKit: counted once, however often they are found.
create or replace function public.note_erased_threads(p_org_id uuid, p_user_id uuid, p_thread_ids text[]) returns jsonb
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

-- Erases rows, about p_limit of them. `left`: whether there are more; `wait_seconds`: after how long the first of those can be
-- erased that cannot be yet.
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
    v_step := private.erase_session(v_session, v_left);
    v_rows := v_rows + (v_step ->> 'rows')::integer;
    v_left := v_left - (v_step ->> 'rows')::integer;
    v_counts := private.sum_of_counts(v_counts, v_step -> 'counts');
    v_wait := least(v_wait, nullif((v_step ->> 'wait_seconds')::integer, 0));
  end loop;

  update public.erasures as e
  set counts = private.sum_of_counts(e.counts, v_counts)
  where e.id = v_erasure.id and v_counts <> '{}';
  return jsonb_build_object(
    'left', exists (select from public.chat_sessions as s where s.org_id = p_org_id and s.user_id = p_user_id),
    'rows', v_rows,
    'wait_seconds', coalesce(v_wait, 0)
  );
end
$$;

-- Finishes an erasure: what does not hang off a session goes, and with it the name under which ChatKit knew the person. Repeated, it
-- answers the one that was finished. p_refused_thread_ids: threads that OpenAI lists and does not delete. They are counted apart, for
-- the operator to have them deleted by OpenAI's support.
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
  perform pg_advisory_xact_lock(private.person_lock(p_org_id, p_user_id));
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
    return private.erasure_json(v_erasure);
  end if;
  if exists (select from public.chat_sessions as s where s.org_id = p_org_id and s.user_id = p_user_id) then
    raise sqlstate 'PT409' using message = 'erasure_unfinished';
  end if;

  delete from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id;
  delete from public.throttles as t where t.org_id = p_org_id and t.scope = 'user' and t.subject = p_user_id;
  delete from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id;
  update public.erasures as e
  set finished_at = clock_timestamp(),
      counts = private.sum_of_counts(
        e.counts,
        jsonb_build_object('threads', greatest(0, cardinality(e.thread_ids) - v_refused))
          || case when v_refused > 0 then jsonb_build_object('undeleted_threads', v_refused) else '{}' end
      ),
      thread_ids = '{}'
  where e.id = v_erasure.id
  returning * into v_erasure;
  return private.erasure_json(v_erasure);
end
$$;

revoke all on function public.end_erased_sessions(uuid, uuid, integer, text[]) from public, anon, authenticated, service_role;
revoke all on function public.note_erased_threads(uuid, uuid, text[]) from public, anon, authenticated, service_role;
revoke all on function public.erase_batch(uuid, uuid, integer) from public, anon, authenticated, service_role;
revoke all on function public.finish_erasure(uuid, uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function public.end_erased_sessions(uuid, uuid, integer, text[]) to service_role;
grant execute on function public.note_erased_threads(uuid, uuid, text[]) to service_role;
grant execute on function public.erase_batch(uuid, uuid, integer) to service_role;
grant execute on function public.finish_erasure(uuid, uuid, text[]) to service_role;
