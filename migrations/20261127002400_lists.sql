-- Lists, read with the caller's rights: row level security decides which rows are returned.
--
-- A page is a single JSON document, so that the Data API's setting "max rows" cannot truncate it
-- silently. It is limited in rows and in bytes.
--
-- These functions set no search path: a project's own policy may use the one of the request.

create or replace function public.list_sessions(
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id text default null,
  p_after_at timestamptz default null,
  p_after_id uuid default null
) returns jsonb
language plpgsql stable security invoker
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_row jsonb;
  v_rows jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_row in
    select to_jsonb(r)
    from (
      select s.id, s.user_id, s.status, s.agent_id, s.channel, s.title, s.device_label,
             s.metadata, s.created_at, s.last_activity_at, s.ended_at, s.end_reason
      from public.chat_sessions as s
      where (p_user_id is null or s.user_id = p_user_id)
        and (p_status is null or s.status = p_status)
        and (p_agent_id is null or s.agent_id = p_agent_id)
        and (p_after_at is null or (s.last_activity_at, s.id) < (p_after_at, p_after_id))
      order by s.last_activity_at desc, s.id desc
      limit p_limit + 1
    ) as r
  loop
    v_bytes := v_bytes + octet_length(v_row::text);
    if cardinality(v_rows) >= p_limit or (v_bytes > 1048576 and cardinality(v_rows) > 0) then
      return jsonb_build_object('rows', to_jsonb(v_rows), 'more', true);
    end if;
    v_rows := v_rows || v_row;
  end loop;
  return jsonb_build_object('rows', to_jsonb(v_rows), 'more', false);
end
$$;

comment on function public.list_sessions is
  'Returns a page of the sessions that the caller may read, the latest activity first, filtered '
  'by p_user_id, p_status and p_agent_id. (p_after_at, p_after_id) is the last row of the '
  'previous page. The response is {rows, more}, with up to p_limit rows in about 1 MiB; `more` '
  'reports whether there are further rows.';

create or replace function public.list_messages(
  p_session_id uuid,
  p_limit integer,
  p_after_seq bigint default 0,
  p_all_kinds boolean default false
) returns jsonb
language plpgsql stable security invoker
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_row jsonb;
  v_rows jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  if not exists (select from public.chat_sessions as s where s.id = p_session_id) then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  for v_row in
    select to_jsonb(r)
    from (
      select m.id, m.seq, m.role, m.content, m.attachments, m.tool_invocation_id, m.created_at,
             m.thread_id, m.kind, case when p_all_kinds then m.item end as item, m.hidden_at
      from public.chat_messages as m
      where m.session_id = p_session_id and m.seq > p_after_seq
        and (
          p_all_kinds or m.kind is null or m.kind in ('user_message', 'assistant_message')
        )
      order by m.seq
      limit p_limit + 1
    ) as r
  loop
    v_bytes := v_bytes + octet_length(v_row::text);
    if cardinality(v_rows) >= p_limit or (v_bytes > 1048576 and cardinality(v_rows) > 0) then
      return jsonb_build_object('rows', to_jsonb(v_rows), 'more', true);
    end if;
    v_rows := v_rows || v_row;
  end loop;
  return jsonb_build_object('rows', to_jsonb(v_rows), 'more', false);
end
$$;

comment on function public.list_messages is
  'Returns a page of a session''s messages with a number above p_after_seq, in order, as {rows, '
  'more} (see list_sessions). Without p_all_kinds, of the self-hosted chat only what the user and '
  'the agent said. Fails with session_not_found if the caller may not read the session, so the '
  'caller can distinguish that from a session without messages.';

create or replace function public.list_events(
  p_session_id uuid,
  p_limit integer,
  p_newest_first boolean default false,
  p_after_seq bigint default null
) returns jsonb
language plpgsql stable security invoker
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_row jsonb;
  v_rows jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  if not exists (select from public.chat_sessions as s where s.id = p_session_id) then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  for v_row in
    select to_jsonb(r)
    from (
      (
        select e.id, e.seq, e.type, e.payload, e.actor_type, e.actor_id, e.occurred_at, e.created_at
        from public.chat_events as e
        where not p_newest_first
          and e.session_id = p_session_id and (p_after_seq is null or e.seq > p_after_seq)
        order by e.seq
        limit p_limit + 1
      )
      union all
      (
        select e.id, e.seq, e.type, e.payload, e.actor_type, e.actor_id, e.occurred_at, e.created_at
        from public.chat_events as e
        where p_newest_first
          and e.session_id = p_session_id and (p_after_seq is null or e.seq < p_after_seq)
        order by e.seq desc
        limit p_limit + 1
      )
    ) as r
    order by case when p_newest_first then -r.seq else r.seq end
  loop
    v_bytes := v_bytes + octet_length(v_row::text);
    if cardinality(v_rows) >= p_limit or (v_bytes > 1048576 and cardinality(v_rows) > 0) then
      return jsonb_build_object('rows', to_jsonb(v_rows), 'more', true);
    end if;
    v_rows := v_rows || v_row;
  end loop;
  return jsonb_build_object('rows', to_jsonb(v_rows), 'more', false);
