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

-- Returns the run that an earlier request under the same key began, if this request repeats it, and
-- null if it is a new request. A key that the client chose is valid for a day and for one request
-- only. A hash of the request recognises a repeat for 30 seconds, until an answer ends well.
create or replace function chatkit_private.repeated_run(
  p_session public.chat_sessions,
  p_request_key text,
  p_request_hash text,
  p_key_is_explicit boolean
) returns public.chat_runs
language plpgsql stable
set search_path = ''
as $$
declare
  v_run public.chat_runs;
begin
  select * into v_run
  from public.chat_runs as r
  where r.org_id = p_session.org_id
    and r.user_id = p_session.user_id
    and r.request_key = p_request_key
    and r.started_at > clock_timestamp() - interval '1 day'
  order by r.started_at desc
  limit 1;
  if not found then
    return null;
  end if;
  if p_key_is_explicit then
    if v_run.request_hash <> p_request_hash then
      raise sqlstate 'PT422' using message = 'idempotency_key_reused';
    end if;
    return v_run;
  end if;
  if v_run.started_at > clock_timestamp() - interval '30 seconds'
     and v_run.status in ('running', 'failed', 'interrupted') then
    return v_run;
  end if;
  return null;
end
$$;

-- Returns the ids of the items that a run replaces, those of the latest removal first.
create or replace function chatkit_private.removed_item_ids(p_run public.chat_runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(m.chatkit_item_id order by m.hidden_at desc, m.thread_seq), '[]')
  from public.chat_messages as m
  where m.thread_id = p_run.thread_id
    and m.thread_seq > p_run.question_seq
    and m.hidden_at >= p_run.removed_since
$$;

-- Returns a run that exists, for a repeated request.
create or replace function chatkit_private.repeat_response(
  p_run public.chat_runs,
  p_thread public.chat_threads
) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'outcome', 'repeated',
    'run_id', p_run.id,
    'status', p_run.status,
    'thread', chatkit_private.thread_response(p_thread),
    'question', (
      select m.item
      from public.chat_messages as m
      where m.thread_id = p_run.thread_id
        and m.thread_seq = p_run.question_seq
        and m.hidden_at is null
    ),
    'removed_item_ids', chatkit_private.removed_item_ids(p_run),
    -- A finished run is repeated from its items.
    'items', (
      select coalesce(jsonb_agg(m.item order by m.thread_seq), '[]')
      from public.chat_messages as m
      where m.thread_id = p_run.thread_id
        and m.thread_seq > greatest(p_run.preceding_item_seq, p_run.question_seq)
        and m.thread_seq <= p_run.last_item_seq
        and m.hidden_at is null
    )
  )
$$;

-- Returns whether no other run of the thread began after this one.
create or replace function chatkit_private.is_latest_run(p_run public.chat_runs) returns boolean
language sql stable
set search_path = ''
as $$
  select not exists (
    select from public.chat_runs as r
    where r.thread_id = p_run.thread_id and r.started_at > p_run.started_at
  )
$$;

-- Returns the key of the advisory lock that orders a user's requests under the same key.
create or replace function chatkit_private.request_lock_key(
  p_org_id uuid,
  p_user_id uuid,
  p_request_key text
) returns bigint
language sql immutable parallel safe
set search_path = ''
return hashtextextended(p_org_id::text || p_user_id || p_request_key, 0);

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
  v_settings public.session_model_settings;
  v_thread public.chat_threads;
  v_run public.chat_runs;
  v_is_new boolean;
  v_limit jsonb;
  v_response jsonb;
  v_item jsonb;
  v_question_seq bigint;
  v_removed_since timestamptz;
  v_constraint text;
  v_column text;
