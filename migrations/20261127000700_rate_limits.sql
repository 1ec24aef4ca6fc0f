-- Limits of users, sessions and organisations. They are kept in the database because Lambda
-- instances are short-lived and do not share memory.

create table if not exists public.org_limits (
  org_id uuid primary key,
  secrets_per_minute_user integer,
  secrets_per_minute_session integer,
  events_per_minute_user integer,
  events_per_minute_session integer,
  thread_reads_per_minute_user integer,
  keys_per_day_user integer,
  active_sessions_user integer,
  turns_per_minute_user integer,
  turns_per_minute_org integer,
  active_runs_user integer,
  active_runs_org integer,
  tokens_per_day_user integer,
  tokens_per_day_org integer,
  constraint org_limits_secrets_user_range check (secrets_per_minute_user between 1 and 100000),
  constraint org_limits_secrets_session_range
    check (secrets_per_minute_session between 1 and 100000),
  -- A request carries up to a hundred events, all or none; a smaller limit could never admit it.
  constraint org_limits_events_user_range check (events_per_minute_user between 100 and 1000000),
  constraint org_limits_events_session_range
    check (events_per_minute_session between 100 and 1000000),
  constraint org_limits_thread_reads_user_range
    check (thread_reads_per_minute_user between 1 and 100000),
  constraint org_limits_keys_user_range check (keys_per_day_user between 100 and 1000000),
  constraint org_limits_active_sessions_user_range
    check (active_sessions_user between 1 and 1000000),
  constraint org_limits_turns_user_range check (turns_per_minute_user between 1 and 100000),
  constraint org_limits_turns_org_range check (turns_per_minute_org between 1 and 1000000),
  constraint org_limits_active_runs_user_range check (active_runs_user between 1 and 100000),
  constraint org_limits_active_runs_org_range check (active_runs_org between 1 and 100000),
  constraint org_limits_tokens_user_range check (tokens_per_day_user between 1 and 2000000000),
  constraint org_limits_tokens_org_range check (tokens_per_day_org between 1 and 2000000000)
);

comment on table public.org_limits is
  'Limits of an organisation that differ from the defaults; null means the default.';

alter table public.org_limits enable row level security;
revoke all on table public.org_limits from public, anon, authenticated, service_role;

create table if not exists public.throttles (
  org_id uuid not null,
  scope text not null,
  -- The id of the user, session or organisation.
  subject uuid not null,
  kind text not null,
  full_at timestamptz not null,
  primary key (org_id, scope, subject, kind),
  constraint throttles_scope_known check (scope in ('user', 'session', 'org')),
  constraint throttles_kind_known
    check (kind in ('secret', 'event', 'thread_reading', 'key', 'turn', 'token'))
);

comment on table public.throttles is
  'Token buckets, each refilled over a window of a minute or a day. A bucket is stored as the time '
  'at which it is full again: what is left is the refill between that time and the end of a window '
  'that begins now. A bucket without a row is full.';

-- Finds the buckets that are full again and need no row.
create index if not exists throttles_by_full_at on public.throttles (full_at);

alter table public.throttles enable row level security;
revoke all on table public.throttles from public, anon, authenticated, service_role;

-- Returns the limits in force. The defaults are defined only here: far above what a person does,
-- and far below what a runaway loop does.
create or replace function chatkit_private.effective_limits(p_org_id uuid) returns public.org_limits
language sql stable
set search_path = ''
as $$
  select p_org_id,
         coalesce(l.secrets_per_minute_user, 60),
         coalesce(l.secrets_per_minute_session, 20),
         coalesce(l.events_per_minute_user, 600),
         coalesce(l.events_per_minute_session, 300),
         coalesce(l.thread_reads_per_minute_user, 120),
         coalesce(l.keys_per_day_user, 10000),
         coalesce(l.active_sessions_user, 200),
         coalesce(l.turns_per_minute_user, 20),
         coalesce(l.turns_per_minute_org, 2000),
         coalesce(l.active_runs_user, 10),
         coalesce(l.active_runs_org, 500),
         coalesce(l.tokens_per_day_user, 20000000),
         coalesce(l.tokens_per_day_org, 1000000000)
  from (select) as one
  left join public.org_limits as l on l.org_id = p_org_id
$$;