end
$$;

comment on function public.list_events is
  'Returns a page of a session''s events as {rows, more} (see list_sessions), the oldest first, or '
  'the newest first. p_after_seq is the number of the last event of the previous page. Fails with '
  'session_not_found if the caller may not read the session.';

create or replace function public.list_agents(p_limit integer, p_after_id text default '')
returns jsonb
language plpgsql stable security invoker
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_row jsonb;
  v_rows jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_row in
    select to_jsonb(r)
    from (
      select a.id, a.display_name, a.description
      from public.agents as a
      where a.id > p_after_id
      order by a.id
      limit p_limit + 1
    ) as r
  loop
    v_bytes := v_bytes + octet_length(v_row::text);
    if cardinality(v_rows) >= p_limit or (v_bytes > 1048576 and cardinality(v_rows) > 0) then
      return jsonb_build_object('rows', to_jsonb(v_rows), 'more', true);
    end if;
    v_rows := v_rows || v_row;
  end loop;
  return jsonb_build_object('rows', to_jsonb(v_rows), 'more', false);
end
$$;

comment on function public.list_agents is
  'Returns a page of the agents that the caller may open, in the order of their ids, as {rows, '
  'more} (see list_sessions). p_after_id is the last id of the previous page.';

create or replace function public.session_details(p_session_id uuid) returns jsonb
language plpgsql stable security invoker
set plan_cache_mode = force_custom_plan
as $$
declare
  v_row jsonb;
  v_events jsonb[] := '{}';
  v_tasks jsonb[] := '{}';
  v_bytes bigint := 0;
  v_cut text[] := '{}';
  v_escalations jsonb;
  v_threads jsonb[] := '{}';
begin
  if not exists (select from public.chat_sessions as s where s.id = p_session_id) then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  for v_row in
    select to_jsonb(r)
    from (
      select t.id, t.title, 'active' as status, t.created_at
      from public.chat_thread_sessions as l
      join public.chat_threads as t on t.id = l.thread_id
      where l.session_id = p_session_id and t.hidden_at is null
      order by l.last_used_at desc, l.thread_id
      limit 101
    ) as r
  loop
    if cardinality(v_threads) >= 100 then
      v_cut := v_cut || 'threads'::text;
      exit;
    end if;
    v_threads := v_threads || v_row;
  end loop;
  for v_row in
    select to_jsonb(r)
    from (
      select e.id, e.seq, e.type, e.payload, e.actor_type, e.actor_id, e.occurred_at, e.created_at
      from public.chat_events as e
      where e.session_id = p_session_id
      order by e.seq desc
      limit 21
    ) as r
  loop
    v_bytes := v_bytes + octet_length(v_row::text);
    if cardinality(v_events) >= 20 or (v_bytes > 1048576 and cardinality(v_events) > 0) then
      v_cut := v_cut || 'events'::text;
      exit;
    end if;
    v_events := array_prepend(v_row, v_events);
  end loop;
  v_bytes := 0;
  for v_row in
    select to_jsonb(r)
    from (
      select t.id, t.title, t.status, t.requires_hitl, t.description, t.due_at, t.escalation_id,
             t.updated_at
      from public.chat_tasks as t
      where t.session_id = p_session_id
      order by t.id
    ) as r
  loop
    v_bytes := v_bytes + octet_length(v_row::text);
    if v_bytes > 1048576 then
      v_cut := v_cut || 'tasks'::text;
      exit;
    end if;
    v_tasks := v_tasks || v_row;
  end loop;
  v_escalations := public.list_escalations(20, p_session_id => p_session_id);
  if v_escalations ->> 'next' is not null then
    v_cut := v_cut || 'escalations'::text;
  end if;
  return jsonb_build_object(
    'events', to_jsonb(v_events),
    'tasks', to_jsonb(v_tasks),
    'escalations', v_escalations -> 'rows',
    'thread_ids', (
      select coalesce(jsonb_agg(t.thread_id order by t.linked_at desc, t.thread_id desc), '[]')
      from public.chatkit_threads as t
      where t.session_id = p_session_id
    ),
    'threads', to_jsonb(v_threads),
    'cut', to_jsonb(v_cut)
  );
end
$$;

comment on function public.session_details is
  'Returns the parts of a session that the API shows with it: its latest 20 events in order, its '
  'tasks, its oldest open escalations (up to 20), its threads at OpenAI, the latest link first, and '
  'its threads in the self-hosted chat, the latest use first (up to 100). Events, tasks and '
  'escalations are limited to about 1 MiB each, and `cut` names the lists that are incomplete. '
  'Fails with session_not_found if the caller may not read the session.';
