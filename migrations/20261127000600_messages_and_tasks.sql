-- Transcripts and tasks of sessions.

create table if not exists public.chat_messages (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  id uuid not null,
  -- The position in the session's transcript. Null for an item of another session's transcript
  -- which retention has erased: the row is kept for its thread only.
  seq bigint,
  role text not null,
  content text not null,
  attachments jsonb not null default '[]',
  created_at timestamptz not null default clock_timestamp(),
  tool_invocation_id text,
  -- The item of a ChatKit thread that this message is, or at OpenAI, that it copies.
  chatkit_item_id text,
  -- For an item of the self-hosted chat: its thread, its number there, its type, and the item as
  -- ChatKit.js receives it.
  thread_id text,
  thread_seq bigint,
  kind text,
  item jsonb,
  -- When the item was removed from its thread: replaced by another answer, or deleted.
  hidden_at timestamptz,
  -- Unique per session, for the same reason as an event's id.
  primary key (session_id, id),
  -- Its index also lists a transcript from any position.
  constraint chat_messages_seq_key unique (session_id, seq),
  constraint chat_messages_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_messages_thread_fkey
    foreign key (org_id, user_id, thread_id) references public.chat_threads (org_id, user_id, id),
  constraint chat_messages_thread_seq_key unique (thread_id, thread_seq),
  constraint chat_messages_seq_positive check (seq > 0),
  constraint chat_messages_thread_seq_positive check (thread_seq > 0),
  constraint chat_messages_item_is_whole
    check (
      num_nonnulls(thread_id, thread_seq, kind, item) in (0, 4)
      and (seq is not null or thread_id is not null)
      and (hidden_at is null or thread_id is not null)
    ),
  constraint chat_messages_item_matches
    check (
      item is null or (
        chatkit_item_id is not null
        and item ->> 'id' = chatkit_item_id
        and item ->> 'thread_id' = thread_id
        and item ->> 'type' = kind
      )
    ),
  -- Every type of ChatKit but the two that are never shown (see chat_hidden_items).
  constraint chat_messages_kind_known
    check (
      kind in (
        'user_message', 'assistant_message', 'client_tool_call', 'widget', 'generated_image',
        'structured_input', 'workflow', 'task', 'end_of_turn'
      )
    ),
  constraint chat_messages_item_size check (octet_length(item::text) <= 1048576),
  constraint chat_messages_role_known check (role in ('user', 'agent', 'system')),
  constraint chat_messages_attachments_array check (jsonb_typeof(attachments) = 'array'),
  constraint chat_messages_chatkit_item_id_length
    check (char_length(chatkit_item_id) between 1 and 512),
  constraint chat_messages_size
    check (octet_length(to_jsonb(content)::text) + octet_length(attachments::text) <= 2097152),
  constraint chat_messages_created_at_finite check (isfinite(created_at))
);

comment on table public.chat_messages is
  'The transcript of a session, in order: messages that were recorded, the visible items of its '
  'threads in the self-hosted chat, and copies of the items of its threads at OpenAI.';

create unique index if not exists chat_messages_by_chatkit_item
  on public.chat_messages (session_id, chatkit_item_id) where chatkit_item_id is not null;

-- Finds an item of a thread of the self-hosted chat.
create unique index if not exists chat_messages_by_thread_item
  on public.chat_messages (thread_id, chatkit_item_id) where thread_id is not null;

-- Lists the visible items of a thread in order, from any position.
create index if not exists chat_messages_visible
  on public.chat_messages (thread_id, thread_seq) where thread_id is not null and hidden_at is null;

alter table public.chat_messages enable row level security;
revoke all on table public.chat_messages from public, anon, authenticated, service_role;
grant select on table public.chat_messages to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chat_messages
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column id set statistics 0,
  alter column role set statistics 0,
  alter column content set statistics 0,
  alter column attachments set statistics 0,
  alter column tool_invocation_id set statistics 0,
  alter column chatkit_item_id set statistics 0,
  alter column thread_id set statistics 0,
  alter column thread_seq set statistics 0,
  alter column kind set statistics 0,
  alter column item set statistics 0,
  alter column hidden_at set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chat_messages;
create policy "session owner and approvers can read" on public.chat_messages
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

