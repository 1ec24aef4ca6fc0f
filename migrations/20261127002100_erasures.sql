-- Erasures of users: requesting and claiming them. An erasure covers all data of a user in an
-- organisation, and the user's threads at OpenAI.

create table if not exists public.erasures (
  id uuid primary key,
  org_id uuid not null,
  -- The user whose data is erased. Without an account, the id cannot be linked to a person.
  user_id uuid not null,
  -- Who requested the erasure and why, as entered by the operator.
  requested_by text not null,
  reason text not null,
  started_at timestamptz not null default clock_timestamp(),
  -- While this time is in the future, a run is working on the erasure. After it, another run may
  -- resume.
  lease_until timestamptz not null,
  -- The ChatKit threads that were found, recorded before they are deleted at OpenAI. After the
  -- erasure only their number remains.
  thread_ids text[] not null default '{}',
  -- Numbers of erased rows and threads, by kind.
  counts jsonb not null default '{}',
  finished_at timestamptz,
  constraint erasures_requested_by_length check (char_length(requested_by) between 1 and 200),
  constraint erasures_reason_length check (char_length(reason) between 1 and 2000),
  constraint erasures_counts_object check (jsonb_typeof(counts) = 'object'),
  constraint erasures_thread_ids_while_running check (finished_at is null or thread_ids = '{}')
);

comment on table public.erasures is
  'Erasures of users'' data, running and finished. A row is never deleted, and does not change '
  'after the erasure has finished: it is the record that the erasure was done.';

-- One running erasure for a user. reject_during_erasure looks it up.
create unique index if not exists erasures_running
  on public.erasures (org_id, user_id) where finished_at is null;

-- Earlier erasures of a user.
create index if not exists erasures_by_user on public.erasures (org_id, user_id, started_at desc);

-- Running erasures whose lease has expired.
create index if not exists erasures_due on public.erasures (lease_until) where finished_at is null;

alter table public.erasures enable row level security;
revoke all on table public.erasures from public, anon, authenticated, service_role;

-- Rejects deletions, changes to the request, and changes to a finished erasure.
create or replace function chatkit_private.prevent_erasure_rewrite() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' or old.finished_at is not null
     or (new.id, new.org_id, new.user_id, new.requested_by, new.reason, new.started_at)
        is distinct from
        (old.id, old.org_id, old.user_id, old.requested_by, old.reason, old.started_at) then
    raise check_violation using message = 'an erasure stays on record as it was ordered and done';
  end if;
  return new;
end
$$;

create or replace trigger prevent_erasure_rewrite
  before update or delete on public.erasures
  for each row execute function chatkit_private.prevent_erasure_rewrite();

-- Returns the key of the advisory lock of a user. A transaction that begins something for the user
-- holds it shared; one that begins or finishes the user's erasure holds it exclusively. It is the
-- first lock that a transaction takes (see "Lock order" in schema.sql), so a transaction that
-- waits for it holds no other.
create or replace function chatkit_private.erasure_lock_key(p_org_id uuid, p_user_id uuid)
returns bigint
language sql immutable parallel safe
set search_path = ''
as $$
  select hashtextextended(p_org_id::text || p_user_id::text, 151000)
$$;

-- Rejects new data of a user whose erasure is running. The lock decides which comes first: an
-- erasure finds the data that was inserted before it, and an insert after that finds the erasure.
-- All other data of a user belongs to a session and is erased with it. New idempotency keys are
-- accepted; finish_erasure waits for a key that is being claimed and deletes those that are left,
-- because not every key has a session.
create or replace function chatkit_private.reject_during_erasure() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(chatkit_private.erasure_lock_key(new.org_id, new.user_id));
  if tg_table_name <> 'idempotency_keys' and exists (
    select from public.erasures as e
    where e.org_id = new.org_id and e.user_id = new.user_id and e.finished_at is null
  ) then
    raise sqlstate 'PT409' using message = 'erasure_running';
  end if;
  return new;
end
$$;

create or replace trigger reject_during_erasure
  before insert on public.chatkit_users
  for each row execute function chatkit_private.reject_during_erasure();

