-- Transcripts: copying the messages of ChatKit threads after a session has ended.

create table if not exists public.transcripts_due (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  due_at timestamptz not null default clock_timestamp(),
  -- Number of claims and requests. Results are accepted only for the current number.
  claims integer not null default 0,
  -- Consecutive claims without progress.
  attempts integer not null default 0,
  -- The position at which copying continues: in this thread, after this item. Null at the
  -- beginning.
  thread_id text,
  after_item_id text,
  constraint transcripts_due_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

comment on table public.transcripts_due is
  'Sessions whose ChatKit threads still have to be copied: because the session has ended, or '
  'because a copy was requested.';

create index if not exists transcripts_due_by_time
  on public.transcripts_due (due_at) include (org_id, user_id, session_id);

alter table public.transcripts_due enable row level security;
revoke all on table public.transcripts_due from public, anon, authenticated, service_role;

-- Schedules the transcript of a session that ends and has threads.
create or replace function chatkit_private.enqueue_transcript() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  insert into public.transcripts_due as t (org_id, user_id, session_id)
  select new.org_id, new.user_id, new.id
  where exists (select from public.chatkit_threads as h where h.session_id = new.id)
  -- A copy that was requested earlier may be running. Raising `claims` makes its result outdated.
  on conflict (session_id) do update
  set due_at = clock_timestamp(), claims = t.claims + 1, attempts = 0,
      thread_id = null, after_item_id = null;
  return null;
end
$$;

create or replace trigger enqueue_transcript
  after update on public.chat_sessions
  for each row when (old.status <> new.status)
  execute function chatkit_private.enqueue_transcript();

create or replace function public.record_thread_items(
  p_org_id uuid,
  p_session_id uuid,
  p_thread_id text,
  p_items jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
  v_seq bigint := v_session.last_message_seq;
  v_given jsonb;
  v_constraint text;
  v_column text;
begin
  if not exists (
    select from public.chatkit_threads as t
    where t.session_id = p_session_id and t.thread_id = p_thread_id
  ) then
    raise sqlstate 'PT404' using message = 'thread_not_found';
  end if;
  for v_given in
    select i.value
    from jsonb_array_elements(p_items) with ordinality as i (value, position)
    order by i.position
  loop
    insert into public.chat_messages (
      org_id, user_id, session_id, id, seq, role, content, attachments, created_at, chatkit_item_id
    ) values (
      v_session.org_id, v_session.user_id, p_session_id, chatkit_private.new_id(), v_seq + 1,
      v_given ->> 'role',
      v_given ->> 'content', coalesce(nullif(v_given -> 'attachments', 'null'), '[]'),
      coalesce((v_given ->> 'created_at')::timestamptz, clock_timestamp()),
      -- Without an id a later copy would not recognise the item. An empty id violates a
      -- constraint.
      coalesce(v_given ->> 'id', '')
    )
    on conflict (session_id, chatkit_item_id) where chatkit_item_id is not null do nothing;
    if found then
      v_seq := v_seq + 1;
    end if;
  end loop;
  update public.chat_sessions as s
  set last_message_seq = v_seq
  where s.id = p_session_id and s.last_message_seq <> v_seq;
  return jsonb_build_object('added', v_seq - v_session.last_message_seq);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_item',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

comment on function public.record_thread_items is
  'Copies items of one of the session''s ChatKit threads into its messages, in the given order, '
  'and returns the number of new ones. Items that were copied before are ignored. The session''s '
  'last activity does not change. An item that violates a constraint fails with invalid_item, '
  'and then none is copied.';

create or replace function public.claim_transcripts(
  p_limit integer,
  p_lease_seconds integer
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_read integer;
  v_ids uuid[];
  v_owners text[];
  v_transcripts jsonb;
begin
  -- A generic plan may scan the whole table; the plan for the actual limit does not.
  set local plan_cache_mode = force_custom_plan;

  foreach v_read in array array[10 * v_limit, 40000] loop
    select array_agg(d.id order by d.due_at, d.id),
           array_agg(d.org_id::text || d.user_id order by d.due_at, d.id)
    into v_ids, v_owners
    from (
      select t.session_id as id, t.org_id, t.user_id, t.due_at
      from public.transcripts_due as t
      where t.due_at <= v_now
      order by t.due_at
      limit v_read
    ) as d;
    exit when chatkit_private.has_enough_owners(v_owners, v_read, v_limit);
  end loop;
  v_ids := chatkit_private.fair_share(v_ids, v_owners, v_limit);

  with free as (
    select t.org_id, t.user_id, t.session_id, t.claims, t.thread_id, t.after_item_id, c.turn
    from unnest(v_ids) with ordinality as c (id, turn)
    join public.transcripts_due as t on t.session_id = c.id
    where t.due_at <= v_now
    for update of t skip locked
  ), described as (
    select l.session_id, l.turn, jsonb_build_object(
        'org_id', l.org_id,
        'session_id', l.session_id,
        'user_id', l.user_id,
        'chatkit_user', u.chatkit_user,
        'attempt', l.claims + 1,
        'thread_ids', to_jsonb(h.thread_ids[1:25]),
        'after_item_id', l.after_item_id,
        'next_thread_id', h.thread_ids[26]
      ) as transcript
    from free as l
    join public.chatkit_users as u on u.org_id = l.org_id and u.user_id = l.user_id
    cross join lateral (
      select array(
        select h.thread_id
        from public.chatkit_threads as h
        where h.session_id = l.session_id
          and (
            l.thread_id is null
            or (h.linked_at, h.thread_id) >= (
              select k.linked_at, k.thread_id
              from public.chatkit_threads as k
              where k.session_id = l.session_id and k.thread_id = l.thread_id
            )
          )
        order by h.linked_at, h.thread_id
        limit 26
      ) as thread_ids
    ) as h
  ), measured as (
    select d.*, sum(octet_length(d.transcript::text)) over (order by d.turn) as bytes
    from described as d
  ), leased as (
    update public.transcripts_due as t
    set due_at = v_now + make_interval(secs => coalesce(p_lease_seconds, 60)),
        claims = t.claims + 1,
        attempts = t.attempts + 1
    from measured as m
    where t.session_id = m.session_id and m.bytes <= 1572864
    returning t.session_id
  )
  select jsonb_agg(m.transcript order by m.turn)
  into v_transcripts
  from leased as l
  join measured as m on m.session_id = l.session_id;
  return jsonb_build_object('transcripts', coalesce(v_transcripts, '[]'));
end
$$;

comment on function public.claim_transcripts is
  'Returns sessions whose threads have to be copied, and leases them to the caller. A session '
  'that is not finished is returned again after its lease. Every user gets the same share of '
  'p_limit, the sessions that have waited longest first, and the response has at most 1.5 MiB; '
  'what does not fit stays due. `thread_ids` lists up to 25 threads, beginning with the one to '
  'continue, and `next_thread_id` is the one after them.';

create or replace function public.request_transcript(p_org_id uuid, p_session_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := chatkit_private.lock_session(p_org_id, p_session_id);
  v_threads integer;
begin
  select count(*) into v_threads from public.chatkit_threads as t where t.session_id = p_session_id;
  if v_threads > 0 then
    insert into public.transcripts_due as t (org_id, user_id, session_id)
    values (v_session.org_id, v_session.user_id, v_session.id)
    on conflict (session_id) do update
    set due_at = clock_timestamp(), claims = t.claims + 1, attempts = 0,
        thread_id = null, after_item_id = null;
  end if;
  return jsonb_build_object('threads', v_threads);
end
$$;

comment on function public.request_transcript is
  'Schedules a copy of a session''s threads for the next maintenance run, whether or not the '
  'session has ended. Returns the number of its threads; without any, nothing is scheduled.';

create or replace function public.finish_transcript(
  p_org_id uuid,
  p_session_id uuid,
  p_retry_after_seconds integer default null,
  p_attempt integer default null,
  p_thread_id text default null,
  p_after_item_id text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform chatkit_private.lock_session(p_org_id, p_session_id);
  delete from public.transcripts_due as t
  where t.session_id = p_session_id
    and t.claims = coalesce(p_attempt, t.claims)
    and case when p_retry_after_seconds is null then p_thread_id is null else t.attempts >= 20 end;
  update public.transcripts_due as t
  set due_at = clock_timestamp() + make_interval(
        secs => case
          when p_retry_after_seconds is null then 60
          else greatest(p_retry_after_seconds, least(21600, power(2, t.attempts)))
        end
      ),
      attempts = case when p_retry_after_seconds is null then 0 else t.attempts end,
      thread_id = coalesce(p_thread_id, t.thread_id),
      after_item_id = case
        when p_thread_id is null then t.after_item_id
        else nullif(p_after_item_id, '')
      end
  where t.session_id = p_session_id and t.claims = coalesce(p_attempt, t.claims);
  return jsonb_build_object('due', found);
end
$$;

comment on function public.finish_transcript is
  'Finishes the claim of a transcript (p_attempt); an outdated claim changes nothing. Without '
  'p_retry_after_seconds and p_thread_id the transcript is complete. With p_retry_after_seconds '
  'the attempt failed: it is repeated with growing delays, and given up after 20 failures. With '
  'p_thread_id alone the run''s share of the session is used up, and copying continues in a '
  'minute; p_thread_id and p_after_item_id name the place. `due` reports whether the session '
  'will be claimed again.';
