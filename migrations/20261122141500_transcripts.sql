-- What people and ChatKit's agent said in a session's threads, copied into its transcript: when the session ends, and on demand.

-- OpenAI's id of the item that a message was copied from; null for what was said here. An item is copied once, however often and
-- by however many.
alter table public.chat_messages add column if not exists chatkit_item_id text;
alter table public.chat_messages drop constraint if exists chat_messages_chatkit_item_id_length;
alter table public.chat_messages
  add constraint chat_messages_chatkit_item_id_length check (char_length(chatkit_item_id) between 1 and 512);
-- The largest message fits into an answer by itself: as JSON, and with every character escaped once more by Lambda.
alter table public.chat_messages drop constraint if exists chat_messages_size;
alter table public.chat_messages add constraint chat_messages_size
  check (octet_length(to_jsonb(content)::text) + octet_length(attachments::text) <= 2097152);
-- A copy says when the item was made.
alter table public.chat_messages drop constraint if exists chat_messages_created_at_finite;
alter table public.chat_messages add constraint chat_messages_created_at_finite check (isfinite(created_at));
create unique index if not exists chat_messages_by_chatkit_item
  on public.chat_messages (session_id, chatkit_item_id) where chatkit_item_id is not null;
-- No statistics of what people and agents write: see agents.
alter table public.chat_messages alter column chatkit_item_id set statistics 0;