create or replace trigger reject_during_erasure
  before insert on public.chat_sessions
  for each row execute function chatkit_private.reject_during_erasure();

create or replace trigger reject_during_erasure
  before insert on public.idempotency_keys
  for each row execute function chatkit_private.reject_during_erasure();

-- Returns an erasure as the RPCs return it. `chatkit_user` is the user's name at ChatKit, null if
-- there never was one or the erasure has finished. `at_chatkit` reports whether OpenAI may have
-- data of the user.
create or replace function chatkit_private.erasure_response(p_erasure public.erasures) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('erasure', to_jsonb(p_erasure) - '{lease_until,thread_ids}'::text[])
    || jsonb_build_object(
      'chatkit_user', (
        select u.chatkit_user
        from public.chatkit_users as u
        where u.org_id = p_erasure.org_id
          and u.user_id = p_erasure.user_id
          and p_erasure.finished_at is null
      ),
      'at_chatkit', p_erasure.finished_at is null and (
        p_erasure.thread_ids <> '{}'
        or exists (
          select from public.chat_sessions as s
          join public.chatkit_sessions as c on c.session_id = s.id
          where s.org_id = p_erasure.org_id
            and s.user_id = p_erasure.user_id
            and c.provider = 'openai_hosted'
        )
      )
    )
$$;

create or replace function public.begin_erasure(
  p_org_id uuid,
  p_user_id uuid,
  p_requested_by text,
  p_reason text,
  p_lease_seconds integer default 300
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_lease_until timestamptz :=
    clock_timestamp() + make_interval(secs => coalesce(p_lease_seconds, 300));
  v_erasure public.erasures;
  v_constraint text;
  v_column text;
begin
  -- Waits for transactions that have begun something for the user. Later ones find the row that is
  -- written below.
  perform pg_advisory_xact_lock(chatkit_private.erasure_lock_key(p_org_id, p_user_id));
  update public.erasures as e
  set lease_until = v_lease_until
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  returning * into v_erasure;

  if not found
     and not exists (
       select from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id
     )
     and not exists (
       select from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id
     ) then
    select * into v_erasure
    from public.erasures as e
    where e.org_id = p_org_id and e.user_id = p_user_id
    order by e.started_at desc
    limit 1;
    if not found and not exists (
      select from auth.users as u
      where u.id = p_user_id and chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
    ) then
      raise sqlstate 'PT404' using message = 'user_not_found';
    end if;
  end if;

  if v_erasure.id is null then
    insert into public.erasures as e (id, org_id, user_id, requested_by, reason, lease_until)
    values (chatkit_private.new_id(), p_org_id, p_user_id, p_requested_by, p_reason, v_lease_until)
    returning * into v_erasure;
  end if;
  return chatkit_private.erasure_response(v_erasure);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_erasure',
      detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.begin_erasure is
  'Begins to erase a user''s data, or resumes the running erasure; it may be called any number '
  'of times. If nothing was stored since an earlier erasure, returns that one. Fails with '
  'user_not_found if there is no data, no earlier erasure and no account in the organisation, '
  'because the id is then probably wrong.';

create or replace function public.claim_erasures(
  p_limit integer,
  p_lease_seconds integer
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_erasures jsonb;
begin
  with due as (
    select e.id, e.lease_until
    from public.erasures as e
    where e.finished_at is null and e.lease_until <= v_now
    order by e.lease_until
    -- A user has one running erasure, with at most 2,200 characters of the operator's text, so the
    -- response stays far below 4 MiB.
    limit least(greatest(coalesce(p_limit, 1), 1), 100)
    for update skip locked
  ), leased as (
    update public.erasures as e
    set lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 300))
    from due
    where e.id = due.id
    returning e as erasure, due.lease_until as waited_since
  )
  select jsonb_agg(
    chatkit_private.erasure_response(l.erasure) order by l.waited_since, (l.erasure).id
  )
  into v_erasures
  from leased as l;
  return jsonb_build_object('erasures', coalesce(v_erasures, '[]'));
end
$$;

comment on function public.claim_erasures is
  'Returns running erasures whose lease has expired, those that have waited longest first, and '
  'leases them to the caller. An erasure that is not finished is returned again after its lease.';
