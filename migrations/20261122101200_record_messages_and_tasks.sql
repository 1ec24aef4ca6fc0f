-- Recording what was said and what is being done. Both go on after a session's end: a call that was under way then finishes,
-- and what it said and did belongs to the record.

-- Appends to the transcript; all of a call or nothing, in the order given. A repeat answers what is stored.
create or replace function public.record_messages(p_org_id uuid, p_session_id uuid, p_messages jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
  v_seq bigint := v_session.last_message_seq;
  v_given jsonb;
  v_attachments jsonb;
  v_message public.chat_messages;
  v_answers jsonb := '[]';
  v_constraint text;
  v_column text;
begin
  for v_given in
    select m.value from jsonb_array_elements(p_messages) with ordinality as m (value, position) order by m.position
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
          (v_given ->> 'role', v_given ->> 'content', v_attachments, v_given ->> 'tool_invocation_id') then
      raise sqlstate 'PT409' using message = 'message_conflict', detail = v_message.id::text;
    end if;
    v_answers := v_answers || jsonb_build_object('id', v_message.id, 'seq', v_message.seq);
  end loop;

  if v_seq > v_session.last_message_seq then
    update public.chat_sessions as s set last_message_seq = v_seq where s.id = p_session_id;
    perform private.touch_session(p_session_id);
  end if;
  return jsonb_build_object('messages', v_answers);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_message',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

-- Writes the latest state of tasks. A repeat finds them so already and changes nothing, `updated_at` included.
create or replace function public.record_tasks(p_org_id uuid, p_session_id uuid, p_tasks jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
  v_given jsonb;
  v_answers jsonb := '[]';
  v_something_new boolean := false;
  v_constraint text;
  v_column text;
begin
  for v_given in
    select t.value from jsonb_array_elements(p_tasks) with ordinality as t (value, position) order by t.position
  loop
    insert into public.chat_tasks as t (org_id, user_id, session_id, id, title, status, requires_hitl)
    values (
      v_session.org_id, v_session.user_id, p_session_id, v_given ->> 'id', v_given ->> 'title', v_given ->> 'status',
      coalesce((v_given ->> 'requires_hitl')::boolean, false)
    )
    on conflict (session_id, id) do update
    set title = excluded.title,
        status = excluded.status,
        requires_hitl = excluded.requires_hitl,
        updated_at = clock_timestamp()
    where (t.title, t.status, t.requires_hitl) is distinct from (excluded.title, excluded.status, excluded.requires_hitl);
    v_something_new := v_something_new or found;

    v_answers := v_answers || (
      select jsonb_build_object('id', t.id, 'title', t.title, 'status', t.status, 'requires_hitl', t.requires_hitl,
                                'updated_at', private.utc_text(t.updated_at))
      from public.chat_tasks as t
      where t.session_id = p_session_id and t.id = v_given ->> 'id'
    );
  end loop;

  if v_something_new then
    perform private.touch_session(p_session_id);
  end if;
  return jsonb_build_object('tasks', v_answers);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_task',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

revoke all on function public.record_messages(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.record_tasks(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.record_messages(uuid, uuid, jsonb) to service_role;
grant execute on function public.record_tasks(uuid, uuid, jsonb) to service_role;
