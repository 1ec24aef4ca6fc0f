-- Beginning an answer of the self-hosted chat.
--
-- Each RPC takes the hash of a client secret, and finds the session, the user and the organisation
-- itself. The public functions run with the rights of service_role and check the row policies as
-- the user; the private ones then read and write.

-- Returns the session of a client secret. Rejects a session that the project's row policies hide
-- from a token like the one with which the secret was requested.
create or replace function chatkit_private.readable_chat_session(p_secret_hash text)
returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.chat_session_of_secret(p_secret_hash);
  v_claims jsonb := chatkit_private.claims_of_secret(p_secret_hash);
begin
  if v_session.id = any (chatkit_private.readable_ids(v_claims, array[v_session.id])) then
    return v_session;
  end if;
  raise sqlstate 'PT403' using message = 'row_policy_refused';
end
$$;

-- Stops the running answer of a thread, if it is not p_run_id, and returns whether there is one: a
-- thread has one answer at a time. It stops within two seconds; then the caller tries again.
create or replace function chatkit_private.stop_running_answer(p_thread_id text, p_run_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  update public.chat_runs as r
  set stop_requested_at = coalesce(r.stop_requested_at, clock_timestamp())
  where r.thread_id = p_thread_id and r.status = 'running' and r.id <> p_run_id;
  return found;
end
$$;

-- Hides the answers after a message of the user, and returns {question_seq, removed_since}: the
-- number of the message, and the time since which the client may have missed removals. It may have
-- missed the stream of the thread's latest answer, and send the same request again.
create or replace function chatkit_private.retry_after_item(
  p_thread_id text,
  p_item_id text,
  out question_seq bigint,
  out removed_since timestamptz
)
language plpgsql
set search_path = ''
as $$
begin
  removed_since := clock_timestamp();
  select m.thread_seq into question_seq
  from public.chat_messages as m
  where m.thread_id = p_thread_id
    and m.chatkit_item_id = p_item_id
    and m.kind = 'user_message'
    and m.hidden_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'item_not_found';
  end if;
  select coalesce(min(r.removed_since), retry_after_item.removed_since) into removed_since
  from (
    select n.removed_since
    from public.chat_runs as n
    where n.thread_id = p_thread_id
    order by n.started_at desc
    limit 1
  ) as r;
  perform chatkit_private.hide_items(p_thread_id, question_seq, true);
end
$$;

-- Stores the items of a new message, or the output of the pending client tool call, and returns the
-- number of the last item.
create or replace function chatkit_private.append_question(
  p_session public.chat_sessions,
  p_thread_id text,
  p_items jsonb,
  p_client_tool_output jsonb
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_item jsonb;
begin
  if p_client_tool_output is not null then
    return chatkit_private.complete_client_call(
      p_session, p_thread_id, p_client_tool_output -> 'result'
    );
  end if;
  perform chatkit_private.abandon_client_call(p_session, p_thread_id);
  for v_item in
    select i.value
    from jsonb_array_elements(p_items) with ordinality as i (value, position)
    order by i.position
  loop
    perform chatkit_private.append_item(p_session, p_thread_id, v_item);
  end loop;
  return (select t.last_item_seq from public.chat_threads as t where t.id = p_thread_id);
end
$$;

-- Stores the question of a run and hides the answers that the run replaces, and returns
-- {question_seq, removed_since, turn_limit}. A question is charged; `turn_limit` is then the user's
-- limit. If an answer broke off, its run is p_broken_run, and its question is taken up again.
create or replace function chatkit_private.store_question(
  p_session public.chat_sessions,
  p_thread_id text,
  p_broken_run public.chat_runs,
  p_items jsonb,
  p_retry_after_item_id text,
  p_client_tool_output jsonb,
  out question_seq bigint,
  out removed_since timestamptz,
  out turn_limit jsonb
)
language plpgsql
set search_path = ''
as $$
begin
  if p_broken_run.id is not null then
    question_seq := p_broken_run.question_seq;
    removed_since := p_broken_run.removed_since;
    perform chatkit_private.hide_items(p_thread_id, question_seq, true);
    return;
  end if;
  turn_limit := chatkit_private.consume_bucket(
    p_session.org_id, 'user', p_session.user_id, 'turn',
    (chatkit_private.effective_limits(p_session.org_id)).turns_per_minute_user, 1
  );
  if p_retry_after_item_id is not null then
    select a.question_seq, a.removed_since into question_seq, removed_since
    from chatkit_private.retry_after_item(p_thread_id, p_retry_after_item_id) as a;
  else
    removed_since := clock_timestamp();
    question_seq := chatkit_private.append_question(
      p_session, p_thread_id, p_items, p_client_tool_output
    );
  end if;
end
$$;

-- Returns the response to a request that begins a run, without `limit`.
create or replace function chatkit_private.begun_response(
  p_session public.chat_sessions,
  p_run_id uuid,
  p_thread public.chat_threads
) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  v_settings public.session_model_settings;
begin
  select * into strict v_settings
  from public.session_model_settings as m
  where m.session_id = p_session.id;
  return jsonb_build_object(
    'outcome', 'begun',
    'run_id', p_run_id,
    'thread', chatkit_private.thread_response(p_thread),
    'question', (
      select m.item
      from public.chat_messages as m
      join public.chat_runs as r on r.id = p_run_id
      where m.thread_id = r.thread_id and m.thread_seq = r.question_seq
    ),
    'removed_item_ids', (
      select chatkit_private.removed_item_ids(r) from public.chat_runs as r where r.id = p_run_id
    ),
    -- The cards of held calls stay when an answer is replaced.
    'kept_items', (
      select coalesce(jsonb_agg(m.item order by m.thread_seq), '[]')
      from public.chat_messages as m
      join public.chat_runs as r on r.id = p_run_id
      where m.thread_id = r.thread_id and m.thread_seq > r.question_seq and m.hidden_at is null
    ),
    'user', (
      select u.chatkit_user
      from public.chatkit_users as u
      where u.org_id = p_session.org_id and u.user_id = p_session.user_id
    ),
    'history', chatkit_private.model_history(
      p_thread.id, least(v_settings.max_input_tokens::bigint * 8, 4194304)
    ),
    'last_input', (
      -- Of the latest runs, since a model may fail, or not count, in all of them.
      select jsonb_build_object('bytes', r.input_bytes, 'tokens', r.input_tokens)
      from (
        select n.started_at, n.input_bytes, n.input_tokens
        from public.chat_runs as n
        where n.thread_id = p_thread.id
        order by n.started_at desc
        limit 20
      ) as r
      where r.input_bytes is not null and r.input_tokens is not null
      order by r.started_at desc
      limit 1
    )
  ) || chatkit_private.model_setup(p_session);
end
$$;

-- Begins an answer, as the comment on public.begin_chat_run describes.
create or replace function chatkit_private.begin_chat_run(
  p_session_id uuid,
  p_secret_hash text,
  p_run_id uuid,
  p_request_key text,
  p_request_hash text,
  p_key_is_explicit boolean,
  p_thread_id text,
  p_is_new_thread boolean,
  p_title text,
  p_items jsonb,
  p_retry_after_item_id text,
  p_draft jsonb,
  p_lease_seconds integer,
  p_continued_item_id text,
  p_client_tool_output jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_begun record;
  v_run public.chat_runs;
  v_thread public.chat_threads;
  v_is_new boolean;
  v_question record;
  v_limit jsonb;
  v_response jsonb;
  v_constraint text;
  v_column text;
begin
  v_session := chatkit_private.lock_chat_request(
    p_session_id, p_request_key, p_request_hash, p_key_is_explicit, p_thread_id
  );
  v_begun := chatkit_private.find_begun_run(
    v_session, p_run_id, p_request_key, p_request_hash, p_key_is_explicit
  );
  v_run := v_begun.run;
  v_thread := v_begun.thread;
  if v_begun.is_repeat then
    return chatkit_private.repeat_response(v_run, v_thread);
  end if;
  v_is_new := v_run.id is distinct from p_run_id;
  if v_run.id is null and p_is_new_thread then
    insert into public.chat_threads as t (id, org_id, user_id, agent_id, title)
    values (p_thread_id, v_session.org_id, v_session.user_id, v_session.agent_id, p_title)
    returning * into v_thread;
  elsif v_run.id is null then
    v_thread := chatkit_private.lock_thread(v_session, p_thread_id);
    if p_continued_item_id is not null
       and not chatkit_private.offers_continuation(p_thread_id, p_continued_item_id) then
      return jsonb_build_object('outcome', 'not_offered');
    end if;
  end if;

  if p_client_tool_output is not null and v_run.id is null then
    v_run := chatkit_private.run_after_client_call(v_thread.id);
    if v_run.id is not null then
      return chatkit_private.repeat_response(v_run, v_thread);
    end if;
  end if;

  if chatkit_private.stop_running_answer(v_thread.id, p_run_id) then
    return jsonb_build_object('outcome', 'busy');
  end if;

  if v_is_new then
    v_question := chatkit_private.store_question(
      v_session, v_thread.id, v_run, p_items, p_retry_after_item_id, p_client_tool_output
    );
    insert into public.chat_runs (
      id, org_id, user_id, session_id, thread_id, agent_id, secret_hash, request_key, request_hash,
      question_seq, preceding_item_seq, draft, removed_since, lease_until
    ) values (
      p_run_id, v_session.org_id, v_session.user_id, v_session.id, v_thread.id,
      v_session.agent_id, p_secret_hash, p_request_key, p_request_hash,
      v_question.question_seq,
      (select t.last_item_seq from public.chat_threads as t where t.id = v_thread.id), p_draft,
      v_question.removed_since, clock_timestamp() + make_interval(secs => p_lease_seconds)
    );
    v_limit := v_question.turn_limit;
    perform chatkit_private.link_thread(v_session, v_thread.id);
    perform chatkit_private.touch_session(v_session.id);
  end if;
  v_response := chatkit_private.begun_response(v_session, p_run_id, v_thread)
    || jsonb_build_object('limit', v_limit);
  -- Last, because it locks rows that all users of the organisation share.
  if v_is_new then
    perform chatkit_private.admit_run(p_run_id, v_run);
  end if;
  return v_response;
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_item',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

create or replace function public.begin_chat_run(
  p_secret_hash text,
  p_run_id uuid,
  p_request_key text,
  p_request_hash text,
  p_key_is_explicit boolean,
  p_thread_id text,
  p_is_new_thread boolean,
  p_title text default null,
  p_items jsonb default '[]',
  p_retry_after_item_id text default null,
  p_draft jsonb default '[]',
  p_lease_seconds integer default 15,
  p_continued_item_id text default null,
  p_client_tool_output jsonb default null
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.begin_chat_run(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_secret_hash, p_run_id,
    p_request_key, p_request_hash, p_key_is_explicit, p_thread_id, p_is_new_thread, p_title,
    p_items, p_retry_after_item_id, p_draft, p_lease_seconds, p_continued_item_id,
    p_client_tool_output
  )
$$;

comment on function public.begin_chat_run is
  'Stores a question (p_items) in a thread, charges it, and begins an answer: the run p_run_id, '
  'with a lease. `outcome` is `begun` (with the model''s settings, the tools that it may call, the '
  'agents that it may hand over to, and the history that it may receive), `busy` (another answer '
  'is stopping; try again), or `repeated` (the run of an earlier request with the same key). A '
  'repeat of a run that broke off begins a new run for the same question. With '
  'p_client_tool_output ({result}) the question is the thread''s pending client tool call, which '
  'gets this output; without a pending call, the output has been taken or is too late, and the '
  'thread''s latest run is repeated. With p_retry_after_item_id the answers after that message are '
  'replaced. `removed_item_ids` are the items that the run replaces, and those that the runs before '
  'it replaced since the last new question: a client may have missed their streams. A turn is '
  'charged once, also if it is taken up again, and a run reserves tokens. It is refused if a limit '
  'of the user or of the organisation is reached. With p_continued_item_id, the answer goes on '
  'after the call of that card. `outcome` is `not_offered` if the call has not ended, or the '
  'conversation has gone on.';
