-- Continuing, finishing and following an answer of the self-hosted chat.

-- Returns a run, locked, to the process that began it.
create or replace function chatkit_private.lock_run(p_secret_hash text, p_run_id uuid)
returns public.chat_runs
language plpgsql
set search_path = ''
as $$
declare
  v_run public.chat_runs;
begin
  select * into v_run
  from public.chat_runs as r
  where r.id = p_run_id and r.secret_hash = p_secret_hash;
  if not found then
    raise sqlstate 'PT404' using message = 'run_not_found';
  end if;
  perform chatkit_private.lock_session(v_run.org_id, v_run.session_id);
  perform from public.chat_threads as t where t.id = v_run.thread_id for update;
  select * into v_run from public.chat_runs as r where r.id = p_run_id for update;
  return v_run;
end
$$;

-- Stores what a run has sent since its last call. A repeated call stores it once.
create or replace function chatkit_private.append_to_run(
  p_run public.chat_runs,
  p_chunk_seq integer,
  p_events jsonb,
  p_items jsonb
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_item jsonb;
begin
  if p_chunk_seq <= p_run.last_chunk_seq then
    return;
  end if;
  select * into strict v_session from public.chat_sessions as s where s.id = p_run.session_id;
  for v_item in
    select i.value
    from jsonb_array_elements(p_items) with ordinality as i (value, position)
    order by i.position
  loop
    perform chatkit_private.append_item(v_session, p_run.thread_id, v_item);
  end loop;
  insert into public.chat_run_chunks (org_id, user_id, session_id, run_id, seq, events)
  values (p_run.org_id, p_run.user_id, p_run.session_id, p_run.id, p_chunk_seq, p_events);
end
$$;

create or replace function public.append_chat_run(
  p_secret_hash text,
  p_run_id uuid,
  p_chunk_seq integer,
  p_events jsonb,
  p_items jsonb default '[]',
  p_draft jsonb default '[]',
  p_lease_seconds integer default 15,
  p_counted_tokens bigint default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_run public.chat_runs := chatkit_private.lock_run(p_secret_hash, p_run_id);
  v_has_tokens boolean := true;
begin
  if v_run.status <> 'running' then
    return jsonb_build_object('running', false, 'stop', true);
  end if;
  if p_chunk_seq < v_run.last_chunk_seq then
    -- A later call has overtaken this one: the draft and the tokens are older than those stored.
    return jsonb_build_object(
      'running', true, 'stop', v_run.stop_requested_at is not null, 'has_tokens', true
    );
  end if;
  perform chatkit_private.append_to_run(v_run, p_chunk_seq, p_events, p_items);
  -- A long answer is activity of its session. Each touch updates the session's indexes, so it is
  -- not one per call.
  perform chatkit_private.touch_session(s.id)
  from public.chat_sessions as s
  where s.id = v_run.session_id and s.last_activity_at < clock_timestamp() - interval '10 seconds';
  update public.chat_runs as r
  set last_chunk_seq = p_chunk_seq,
      draft = p_draft,
      lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.id = p_run_id;
  if p_counted_tokens is not null then
    v_has_tokens := chatkit_private.charge_responses(v_run, p_counted_tokens);
  end if;
  return jsonb_build_object(
    'running', true, 'stop', v_run.stop_requested_at is not null, 'has_tokens', v_has_tokens
  );
end
$$;

comment on function public.append_chat_run is
  'Stores what a running answer has sent since the last call: the events, the items that are '
  'complete, and as p_draft the items that the thread gets if the process stops now. Renews the '
  'lease. `stop` reports whether the answer must stop, and `running` is false if the run has '
  'ended, because its lease had expired. A repeat stores nothing twice, and nothing that is older '
  'than what is stored. With p_counted_tokens, the run is charged for the '
  'responses that the model has counted, and `has_tokens` reports whether there are tokens left for '
  'another one.';

create or replace function public.finish_chat_run(
  p_secret_hash text,
  p_run_id uuid,
  p_status text,
  p_chunk_seq integer,
  p_events jsonb,
  p_items jsonb default '[]',
  p_input_bytes bigint default null,
  p_input_tokens bigint default null,
  p_output_tokens bigint default null,
  p_error_code text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_run public.chat_runs := chatkit_private.lock_run(p_secret_hash, p_run_id);
begin
  if v_run.status <> 'running' then
    return jsonb_build_object('finished', v_run.status = p_status);
  end if;
  perform chatkit_private.append_to_run(v_run, p_chunk_seq, p_events, p_items);
  update public.chat_runs as r
  set status = p_status,
      last_chunk_seq = greatest(r.last_chunk_seq, p_chunk_seq),
      draft = '[]',
      finished_at = clock_timestamp(),
      last_item_seq = (
        select t.last_item_seq from public.chat_threads as t where t.id = r.thread_id
      ),
      input_bytes = p_input_bytes,
      input_tokens = p_input_tokens,
      output_tokens = p_output_tokens,
      error_code = p_error_code
  where r.id = p_run_id;
  perform chatkit_private.settle_charge(v_run, p_status, p_input_tokens + p_output_tokens);
  return jsonb_build_object('finished', true);
end
$$;

comment on function public.finish_chat_run is
  'Ends a running answer and stores its last items and the tokens that it used. `finished` is '
  'false if the run had ended otherwise, because its lease had expired; nothing is stored then.';

-- Returns up to 100 chunks of a run, and but for the first one up to 1 MiB.
create or replace function chatkit_private.follow_chat_run(
  p_session_id uuid,
  p_run_id uuid,
  p_after_chunk_seq integer
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_run public.chat_runs;
  v_chunk public.chat_run_chunks;
  v_events jsonb[] := '{}';
  v_bytes bigint := 0;
  v_seq integer := p_after_chunk_seq;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = p_session_id;
  select r.* into v_run
  from public.chat_runs as r
  join public.chat_threads as t on t.id = r.thread_id
  where r.id = p_run_id
    and r.org_id = v_session.org_id
    and r.user_id = v_session.user_id
    and t.agent_id = v_session.agent_id;
  if not found then
    raise sqlstate 'PT404' using message = 'run_not_found';
  end if;
  perform chatkit_private.settle_thread(v_session, v_run.thread_id);
  -- The run is read before its chunks: a run that has ended gets no further ones.
  select * into v_run from public.chat_runs as r where r.id = p_run_id;
  for v_chunk in
    select h.*
    from public.chat_run_chunks as h
    where h.session_id = v_run.session_id and h.run_id = p_run_id and h.seq > p_after_chunk_seq
    order by h.seq
    limit 100
  loop
    v_bytes := v_bytes + octet_length(v_chunk.events::text);
    exit when v_bytes > 1048576 and cardinality(v_events) > 0;
    v_events := v_events || v_chunk.events;
    v_seq := v_chunk.seq;
  end loop;
  return jsonb_build_object(
    'status', v_run.status,
    'chunk_seq', v_seq,
    'last_chunk_seq', v_run.last_chunk_seq,
    'events', (
      select coalesce(jsonb_agg(e.value order by c.place, e.place), '[]')
      from unnest(v_events) with ordinality as c (events, place)
      cross join lateral jsonb_array_elements(c.events) with ordinality as e (value, place)
    )
  );
end
$$;

create or replace function public.follow_chat_run(
  p_secret_hash text,
  p_run_id uuid,
  p_after_chunk_seq integer
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.follow_chat_run(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_run_id, p_after_chunk_seq
  )
$$;

comment on function public.follow_chat_run is
  'Returns what a run of the user in a thread of the session''s agent has streamed after a chunk: '
  '{status, chunk_seq, last_chunk_seq, events}. More follows while the run is running or chunk_seq '
  'is below last_chunk_seq.';
