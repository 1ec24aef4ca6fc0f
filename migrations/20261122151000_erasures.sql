-- Erasing a person: all that we keep of somebody in an organisation, and their threads at ChatKit. An operator orders it; this
-- table is the record of that, and stays. While an erasure runs its user begins nothing new, so that what is found is all
-- there is.

create table if not exists public.erasures (
  id uuid primary key,
  org_id uuid not null,
  -- Whose data; the id says nothing by itself once the account is gone.
  user_id uuid not null,
  -- Who ordered it and why, in the operator's words.
  requested_by text not null,
  reason text not null,
  started_at timestamptz not null default clock_timestamp(),
  -- Until when somebody is at it; then the next may go on.
  lease_until timestamptz not null,
  -- The threads that were found at ChatKit, written down before they are deleted there. Only their number outlives the erasure.
  thread_ids text[] not null default '{}',
  -- How much was erased, by kind.
  counts jsonb not null default '{}',
  finished_at timestamptz,
  constraint erasures_requested_by_length check (char_length(requested_by) between 1 and 200),
  constraint erasures_reason_length check (char_length(reason) between 1 and 2000),
  constraint erasures_counts_object check (jsonb_typeof(counts) = 'object'),
  constraint erasures_thread_ids_while_running check (finished_at is null or thread_ids = '{}')
);

-- One at a time for a person; also what everything that begins looks at.
create unique index if not exists erasures_running on public.erasures (org_id, user_id) where finished_at is null;
-- What was erased of a person before.
create index if not exists erasures_by_user on public.erasures (org_id, user_id, started_at desc);
-- Those that nobody is at.
create index if not exists erasures_due on public.erasures (lease_until) where finished_at is null;

alter table public.erasures enable row level security;
revoke all on table public.erasures from public, anon, authenticated, service_role;

-- What was done stays as it was done.
create or replace function private.guard_erasure_history() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' or old.finished_at is not null
     or (new.id, new.org_id, new.user_id, new.requested_by, new.reason, new.started_at)
        is distinct from (old.id, old.org_id, old.user_id, old.requested_by, old.reason, old.started_at) then
    raise check_violation using message = 'an erasure stays on record as it was ordered and done';
  end if;
  return new;
end
$$;

create or replace trigger guard_erasure_history
  before update or delete on public.erasures
  for each row execute function private.guard_erasure_history();

-- What is locked of a person: shared by whoever begins something for them, alone by who begins or finishes their erasure. Before
-- everything else: person, key, session, queue, delivery, escalation, throttles. Nobody waits for it with anything in hand.
create or replace function private.person_lock(p_org_id uuid, p_user_id uuid) returns bigint
language sql immutable parallel safe
set search_path = ''
as $$
  select hashtextextended(p_org_id::text || p_user_id::text, 151000)
$$;

-- Nothing begins for a person who is being erased. Who came first is decided by the lock: what began before is found by the
-- erasure, and what begins after finds it. Everything else of a person's hangs off a session, and goes with it. Keys go on, since
-- not every one has a session; those that there are at the end go then, and one that is just being claimed is waited for.
create or replace function private.refuse_while_erasing() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(private.person_lock(new.org_id, new.user_id));
  if tg_table_name <> 'idempotency_keys' and exists (
    select from public.erasures as e
    where e.org_id = new.org_id and e.user_id = new.user_id and e.finished_at is null
  ) then
    raise sqlstate 'PT409' using message = 'erasure_running';
  end if;
  return new;
end
$$;

create or replace trigger refuse_while_erasing
  before insert on public.chatkit_users
  for each row execute function private.refuse_while_erasing();
create or replace trigger refuse_while_erasing
  before insert on public.chat_sessions
  for each row execute function private.refuse_while_erasing();
create or replace trigger refuse_while_erasing
  before insert on public.idempotency_keys
  for each row execute function private.refuse_while_erasing();