create or replace function public.record_messages(
  p_org_id uuid,
  p_session_id uuid,
  p_messages jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
  v_seq bigint := v_session.last_message_seq;
  v_given jsonb;
  v_attachments jsonb;
  v_message public.chat_messages;
  v_answers jsonb := '[]';
  v_constraint text;
  v_column text;
begin
  for v_given in
    select m.value
    from jsonb_array_elements(p_messages) with ordinality as m (value, position)
    order by m.position
  loop
    v_attachments := coalesce(v_given -> 'attachments', '[]');
    select * into v_message
    from public.chat_messages as m
    where m.session_id = p_session_id and m.id = (v_given ->> 'id')::uuid;
    if not found then
      v_seq := v_seq + 1;
      insert into public.chat_messages as m (
        org_id, user_id, session_id, id, seq, role, content, attachments, tool_invocation_id
      ) values (
        v_session.org_id, v_session.user_id, p_session_id, (v_given ->> 'id')::uuid, v_seq,
        v_given ->> 'role', v_given ->> 'content', v_attachments, v_given ->> 'tool_invocation_id'
      )
      returning * into v_message;
    elsif (v_message.role, v_message.content, v_message.attachments, v_message.tool_invocation_id)
          is distinct from
          (v_given ->> 'role', v_given ->> 'content', v_attachments,
           v_given ->> 'tool_invocation_id') then
      raise sqlstate 'PT409' using message = 'message_conflict', detail = v_message.id::text;
    end if;
    v_answers := v_answers || jsonb_build_object('id', v_message.id, 'seq', v_message.seq);
  end loop;

  if v_seq > v_session.last_message_seq then
    update public.chat_sessions as s set last_message_seq = v_seq where s.id = p_session_id;
    perform chatkit_private.touch_session(p_session_id);
  end if;
  return jsonb_build_object('messages', v_answers);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_message',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

comment on function public.record_messages is
  'Appends messages to the transcript in the given order, all or none. A repeated message is not '
  'added again; the response has its stored number.';

create table if not exists public.chat_tasks (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The agent's own id for the task.
  id text not null,
  title text not null,
  status text not null,
  requires_hitl boolean not null default false,
  description text,
  due_at timestamptz,
  -- The escalation of the session that the task waits for. It has no foreign key: retention and
  -- erasure delete both.
  escalation_id uuid,
  updated_at timestamptz not null default clock_timestamp(),
  -- Begins with the session, so it lists a session's tasks and covers the foreign key.
  primary key (session_id, id),
  constraint chat_tasks_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_tasks_id_length check (char_length(id) between 1 and 200),
  constraint chat_tasks_title_length check (char_length(title) between 1 and 500),
  constraint chat_tasks_description_length check (char_length(description) between 1 and 2000),
  constraint chat_tasks_due_at_finite check (isfinite(due_at)),
  constraint chat_tasks_status_known
    check (status in ('pending', 'running', 'completed', 'blocked'))
);

comment on table public.chat_tasks is
  'The latest state of the tasks that agents report for a session.';

alter table public.chat_tasks enable row level security;
revoke all on table public.chat_tasks from public, anon, authenticated, service_role;
grant select on table public.chat_tasks to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chat_tasks
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column id set statistics 0,
  alter column title set statistics 0,
  alter column requires_hitl set statistics 0,
  alter column description set statistics 0,
  alter column due_at set statistics 0,
  alter column escalation_id set statistics 0,
  alter column updated_at set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chat_tasks;
create policy "session owner and approvers can read" on public.chat_tasks
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

create or replace function public.record_tasks(
  p_org_id uuid,
  p_session_id uuid,
  p_tasks jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
  v_given jsonb;
  v_answers jsonb := '[]';
  v_something_new boolean := false;
  v_constraint text;
  v_column text;
begin
  for v_given in
    select t.value
    from jsonb_array_elements(p_tasks) with ordinality as t (value, position)
    order by t.position
  loop
    insert into public.chat_tasks as t (
      org_id, user_id, session_id, id, title, status, requires_hitl, description, due_at,
      escalation_id
    )
    values (
      v_session.org_id, v_session.user_id, p_session_id,
      v_given ->> 'id', v_given ->> 'title', v_given ->> 'status',
      coalesce((v_given ->> 'requires_hitl')::boolean, false),
      v_given ->> 'description', (v_given ->> 'due_at')::timestamptz,
      (
        select x.id from public.chat_escalations as x
        where x.id = (v_given ->> 'escalation_id')::uuid and x.session_id = p_session_id
      )
    )
    on conflict (session_id, id) do update
    set title = excluded.title,
        status = excluded.status,
        requires_hitl = excluded.requires_hitl,
        description = excluded.description,
        due_at = excluded.due_at,
        escalation_id = excluded.escalation_id,
        updated_at = clock_timestamp()
    where (t.title, t.status, t.requires_hitl, t.description, t.due_at, t.escalation_id)
      is distinct from (excluded.title, excluded.status, excluded.requires_hitl,
                        excluded.description, excluded.due_at, excluded.escalation_id);
    v_something_new := v_something_new or found;

    v_answers := v_answers || (
      select jsonb_build_object('id', t.id, 'title', t.title, 'status', t.status,
                                'requires_hitl', t.requires_hitl,
                                'description', t.description,
                                'due_at', chatkit_private.utc_text(t.due_at),
                                'escalation_id', t.escalation_id,
                                'updated_at', chatkit_private.utc_text(t.updated_at))
      from public.chat_tasks as t
      where t.session_id = p_session_id and t.id = v_given ->> 'id'
    );
  end loop;

  if v_something_new then
    perform chatkit_private.touch_session(p_session_id);
  end if;
  return jsonb_build_object('tasks', v_answers);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_task',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

comment on function public.record_tasks is
  'Stores the latest state of tasks. A repeated call changes nothing, `updated_at` included. The '
  'escalation of a task must belong to the session; another one is not stored.';
