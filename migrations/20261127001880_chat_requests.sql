-- Reading and changing the threads of the self-hosted chat. See "Beginning an answer" for how these
-- RPCs find their user.

-- Returns a thread that a session may read, after it has ended the thread's run if its process has
-- stopped.
create or replace function chatkit_private.readable_thread(
  p_session_id uuid,
  p_thread_id text
) returns public.chat_threads
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_thread public.chat_threads;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_session_id;
  select * into v_thread
  from public.chat_threads as t
  where t.id = p_thread_id
    and t.org_id = v_session.org_id
    and t.user_id = v_session.user_id
    and t.agent_id = v_session.agent_id
    and t.hidden_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'thread_not_found';
  end if;
  perform chatkit_private.settle_thread(v_session, p_thread_id);
  return v_thread;
end
$$;

create or replace function chatkit_private.list_chat_threads(
  p_session_id uuid,
  p_limit integer,
  p_descending boolean,
  p_after text
) returns jsonb
language plpgsql stable security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 1000);
  v_session public.chat_sessions;
  v_after public.chat_threads;
  v_threads refcursor;
  v_thread public.chat_threads;
  v_rows jsonb[] := '{}';
  v_more boolean := false;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_session_id;
  if p_after is not null then
    -- The thread may have been deleted or handed over since the previous page.
    select * into v_after
    from public.chat_threads as t
    where t.id = p_after and t.org_id = v_session.org_id and t.user_id = v_session.user_id;
    if not found then
      raise sqlstate 'PT404' using message = 'thread_not_found';
    end if;
  end if;
  if p_descending then
    open v_threads no scroll for
      select t.*
      from public.chat_threads as t
      where t.org_id = v_session.org_id
        and t.agent_id = v_session.agent_id
        and t.user_id = v_session.user_id
        and t.hidden_at is null
        and (v_after.id is null or (t.created_at, t.id) < (v_after.created_at, v_after.id))
      order by t.created_at desc, t.id desc;
  else
    open v_threads no scroll for
      select t.*
      from public.chat_threads as t
      where t.org_id = v_session.org_id
        and t.agent_id = v_session.agent_id
        and t.user_id = v_session.user_id
        and t.hidden_at is null
        and (v_after.id is null or (t.created_at, t.id) > (v_after.created_at, v_after.id))
      order by t.created_at, t.id;
  end if;
  loop
    fetch v_threads into v_thread;
    exit when not found;
    v_more := cardinality(v_rows) = v_limit;
    exit when v_more;
    v_rows := v_rows || chatkit_private.thread_response(v_thread);
  end loop;
  close v_threads;
  return jsonb_build_object('rows', to_jsonb(v_rows), 'more', v_more);
end
$$;