-- An erasure as the RPCs answer it. `chatkit_user`: under which name to ask ChatKit, null if the person never had one.
-- `at_chatkit`: whether there may be something of theirs.
create or replace function private.erasure_json(p_erasure public.erasures) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('erasure', to_jsonb(p_erasure) - '{lease_until,thread_ids}'::text[])
    || jsonb_build_object(
      'chatkit_user', (
        select u.chatkit_user
        from public.chatkit_users as u
        where u.org_id = p_erasure.org_id and u.user_id = p_erasure.user_id and p_erasure.finished_at is null
      ),
      'at_chatkit', p_erasure.finished_at is null and (
        p_erasure.thread_ids <> '{}'
        or exists (
          select from public.chat_sessions as s
          join public.chatkit_sessions as c on c.session_id = s.id
          where s.org_id = p_erasure.org_id and s.user_id = p_erasure.user_id
        )
      )
    )
$$;

-- Begins to erase a person, or takes up where it stopped: as often as one likes, and nobody has to know how far it got. Of whom
-- nothing is left since the last time, that last time is answered. A person of whom nothing is known at all is more likely
-- a wrong id than somebody to be erased.
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
  v_lease_until timestamptz := clock_timestamp() + make_interval(secs => coalesce(p_lease_seconds, 300));
  v_erasure public.erasures;
  v_constraint text;
  v_column text;
begin
  -- Waits for what is just beginning; all that comes later sees the row that is written here.
  perform pg_advisory_xact_lock(private.person_lock(p_org_id, p_user_id));
  update public.erasures as e
  set lease_until = v_lease_until
  where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null
  returning * into v_erasure;

  if not found
     and not exists (select from public.chatkit_users as u where u.org_id = p_org_id and u.user_id = p_user_id)
     and not exists (select from public.idempotency_keys as k where k.org_id = p_org_id and k.user_id = p_user_id) then
    select * into v_erasure
    from public.erasures as e
    where e.org_id = p_org_id and e.user_id = p_user_id
    order by e.started_at desc
    limit 1;
    if not found and not exists (
      select from auth.users as u
      where u.id = p_user_id and private.org_id_of(u.raw_app_meta_data) = p_org_id
    ) then
      raise sqlstate 'PT404' using message = 'user_not_found';
    end if;
  end if;

  if v_erasure.id is null then
    insert into public.erasures as e (id, org_id, user_id, requested_by, reason, lease_until)
    values (private.new_id(), p_org_id, p_user_id, p_requested_by, p_reason, v_lease_until)
    returning * into v_erasure;
  end if;
  return private.erasure_json(v_erasure);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_erasure', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

-- Erasures that were begun and are not finished, the longest waiting first, leased to the caller; these again should the caller
-- die.
create or replace function public.claim_erasures(p_limit integer, p_lease_seconds integer) returns jsonb
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
    -- One of a person at a time, and 2,200 characters of the operator's words in each: far below 4 MiB.
    limit least(greatest(coalesce(p_limit, 1), 1), 100)
    for update skip locked
  ), leased as (
    update public.erasures as e
    set lease_until = v_now + make_interval(secs => coalesce(p_lease_seconds, 300))
    from due
    where e.id = due.id
    returning e as erasure, due.lease_until as waited_since
  )
  select jsonb_agg(private.erasure_json(l.erasure) order by l.waited_since, (l.erasure).id) into v_erasures from leased as l;
  return jsonb_build_object('erasures', coalesce(v_erasures, '[]'));
end
$$;

revoke all on function private.guard_erasure_history() from public, anon, authenticated, service_role;
revoke all on function private.person_lock(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function private.refuse_while_erasing() from public, anon, authenticated, service_role;
revoke all on function private.erasure_json(public.erasures) from public, anon, authenticated, service_role;
revoke all on function public.begin_erasure(uuid, uuid, text, text, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.claim_erasures(integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.begin_erasure(uuid, uuid, text, text, integer) to service_role;
grant execute on function public.claim_erasures(integer, integer) to service_role;