-- Returns the time in which a bucket refills by p_cost. Rounded down: a limit of 7 must allow 7 at
-- once.
create or replace function chatkit_private.refill_time(
  p_limit integer,
  p_cost bigint,
  p_window interval
) returns interval
language sql immutable parallel safe
set search_path = ''
return make_interval(
  secs => trunc(extract(epoch from p_window) * p_cost / p_limit, 6)::double precision
);

-- Takes p_cost out of one bucket, also if it does not fit, and returns what is left, as the time of
-- its refill. The result is negative for an overdrawn bucket. A negative cost returns what was
-- taken out before. The row stays locked until the transaction ends.
create or replace function chatkit_private.charge_bucket(
  p_org_id uuid,
  p_scope text,
  p_subject uuid,
  p_kind text,
  p_limit integer,
  p_cost bigint,
  p_window interval
) returns interval
language plpgsql
set search_path = ''
as $$
declare
  v_cost interval := chatkit_private.refill_time(p_limit, p_cost, p_window);
  v_left interval;
begin
  insert into public.throttles as t (org_id, scope, subject, kind, full_at)
  values (p_org_id, p_scope, p_subject, p_kind, clock_timestamp() + v_cost)
  on conflict (org_id, scope, subject, kind)
  do update set full_at = greatest(t.full_at, clock_timestamp()) + v_cost
  returning clock_timestamp() + p_window - t.full_at into v_left;
  return v_left;
end
$$;

-- Rejects a request that a bucket does not admit, with the time after which it will.
create or replace function chatkit_private.reject_overdraft(
  p_code text,
  p_limit integer,
  p_window interval,
  p_remaining bigint,
  p_wait interval
) returns void
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT429' using message = p_code, detail = jsonb_build_object(
    'limit', p_limit,
    'window_seconds', extract(epoch from p_window)::integer,
    'remaining', greatest(0, p_remaining),
    'retry_after_seconds', ceil(extract(epoch from p_wait))
  )::text;
end
$$;