begin
  -- A key is the user's, so the session's lock does not suffice: repeats in two sessions begin one
  -- run.
  perform pg_advisory_xact_lock(
    chatkit_private.request_lock_key(s.org_id, s.user_id, p_request_key)
  )
  from public.chat_sessions as s
  where s.id = p_session_id;
  select * into strict v_session from public.chat_sessions as s where s.id = p_session_id;
  v_run := chatkit_private.repeated_run(
    v_session, p_request_key, p_request_hash, p_key_is_explicit
  );
  -- A repeat of the request that created a thread comes with another new id for it.
  perform chatkit_private.settle_thread(
    v_session, coalesce(v_run.thread_id, p_thread_id), p_lock_session => true
  );
  select * into strict v_session from public.chat_sessions as s where s.id = p_session_id;
  if v_session.status <> 'active' or v_session.provider <> 'self_hosted' then
    raise sqlstate 'PT401' using message = 'client_secret_rejected';
  end if;

  -- The run may have ended since.
  v_run := chatkit_private.repeated_run(
    v_session, p_request_key, p_request_hash, p_key_is_explicit
  );
  -- Otherwise the caller has lost the first response, and may have lost the run's lease too.
  v_is_new := not exists (select from public.chat_runs as r where r.id = p_run_id);
  if v_run.id is null and not v_is_new then
    select * into v_run from public.chat_runs as r where r.id = p_run_id;
  end if;
  if v_run.id is not null then
    v_thread := chatkit_private.lock_thread(v_session, v_run.thread_id);
    if v_run.id <> p_run_id or v_run.status <> 'running' then
      if not v_is_new or v_run.status not in ('failed', 'interrupted') then
        return chatkit_private.repeat_response(v_run, v_thread);
      end if;
      -- A broken answer is not taken up after the conversation has continued. Without a key, the
      -- same words are a new message then.
      if not chatkit_private.is_latest_run(v_run) then
        if p_key_is_explicit then
          return chatkit_private.repeat_response(v_run, v_thread);
        end if;
        v_run := null;
      end if;
    end if;
  end if;
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

  -- One answer at a time. The one that is running stops within two seconds; then the caller tries
  -- again.
  update public.chat_runs as r
  set stop_requested_at = coalesce(r.stop_requested_at, clock_timestamp())
  where r.thread_id = v_thread.id and r.status = 'running' and r.id <> p_run_id;
  if found then
    return jsonb_build_object('outcome', 'busy');
  end if;

  select * into strict v_settings
  from public.session_model_settings as m
  where m.session_id = v_session.id;
  if v_is_new then
    v_removed_since := clock_timestamp();
    if v_run.id is null then
      v_limit := chatkit_private.consume_bucket(
        v_session.org_id, 'user', v_session.user_id, 'turn',
        (chatkit_private.effective_limits(v_session.org_id)).turns_per_minute_user, 1
      );
    end if;
    if v_run.id is not null then
      v_question_seq := v_run.question_seq;
      v_removed_since := v_run.removed_since;
      perform chatkit_private.hide_items(v_thread.id, v_question_seq, true);
    elsif p_retry_after_item_id is not null then
      select m.thread_seq into v_question_seq
      from public.chat_messages as m
      where m.thread_id = v_thread.id
        and m.chatkit_item_id = p_retry_after_item_id
        and m.kind = 'user_message'
        and m.hidden_at is null;
      if not found then
        raise sqlstate 'PT404' using message = 'item_not_found';
      end if;
      -- The client may have missed the stream of the thread's latest answer, and send the same
      -- request again.
      select coalesce(min(r.removed_since), v_removed_since) into v_removed_since
      from (
        select n.removed_since
        from public.chat_runs as n
        where n.thread_id = v_thread.id
        order by n.started_at desc
        limit 1
      ) as r;
      perform chatkit_private.hide_items(v_thread.id, v_question_seq, true);
    elsif p_client_tool_output is not null then
      v_question_seq := chatkit_private.complete_client_call(
        v_session, v_thread.id, p_client_tool_output -> 'result'
      );
    else
      perform chatkit_private.abandon_client_call(v_session, v_thread.id);
      for v_item in
        select i.value
        from jsonb_array_elements(p_items) with ordinality as i (value, position)
        order by i.position
      loop
        perform chatkit_private.append_item(v_session, v_thread.id, v_item);
      end loop;
      select t.last_item_seq into v_question_seq
      from public.chat_threads as t where t.id = v_thread.id;
    end if;
    insert into public.chat_runs (
      id, org_id, user_id, session_id, thread_id, agent_id, secret_hash, request_key, request_hash,
      question_seq, preceding_item_seq, draft, removed_since, lease_until
    ) values (
      p_run_id, v_session.org_id, v_session.user_id, v_session.id, v_thread.id,
      v_session.agent_id, p_secret_hash, p_request_key, p_request_hash, v_question_seq,
      (select t.last_item_seq from public.chat_threads as t where t.id = v_thread.id), p_draft,
      v_removed_since, clock_timestamp() + make_interval(secs => p_lease_seconds)
    );
    perform chatkit_private.link_thread(v_session, v_thread.id);
    perform chatkit_private.touch_session(v_session.id);
  end if;
  v_response := jsonb_build_object(
    'outcome', 'begun',
    'run_id', p_run_id,
    'thread', chatkit_private.thread_response(v_thread),
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
      where u.org_id = v_session.org_id and u.user_id = v_session.user_id
    ),
    'history', chatkit_private.model_history(
      v_thread.id, least(v_settings.max_input_tokens::bigint * 8, 4194304)
    ),
    'last_input', (
      -- Of the latest runs, since a model may fail, or not count, in all of them.
      select jsonb_build_object('bytes', r.input_bytes, 'tokens', r.input_tokens)
      from (
        select n.started_at, n.input_bytes, n.input_tokens
        from public.chat_runs as n
        where n.thread_id = v_thread.id
        order by n.started_at desc
        limit 20
      ) as r
      where r.input_bytes is not null and r.input_tokens is not null
      order by r.started_at desc
      limit 1
    ),
    'limit', v_limit
  ) || chatkit_private.model_setup(v_session);
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