create or replace function public.list_chat_threads(
  p_secret_hash text,
  p_limit integer,
  p_descending boolean,
  p_after text default null
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.list_chat_threads(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_limit, p_descending, p_after
  )
$$;

comment on function public.list_chat_threads is
  'Returns a page of the user''s threads with the session''s agent, by creation, as {rows, more}, '
  'with up to p_limit rows, at most 1,000. p_after is the id of the last thread of the previous '
  'page.';

create or replace function chatkit_private.list_chat_items(
  p_session_id uuid,
  p_thread_id text,
  p_limit integer,
  p_descending boolean,
  p_after text
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_thread public.chat_threads := chatkit_private.readable_thread(p_session_id, p_thread_id);
  v_after_seq bigint;
begin
  if p_after is not null then
    -- The item may have been removed from the thread since the previous page.
    select m.thread_seq into v_after_seq
    from public.chat_messages as m
    where m.thread_id = p_thread_id and m.chatkit_item_id = p_after;
    if not found then
      raise sqlstate 'PT404' using message = 'item_not_found';
    end if;
  end if;
  return chatkit_private.thread_page(p_thread_id, p_limit, p_descending, v_after_seq)
    || jsonb_build_object('thread', chatkit_private.thread_response(v_thread));
end
$$;

create or replace function public.list_chat_items(
  p_secret_hash text,
  p_thread_id text,
  p_limit integer,
  p_descending boolean,
  p_after text default null
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.list_chat_items(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_thread_id, p_limit, p_descending,
    p_after
  )
$$;

comment on function public.list_chat_items is
  'Returns a thread and a page of its visible items as {thread, rows, more}, with up to p_limit '
  'rows in about 1 MiB. p_after is the id of the last item of the previous page.';

-- Locks a session and one of its user's threads, for a change that is recorded as events. They are
-- charged like the page's other events.
create or replace function chatkit_private.lock_session_thread(
  p_session_id uuid,
  p_thread_id text
) returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into strict v_session
  from public.chat_sessions as s
  where s.id = p_session_id
  for update;
  if v_session.status <> 'active' or v_session.provider <> 'self_hosted' then
    raise sqlstate 'PT401' using message = 'client_secret_rejected';
  end if;
  perform chatkit_private.lock_thread(v_session, p_thread_id);
  return v_session;
end
$$;

create or replace function chatkit_private.rename_chat_thread(
  p_session_id uuid,
  p_thread_id text,
  p_title text
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions :=
    chatkit_private.lock_session_thread(p_session_id, p_thread_id);
  v_thread public.chat_threads;
begin
  update public.chat_threads as t
  set title = p_title
  where t.id = p_thread_id and t.title is distinct from p_title
  returning * into v_thread;
  if found then
    perform chatkit_private.append_event(
      v_session.id, chatkit_private.new_id(), 'thread_renamed',
      jsonb_build_object('threadId', p_thread_id, 'title', p_title),
      'user', v_session.user_id::text
    );
    perform chatkit_private.touch_session(v_session.id);
    perform chatkit_private.consume_rate_limit(v_session, 'event', 1);
  else
    select * into strict v_thread from public.chat_threads as t where t.id = p_thread_id;
  end if;
  return jsonb_build_object('thread', chatkit_private.thread_response(v_thread));
exception
  when check_violation then
    raise sqlstate 'PT422' using message = 'invalid_item', detail = 'title';
end
$$;

create or replace function public.rename_chat_thread(
  p_secret_hash text,
  p_thread_id text,
  p_title text
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.rename_chat_thread(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_thread_id, p_title
  )
$$;

comment on function public.rename_chat_thread is 'Changes the title of a thread, and returns it.';

create or replace function chatkit_private.delete_chat_thread(
  p_session_id uuid,
  p_thread_id text
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_session_id;
  -- A repeated call finds the thread deleted.
  if exists (
    select from public.chat_threads as t
    where t.id = p_thread_id and t.org_id = v_session.org_id and t.user_id = v_session.user_id
      and t.agent_id = v_session.agent_id and t.hidden_at is not null
  ) then
    return '{}';
  end if;
  v_session := chatkit_private.lock_session_thread(p_session_id, p_thread_id);
  update public.chat_runs as r
  set stop_requested_at = coalesce(r.stop_requested_at, clock_timestamp())
  where r.thread_id = p_thread_id and r.status = 'running';
  update public.chat_threads as t set hidden_at = clock_timestamp() where t.id = p_thread_id;
  perform chatkit_private.hide_items(p_thread_id, 0);
  perform chatkit_private.append_event(
    v_session.id, chatkit_private.new_id(), 'thread_deleted',
    jsonb_build_object('threadId', p_thread_id), 'user', v_session.user_id::text
  );
  perform chatkit_private.touch_session(v_session.id);
  perform chatkit_private.consume_rate_limit(v_session, 'event', 1);
  return '{}';
end
$$;

create or replace function public.delete_chat_thread(
  p_secret_hash text,
  p_thread_id text
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.delete_chat_thread(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_thread_id
  )
$$;

comment on function public.delete_chat_thread is
  'Hides a thread and its items from the chat, and stops its running answer. The transcripts of its '
  'sessions keep the items until retention or erasure deletes them.';

create or replace function chatkit_private.record_chat_feedback(
  p_session_id uuid,
  p_thread_id text,
  p_item_ids text[],
  p_rating text,
  p_feedback_id uuid
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions :=
    chatkit_private.lock_session_thread(p_session_id, p_thread_id);
  -- Each item once, in the given order.
  v_item_ids text[] := array(
    select i.id
    from unnest(p_item_ids) with ordinality as i (id, place)
    group by i.id
    order by min(i.place)
  );
  v_item_id text;
  v_event_id uuid;
  v_recorded integer := 0;
begin
  if (
    select count(*)
    from public.chat_messages as m
    where m.thread_id = p_thread_id
      and m.chatkit_item_id = any (v_item_ids)
      and m.hidden_at is null
  ) <> cardinality(v_item_ids) then
    raise sqlstate 'PT404' using message = 'item_not_found';
  end if;
  foreach v_item_id in array v_item_ids loop
    -- The same in a repeat.
    v_event_id := md5(p_feedback_id::text || v_item_id)::uuid;
    continue when exists (
      select from public.chat_events as e where e.session_id = v_session.id and e.id = v_event_id
    );
    perform chatkit_private.append_event(
      v_session.id, v_event_id, 'feedback',
      jsonb_build_object('threadId', p_thread_id, 'itemId', v_item_id, 'rating', p_rating),
      'user', v_session.user_id::text
    );
    v_recorded := v_recorded + 1;
  end loop;
  if v_recorded > 0 then
    perform chatkit_private.touch_session(v_session.id);
    perform chatkit_private.consume_rate_limit(v_session, 'event', v_recorded);
  end if;
  return '{}';
end
$$;

create or replace function public.record_chat_feedback(
  p_secret_hash text,
  p_thread_id text,
  p_item_ids text[],
  p_rating text,
  p_feedback_id uuid
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.record_chat_feedback(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_thread_id, p_item_ids, p_rating,
    p_feedback_id
  )
$$;

comment on function public.record_chat_feedback is
  'Records the user''s opinion of items of a thread as events of the session, one for each item. A '
  'repeat with the same p_feedback_id records nothing.';
