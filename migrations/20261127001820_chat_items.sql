-- Items of the threads of the self-hosted chat: visible ones in chat_messages, hidden ones here.

create table if not exists public.chat_hidden_items (
  org_id uuid not null,
  user_id uuid not null,
  thread_id text not null,
  -- Numbered together with the thread's visible items.
  thread_seq bigint not null,
  kind text not null,
  item jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  hidden_at timestamptz,
  primary key (thread_id, thread_seq),
  constraint chat_hidden_items_thread_fkey
    foreign key (org_id, user_id, thread_id) references public.chat_threads (org_id, user_id, id),
  constraint chat_hidden_items_kind_known
    check (kind in ('hidden_context_item', 'reasoning', 'function_call', 'function_call_output')),
  constraint chat_hidden_items_item_object check (jsonb_typeof(item) = 'object'),
  constraint chat_hidden_items_item_size check (octet_length(item::text) <= 1048576)
);

comment on table public.chat_hidden_items is
  'Items of a thread that only the model receives: context, its reasoning, and the output of tools. '
  'No caller can read them.';

alter table public.chat_hidden_items enable row level security;
revoke all on table public.chat_hidden_items from public, anon, authenticated, service_role;

-- Returns the text of an item, for a transcript.
create or replace function chatkit_private.item_text(p_item jsonb) returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select case p_item ->> 'type'
    when 'user_message' then (
      select coalesce(string_agg(c.value ->> 'text', '' order by c.position), '')
      from jsonb_array_elements(p_item -> 'content') with ordinality as c (value, position)
    )
    when 'assistant_message' then (
      select coalesce(string_agg(c.value ->> 'text', '' order by c.position), '')
      from jsonb_array_elements(p_item -> 'content') with ordinality as c (value, position)
    )
    when 'widget' then coalesce(p_item ->> 'copy_text', '')
    else coalesce(p_item #>> '{task,title}', p_item #>> '{workflow,summary,title}', '')
  end
$$;

-- Records an action of the page that names no item as an event of its session, with the payload of
-- the action if an event can hold it. The event is not routed: the model answers the action.
create or replace function chatkit_private.record_page_action(
  p_session public.chat_sessions,
  p_thread_id text,
  p_action jsonb
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_payload jsonb := p_action -> 'payload';
begin
  perform chatkit_private.append_event(
    p_session.id, chatkit_private.new_id(), 'button_click',
    jsonb_build_object('action', p_action -> 'type', 'threadId', p_thread_id)
      || case
        when jsonb_typeof(v_payload) = 'object' and octet_length(v_payload::text) <= 16384
          then jsonb_build_object('data', v_payload)
        else '{}'
      end,
    'user', p_session.user_id::text
  );
end
$$;

-- Appends an item to a thread that the caller has locked, together with the session. The kind
-- decides whether readers see it. An item that is stored already is not added again. An item of a
-- deleted thread is hidden: it is for the transcript only. The note of a page's action is an event
-- of the session too.
create or replace function chatkit_private.append_item(
  p_session public.chat_sessions,
  p_thread_id text,
  p_item jsonb
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_kind text := p_item ->> 'type';
  -- The request may have named another id for a thread that an earlier attempt created.
  v_item jsonb := p_item || jsonb_build_object('thread_id', p_thread_id);
  v_thread_seq bigint;
  v_hidden_at timestamptz;
  v_seq bigint;
begin
  if exists (
    select from public.chat_messages as m
    where m.thread_id = p_thread_id and m.chatkit_item_id = p_item ->> 'id'
  ) then
    return;
  end if;
  update public.chat_threads as t
  set last_item_seq = t.last_item_seq + 1
  where t.id = p_thread_id
  returning t.last_item_seq, t.hidden_at into strict v_thread_seq, v_hidden_at;

  if v_kind in ('hidden_context_item', 'reasoning', 'function_call', 'function_call_output') then
    insert into public.chat_hidden_items (
      org_id, user_id, thread_id, thread_seq, kind, item, hidden_at
    ) values (
      p_session.org_id, p_session.user_id, p_thread_id, v_thread_seq, v_kind, v_item, v_hidden_at
    );
    if v_kind = 'hidden_context_item' and jsonb_typeof(v_item #> '{content,action}') = 'object' then
      perform chatkit_private.record_page_action(
        p_session, p_thread_id, v_item #> '{content,action}'
      );
    end if;
    return;
  end if;
  update public.chat_sessions as s
  set last_message_seq = s.last_message_seq + 1
  where s.id = p_session.id
  returning s.last_message_seq into strict v_seq;
  insert into public.chat_messages (
    org_id, user_id, session_id, id, seq, role, content, chatkit_item_id,
    thread_id, thread_seq, kind, item, hidden_at
  ) values (
    p_session.org_id, p_session.user_id, p_session.id, chatkit_private.new_id(), v_seq,
    case when v_kind = 'user_message' then 'user' else 'agent' end,
    chatkit_private.item_text(p_item), p_item ->> 'id',
    p_thread_id, v_thread_seq, v_kind, v_item, v_hidden_at
  );
end
$$;

-- Removes the items of a thread with a number above p_after_seq: from the thread and from what the
-- model receives, not from transcripts. With p_keep_calls, the model still receives the calls of
-- tools and their outputs: a model that does not know of a call would make it again. The cards of
-- held calls stay too, so that they can be decided.
create or replace function chatkit_private.hide_items(
  p_thread_id text,
  p_after_seq bigint,
  p_keep_calls boolean default false
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  update public.chat_hidden_items as h
  set hidden_at = v_now
  where h.thread_id = p_thread_id
    and h.thread_seq > p_after_seq
    and h.hidden_at is null
    and not (p_keep_calls and h.item ?| '{delivery_id,event_id}');
  update public.chat_messages as m
  set hidden_at = v_now
  where m.thread_id = p_thread_id and m.thread_seq > p_after_seq and m.hidden_at is null
    and not (
      p_keep_calls
      and m.kind = 'widget'
      and coalesce(m.item #>> '{widget,id}', '') in ('held_call', 'closed_call')
    );
end
$$;

-- The functions below read items in the order of an index. With sorts enabled, the planner may read
-- and sort a whole thread instead.

-- Returns a page of the visible items of a thread, in either order, as {rows, more}. p_after_seq is
-- the number of the last item of the previous page. A page has at most 1,000 rows and, but for its
-- first one, 1 MiB.
create or replace function chatkit_private.thread_page(
  p_thread_id text,
  p_limit integer,
  p_descending boolean,
  p_after_seq bigint default null
) returns jsonb
language plpgsql stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 1000);
  v_items refcursor;
  v_row jsonb;
  v_rows jsonb[] := '{}';
  v_bytes bigint := 0;
  v_more boolean := false;
begin
  if p_descending then
    open v_items no scroll for
      select m.item
      from public.chat_messages as m
      where m.thread_id = p_thread_id
        and m.hidden_at is null
        and m.thread_seq < coalesce(p_after_seq, 9223372036854775807)
      order by m.thread_seq desc;
  else
    open v_items no scroll for
      select m.item
      from public.chat_messages as m
      where m.thread_id = p_thread_id
        and m.hidden_at is null
        and m.thread_seq > coalesce(p_after_seq, 0)
      order by m.thread_seq;
  end if;
  loop
    fetch v_items into v_row;
    exit when not found;
    v_bytes := v_bytes + octet_length(v_row::text);
    v_more := cardinality(v_rows) = v_limit or (v_bytes > 1048576 and cardinality(v_rows) > 0);
    exit when v_more;
    v_rows := v_rows || v_row;
  end loop;
  close v_items;
  return jsonb_build_object('rows', to_jsonb(v_rows), 'more', v_more);
end
$$;

-- Returns the newest items of a thread that the model may receive, visible and hidden, in order.
-- Stops before the item with which they would exceed p_bytes, and at 1,000 items. A cursor reads
-- the items one by one from two indexes, because an item has up to 1 MiB.
create or replace function chatkit_private.model_history(p_thread_id text, p_bytes bigint)
returns jsonb
language plpgsql stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_thread_seq bigint;
  v_item jsonb;
  v_items jsonb[] := '{}';
  v_bytes bigint := 0;
  v_complete boolean := true;
begin
  for v_thread_seq, v_item in
    (
      select m.thread_seq, m.item
      from public.chat_messages as m
      where m.thread_id = p_thread_id and m.hidden_at is null
      order by m.thread_seq desc
    )
    union all
    (
      select h.thread_seq, h.item
      from public.chat_hidden_items as h
      where h.thread_id = p_thread_id and h.hidden_at is null
      order by h.thread_seq desc
    )
    order by thread_seq desc
  loop
    v_bytes := v_bytes + octet_length(v_item::text);
    v_complete := v_bytes <= p_bytes and cardinality(v_items) < 1000;
    exit when not v_complete;
    v_items := v_items || v_item;
  end loop;
  return jsonb_build_object(
    'items', (
      select coalesce(jsonb_agg(i.item order by i.place desc), '[]')
      from unnest(v_items) with ordinality as i (item, place)
    ),
    'complete', v_complete
  );
end
$$;
