-- Requests for an answer of the self-hosted chat that come again: the run that the first one began.

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

-- Locks the key of a request, its session and the expired answer of its thread, in this order, and
-- returns the session. Rejects a session that has ended or has another provider. A key is the
-- user's, so the session's lock does not suffice: repeats in two sessions begin one run.
create or replace function chatkit_private.lock_chat_request(
  p_session_id uuid,
  p_request_key text,
  p_request_hash text,
  p_key_is_explicit boolean,
  p_thread_id text
) returns public.chat_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_run public.chat_runs;
begin
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
  return v_session;
end
$$;

-- Returns {run, thread, is_repeat}: the run that this request or an earlier one with its key began,
-- its thread, locked, and whether the response is that run. Otherwise the request begins the run
-- again, because its process has lost the first response, or takes up the answer that broke off.
-- `run` is null for a new question. The caller has locked the request.
create or replace function chatkit_private.find_begun_run(
  p_session public.chat_sessions,
  p_run_id uuid,
  p_request_key text,
  p_request_hash text,
  p_key_is_explicit boolean,
  out run public.chat_runs,
  out thread public.chat_threads,
  out is_repeat boolean
)
language plpgsql
set search_path = ''
as $$
declare
  v_is_new boolean;
begin
  is_repeat := false;
  run := chatkit_private.repeated_run(
    p_session, p_request_key, p_request_hash, p_key_is_explicit
  );
  -- Otherwise the caller has lost the first response, and may have lost the run's lease too.
  v_is_new := not exists (select from public.chat_runs as r where r.id = p_run_id);
  if run.id is null and not v_is_new then
    select * into run from public.chat_runs as r where r.id = p_run_id;
  end if;
  if run.id is null then
    return;
  end if;
  thread := chatkit_private.lock_thread(p_session, run.thread_id);
  if run.id = p_run_id and run.status = 'running' then
    return;
  end if;
  if not v_is_new or run.status not in ('failed', 'interrupted') then
    is_repeat := true;
  -- A broken answer is not taken up after the conversation has continued. Without a key, the same
  -- words are a new message then.
  elsif not chatkit_private.is_latest_run(run) then
    is_repeat := p_key_is_explicit;
    if not is_repeat then
      run := null;
    end if;
  end if;
end
$$;