-- Takes p_cost out of one bucket and returns what is left. Rejects a cost that does not fit.
create or replace function chatkit_private.consume_bucket(
  p_org_id uuid,
  p_scope text,
  p_subject uuid,
  p_kind text,
  p_limit integer,
  p_cost integer,
  p_window interval default interval '1 minute',
  p_code text default 'rate_limited'
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_window numeric := extract(epoch from p_window);
  v_cost interval := chatkit_private.refill_time(p_limit, p_cost, p_window);
  v_left interval := chatkit_private.charge_bucket(
    p_org_id, p_scope, p_subject, p_kind, p_limit, p_cost, p_window
  );
begin
  if v_left < interval '0' then
    perform chatkit_private.reject_overdraft(
      p_code, p_limit, p_window,
      floor(extract(epoch from v_left + v_cost) * p_limit / v_window)::bigint, -v_left
    );
  end if;
  return jsonb_build_object(
    'limit', p_limit,
    'window_seconds', v_window::integer,
    'remaining', least(p_limit, floor(extract(epoch from v_left) * p_limit / v_window)),
    'reset_seconds', greatest(0, ceil(v_window - extract(epoch from v_left)))
  );
end
$$;

-- Takes p_cost out of the user's bucket and out of the session's, always in this order and after
-- the session is locked. Returns the state of the one with less left.
create or replace function chatkit_private.consume_rate_limit(
  p_session public.chat_sessions,
  p_kind text,
  p_cost integer
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_limits public.org_limits := chatkit_private.effective_limits(p_session.org_id);
  v_of_user jsonb;
  v_of_session jsonb;
begin
  v_of_user := chatkit_private.consume_bucket(
    p_session.org_id, 'user', p_session.user_id, p_kind,
    case p_kind
      when 'secret' then v_limits.secrets_per_minute_user
      else v_limits.events_per_minute_user
    end,
    p_cost
  );
  v_of_session := chatkit_private.consume_bucket(
    p_session.org_id, 'session', p_session.id, p_kind,
    case p_kind
      when 'secret' then v_limits.secrets_per_minute_session
      else v_limits.events_per_minute_session
    end,
    p_cost
  );
  return case
    when (v_of_user -> 'remaining') < (v_of_session -> 'remaining') then v_of_user
    else v_of_session
  end;
end
$$;

create or replace function public.consume_thread_read_limit() returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_org_id uuid := chatkit_private.caller_org_id();
  v_user_id uuid := auth.uid();
begin
  if v_org_id is null or v_user_id is null then
    raise sqlstate 'PT403' using message = 'no_organisation';
  end if;
  return chatkit_private.consume_bucket(
    v_org_id, 'user', v_user_id, 'thread_reading',
    (chatkit_private.effective_limits(v_org_id)).thread_reads_per_minute_user, 1
  );
end
$$;

comment on function public.consume_thread_read_limit is
  'Charges the caller for one read of a session''s threads, which takes up to eleven requests to '
  'OpenAI. Signed-in callers execute it with their own token, because a function that only reads '
  'has no other key.';

create or replace function public.set_org_limits(
  p_org_id uuid,
  p_secrets_per_minute_user integer default null,
  p_secrets_per_minute_session integer default null,
  p_events_per_minute_user integer default null,
  p_events_per_minute_session integer default null,
  p_thread_reads_per_minute_user integer default null,
  p_keys_per_day_user integer default null,
  p_active_sessions_user integer default null,
  p_turns_per_minute_user integer default null,
  p_turns_per_minute_org integer default null,
  p_active_runs_user integer default null,
  p_active_runs_org integer default null,
  p_tokens_per_day_user integer default null,
  p_tokens_per_day_org integer default null,
  p_reset text[] default '{}'
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_named jsonb := jsonb_build_object(
    'secrets_per_minute_user', p_secrets_per_minute_user,
    'secrets_per_minute_session', p_secrets_per_minute_session,
    'events_per_minute_user', p_events_per_minute_user,
    'events_per_minute_session', p_events_per_minute_session,
    'thread_reads_per_minute_user', p_thread_reads_per_minute_user,
    'keys_per_day_user', p_keys_per_day_user,
    'active_sessions_user', p_active_sessions_user,
    'turns_per_minute_user', p_turns_per_minute_user,
    'turns_per_minute_org', p_turns_per_minute_org,
    'active_runs_user', p_active_runs_user,
    'active_runs_org', p_active_runs_org,
    'tokens_per_day_user', p_tokens_per_day_user,
    'tokens_per_day_org', p_tokens_per_day_org
  );
  v_reset jsonb;
  v_unknown text;
  v_limits public.org_limits;
  v_constraint text;
  v_column text;
begin
  select r.name into v_unknown
  from unnest(p_reset) as r (name)
  where (v_named ? r.name) is not true
  limit 1;
  if found then
    raise sqlstate 'PT422' using message = 'invalid_limits',
      detail = 'unknown_limit:' || coalesce(left(v_unknown, 63), 'null');
  end if;
  select coalesce(jsonb_object_agg(r.name, 'null'::jsonb), '{}') into v_reset
  from unnest(p_reset) as r (name);

  -- The row lock serialises calls for an organisation, so that each keeps the limits it omits.
  insert into public.org_limits (org_id) values (p_org_id) on conflict (org_id) do nothing;
  select * into v_limits from public.org_limits as l where l.org_id = p_org_id for update;
  v_limits := jsonb_populate_record(v_limits, v_reset || jsonb_strip_nulls(v_named));
  update public.org_limits as l set
    secrets_per_minute_user = v_limits.secrets_per_minute_user,
    secrets_per_minute_session = v_limits.secrets_per_minute_session,
    events_per_minute_user = v_limits.events_per_minute_user,
    events_per_minute_session = v_limits.events_per_minute_session,
    thread_reads_per_minute_user = v_limits.thread_reads_per_minute_user,
    keys_per_day_user = v_limits.keys_per_day_user,
    active_sessions_user = v_limits.active_sessions_user,
    turns_per_minute_user = v_limits.turns_per_minute_user,
    turns_per_minute_org = v_limits.turns_per_minute_org,
    active_runs_user = v_limits.active_runs_user,
    active_runs_org = v_limits.active_runs_org,
    tokens_per_day_user = v_limits.tokens_per_day_user,
    tokens_per_day_org = v_limits.tokens_per_day_org
  where l.org_id = p_org_id;
  return jsonb_build_object('limits', to_jsonb(chatkit_private.effective_limits(p_org_id)));
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_limits',
      detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.set_org_limits is
  'Sets the limits that a call names, and resets those in p_reset to their defaults; all others '
  'stay as they are. Returns the limits in force.';