-- Sessions whose threads are still to be copied: those that have ended, and those of which somebody wants it now.
create table if not exists public.transcripts_due (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  due_at timestamptz not null default clock_timestamp(),
  -- How often it was claimed or asked for again: whose word counts.
  claims integer not null default 0,
  -- Claims in a row of which nothing came.
  attempts integer not null default 0,
  -- Where it goes on: this thread, after this item; null, from the beginning.
  thread_id text,
  after_item_id text,
  constraint transcripts_due_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

create index if not exists transcripts_due_by_time
  on public.transcripts_due (due_at) include (org_id, user_id, session_id);

alter table public.transcripts_due enable row level security;
revoke all on table public.transcripts_due from public, anon, authenticated, service_role;

-- A session that ends with threads has a transcript to be fetched.
create or replace function private.plan_transcript() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  insert into public.transcripts_due as t (org_id, user_id, session_id)
  select new.org_id, new.user_id, new.id
  where exists (select from public.chatkit_threads as h where h.session_id = new.id)
  -- What was wanted before may be under way: that one's word is then of an earlier attempt.
  on conflict (session_id) do update
  set due_at = clock_timestamp(), claims = t.claims + 1, attempts = 0, thread_id = null, after_item_id = null;
  return null;
end
$$;

create or replace trigger plan_transcript
  after update on public.chat_sessions
  for each row when (old.status <> new.status)
  execute function private.plan_transcript();

-- Copies items of one of the session's threads, in the order given; one that is there already is passed over. An old item is no
-- sign of life, so activity stays what it was.
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
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
  v_seq bigint := v_session.last_message_seq;
  v_given jsonb;
  v_constraint text;
  v_column text;
begin
  if not exists (
    select from public.chatkit_threads as t where t.session_id = p_session_id and t.thread_id = p_thread_id
  ) then
    raise sqlstate 'PT404' using message = 'thread_not_found';
  end if;
  for v_given in
    select i.value from jsonb_array_elements(p_items) with ordinality as i (value, position) order by i.position
  loop
    insert into public.chat_messages (
      org_id, user_id, session_id, id, seq, role, content, attachments, created_at, chatkit_item_id
    ) values (
      v_session.org_id, v_session.user_id, p_session_id, private.new_id(), v_seq + 1, v_given ->> 'role',
      v_given ->> 'content', coalesce(nullif(v_given -> 'attachments', 'null'), '[]'),
      coalesce((v_given ->> 'created_at')::timestamptz, clock_timestamp()),
      -- Without its id nobody would know it again.
      coalesce(v_given ->> 'id', '')
    )
    on conflict (session_id, chatkit_item_id) where chatkit_item_id is not null do nothing;
    if found then
      v_seq := v_seq + 1;
    end if;
  end loop;
  update public.chat_sessions as s set last_message_seq = v_seq where s.id = p_session_id and s.last_message_seq <> v_seq;
  return jsonb_build_object('added', v_seq - v_session.last_message_seq);
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_item',
      detail = coalesce(nullif(v_constraint, ''), nullif(v_column, ''), sqlstate);
end
$$;

-- Sessions whose threads are to be copied, leased to the caller; these again should the caller die. Every user who has some gets the
-- same share of p_limit, one session each first and the longest waiting first. Of a session's threads it tells up to 25, from the
-- one at which it stopped on, and `next_thread_id` is the one after those. The answer has at most 1.5 MiB; what does not fit stays
-- due.
create or replace function public.claim_transcripts(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 500);
  v_prefix integer;
  v_due integer;
  v_users integer;
  v_transcripts jsonb;
begin
  -- Planned for the limit at hand: for an unknown one a scan of the whole table may look cheaper.
  set local plan_cache_mode = force_custom_plan;

  -- Further on if all of the first are those of few users.
  foreach v_prefix in array array[10 * v_limit, 40000] loop
    select coalesce(sum(u.due), 0), count(*)
    into v_due, v_users
    from (
      select count(*) as due
      from (
        select t.org_id, t.user_id from public.transcripts_due as t where t.due_at <= v_now order by t.due_at limit v_prefix
      ) as d
      group by d.org_id, d.user_id
    ) as u;
    exit when v_due < v_prefix or v_users >= v_limit;
  end loop;

  with due as (
    select t.session_id, t.org_id, t.user_id, t.due_at
    from public.transcripts_due as t
    where t.due_at <= v_now
    order by t.due_at
    limit v_prefix
  ), ranked as (
    select d.session_id, d.due_at, row_number() over (partition by d.org_id, d.user_id order by d.due_at) as turn
    from due as d
  ), chosen as (
    select r.session_id, r.due_at, r.turn
    from ranked as r
    where r.turn <= ceil(v_limit::numeric / greatest(v_users, 1))
    order by r.turn, r.due_at
    limit v_limit
  ), free as (
    select t.org_id, t.user_id, t.session_id, t.claims, t.thread_id, t.after_item_id, c.due_at, c.turn
    from chosen as c
    join public.transcripts_due as t on t.session_id = c.session_id
    where t.due_at <= v_now
    for update of t skip locked
  ), described as (
    select l.session_id, l.due_at, l.turn, jsonb_build_object(
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
    select d.*, sum(octet_length(d.transcript::text)) over (order by d.turn, d.due_at, d.session_id) as bytes
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
  select jsonb_agg(m.transcript order by m.turn, m.due_at, m.session_id)
  into v_transcripts
  from leased as l
  join measured as m on m.session_id = l.session_id;
  return jsonb_build_object('transcripts', coalesce(v_transcripts, '[]'));
end
$$;

-- Has the threads of a session copied with the next round, whether or not it has ended. `threads`: how many there are.
create or replace function public.request_transcript(p_org_id uuid, p_session_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session(p_org_id, p_session_id);
  v_threads integer;
begin
  select count(*) into v_threads from public.chatkit_threads as t where t.session_id = p_session_id;
  if v_threads > 0 then
    insert into public.transcripts_due as t (org_id, user_id, session_id)
    values (v_session.org_id, v_session.user_id, v_session.id)
    on conflict (session_id) do update
    set due_at = clock_timestamp(), claims = t.claims + 1, attempts = 0, thread_id = null, after_item_id = null;
  end if;
  return jsonb_build_object('threads', v_threads);
end
$$;

-- All is copied; or not yet. With p_retry_after_seconds it failed: later and later, and after twenty times not any more. With
-- p_thread_id alone the session's share of a round is used up, which is no failure: it goes on in a minute. In both cases
-- p_thread_id and p_after_item_id say where it goes on. `due` says whether it comes again. The word of a claim before the one
-- of now (p_attempt, as it was claimed) counts for nothing.
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
  perform private.lock_session(p_org_id, p_session_id);
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
      after_item_id = case when p_thread_id is null then t.after_item_id else nullif(p_after_item_id, '') end
  where t.session_id = p_session_id and t.claims = coalesce(p_attempt, t.claims);
  return jsonb_build_object('due', found);
end
$$;

-- The sessions that ended before.
insert into public.transcripts_due (org_id, user_id, session_id)
select s.org_id, s.user_id, s.id
from public.chat_sessions as s
where s.status = 'ended'
  and exists (select from public.chatkit_threads as t where t.session_id = s.id)
on conflict (session_id) do nothing;

revoke all on function private.plan_transcript() from public, anon, authenticated, service_role;
revoke all on function public.record_thread_items(uuid, uuid, text, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.claim_transcripts(integer, integer) from public, anon, authenticated, service_role;
revoke all on function public.request_transcript(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.finish_transcript(uuid, uuid, integer, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function public.record_thread_items(uuid, uuid, text, jsonb) to service_role;
grant execute on function public.claim_transcripts(integer, integer) to service_role;
grant execute on function public.finish_transcript(uuid, uuid, integer, integer, text, text) to service_role;
grant execute on function public.request_transcript(uuid, uuid) to service_role;
