-- The schema of the internal helpers, and what the other files use: the caller, times and ids.
--
-- Migrations are applied in the order of their names. Each object is defined once, in its final
-- form, and each file can be applied again.
--
-- Lock order. A transaction that takes several of these locks takes them in this order, which
-- rules out deadlocks: person (an erasure's advisory lock), idempotency key, session, the user's
-- active sessions, thread, run, delivery queue, delivery, escalation, rate limit. Several sessions
-- are locked in the order of their ids, and so are several threads. claim_deliveries skips locked
-- rows.
--
-- Planner statistics. PostgREST returns the planner's row estimate for any filter that a caller
-- sends (`Prefer: count=planned`). Statistics cover the rows of all tenants. A filter such as
-- `content=lt.m` would therefore reveal, step by step, what other tenants wrote, and a filter on
-- `user_id` how active other users are. Tables that callers can read keep no statistics for such
-- columns (`set statistics 0`). For the same reason an index of such a table does not begin with a
-- column that names the user.

-- Not among the schemas that the Data API exposes. Only the owner can use a new schema.
create schema if not exists chatkit_private;

-- Five RPCs check as the caller before they write. They run with the privileges of service_role
-- and call functions of this schema.
grant usage on schema chatkit_private to service_role;

-- Returns the organisation in a user's app metadata, which only the project's operator can write
-- (users can write their own user metadata). A malformed id yields null instead of an error: a
-- policy that raised an error would turn one bad token into 400 responses.
create or replace function chatkit_private.extract_org_id(app_metadata jsonb) returns uuid
language sql immutable parallel safe
set search_path = ''
return case
  when app_metadata ->> 'org_id' ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then (app_metadata ->> 'org_id')::uuid
end;

-- Returns the role in the organisation. A missing or unknown role counts as the lowest, `member`.
create or replace function chatkit_private.extract_org_role(app_metadata jsonb) returns text
language sql immutable parallel safe
set search_path = ''
return case
  when app_metadata ->> 'org_role' in ('owner', 'admin', 'approver')
    then app_metadata ->> 'org_role'
  else 'member'
end;

-- Returns the caller's organisation; null for an anonymous sign-in, which has none. Null equals
-- nothing, so every policy that compares with it shows no row. `return` resolves the names in the
-- body when the function is created, so a caller needs no usage on the schema chatkit_private.
create or replace function chatkit_private.caller_org_id() returns uuid
language sql stable
set search_path = ''
return case
  when coalesce(auth.jwt() ->> 'is_anonymous', 'false') = 'false'
    then chatkit_private.extract_org_id(auth.jwt() -> 'app_metadata')
end;

-- Returns the caller's role in their organisation.
create or replace function chatkit_private.caller_org_role() returns text
language sql stable
set search_path = ''
return chatkit_private.extract_org_role(auth.jwt() -> 'app_metadata');

-- Returns whether the caller can read the sessions of their whole organisation: owners, admins and
-- approvers can. Policies always combine it with caller_org_id().
create or replace function chatkit_private.caller_is_approver() returns boolean
language sql stable
set search_path = ''
return chatkit_private.caller_org_role() in ('owner', 'admin', 'approver');

-- Returns the user's current role in an organisation, or null if the user is not (or no longer) a
-- member. RPCs that issue secrets or release data check this, because a token can be an hour older
-- than the end of a membership. The body is text instead of `return`: resolved names would block
-- Supabase's own migrations of auth.users.
create or replace function chatkit_private.member_role(p_org_id uuid, p_user_id uuid) returns text
language sql stable
set search_path = ''
as $$
  select chatkit_private.extract_org_role(u.raw_app_meta_data)
  from auth.users as u
  where u.id = p_user_id
    and chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
    and not u.is_anonymous
    and u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now())
$$;

-- Returns the JWT claims under which row policies are checked: those of the caller's verified
-- token. They must be about the user and the organisation of the call. Without a token the claims
-- come from auth.users. That is enough for this project's policies, and does not satisfy a policy
-- that requires more, for example a second factor.
create or replace function chatkit_private.effective_claims(
  p_org_id uuid,
  p_user_id uuid,
  p_claims jsonb
) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if p_claims is null or p_claims = 'null' then
    return jsonb_build_object(
      'sub', p_user_id,
      'role', 'authenticated',
      'app_metadata', coalesce(
        (select u.raw_app_meta_data from auth.users as u where u.id = p_user_id), '{}'
      ) || jsonb_build_object('org_id', p_org_id)
    );
  end if;
  if (
    lower(p_claims ->> 'sub') = p_user_id::text
    and chatkit_private.extract_org_id(p_claims -> 'app_metadata') = p_org_id
  ) is not true then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  return p_claims;
end
$$;

-- Returns the ids of those sessions and escalations that the row policies let the caller read. An
-- escalation is readable only together with its session. While it checks, search_path is that of a
-- Data API request, because policies may call functions by unqualified names.
create or replace function chatkit_private.readable_ids(
  p_claims jsonb,
  p_session_ids uuid[],
  p_escalation_ids uuid[] default '{}'
) returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  v_role text := current_setting('role');
  v_claims text := coalesce(current_setting('request.jwt.claims', true), '');
  v_ids uuid[];
begin
  perform set_config('request.jwt.claims', p_claims::text, true),
          set_config('search_path', 'public, extensions', true),
          set_config('role', 'authenticated', true);
  v_ids := array(
    select s.id from public.chat_sessions as s where s.id = any (p_session_ids)
    union all
    select x.id
    from public.chat_escalations as x
    join public.chat_sessions as s on s.id = x.session_id
    where x.id = any (p_escalation_ids)
  );
  perform set_config('role', v_role, true),
          set_config('search_path', '', true),
          set_config('request.jwt.claims', v_claims, true);
  return v_ids;
end
$$;

-- Returns the id of an escalation that the row policies let the caller read. Otherwise returns a
-- random id: the caller then gets the same error as for an escalation that does not exist.
create or replace function chatkit_private.readable_escalation_id(
  p_org_id uuid,
  p_user_id uuid,
  p_claims jsonb,
  p_escalation_id uuid
) returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := chatkit_private.effective_claims(p_org_id, p_user_id, p_claims);
begin
  if p_escalation_id = any (
    chatkit_private.readable_ids(v_claims, '{}', array[p_escalation_id])
  ) then
    return p_escalation_id;
  end if;
  return gen_random_uuid();
end
$$;

-- Returns the escalation that an event decides, or null if it decides none. Accepts every spelling
-- of a UUID that PostgreSQL accepts.
create or replace function chatkit_private.decided_escalation_id(p_given jsonb) returns uuid
language sql immutable parallel safe
set search_path = ''
return case
  when p_given ->> 'type' = 'hitl_resolved'
    and translate(p_given #>> '{payload,escalationId}', '{}-', '') ~* '^[0-9a-f]{32}$'
    then translate(p_given #>> '{payload,escalationId}', '{}-', '')::uuid
end;

-- Returns a time as RFC 3339 text in UTC, always with six fractional digits. Texts then sort as the
-- times do, and a hash of one is the same in every database session. to_jsonb would omit trailing
-- zeros.
create or replace function chatkit_private.utc_text(p_at timestamptz) returns text
language sql stable
set search_path = ''
as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Returns a version 7 UUID, for ids that the database makes. It begins with the time, so ids sort
-- in the order of their creation.
create or replace function chatkit_private.new_id() returns uuid
language sql volatile
set search_path = ''
as $$
  select encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(
          int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3
        ) from 1 for 6
      ),
      52, 1
    ), 53, 1),
    'hex'
  )::uuid
$$;

-- Returns the SHA-256 hash of a JSON document. PostgreSQL writes equal jsonb values as equal text.
-- A generated column requires an immutable function; this one is, because the database encoding is
-- UTF-8.
create or replace function chatkit_private.content_hash(p_thing jsonb) returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select encode(sha256(convert_to(p_thing::text, 'UTF8')), 'hex')
$$;

-- Stores which transaction changed a row last, for list_changes.
create or replace function chatkit_private.record_change_xid() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.change_xid := pg_current_xact_id();
  return new;
end
$$;

-- Fair claims. A claim reads due rows, the earliest first, and divides them among their owners, so
-- that an owner with many rows does not delay the others. It first reads 10 times its limit (some
-- claims 2 times). If those rows belong to too few owners, it reads up to 40,000.

-- Returns whether a claim has read enough rows: either all that are due, or rows of as many owners
-- as it may claim rows.
create or replace function chatkit_private.has_enough_owners(
  p_owners text[],
  p_read integer,
  p_limit integer
) returns boolean
language sql immutable parallel safe
set search_path = ''
return coalesce(cardinality(p_owners), 0) < p_read
  or (select count(distinct o.owner) from unnest(p_owners) as o (owner)) >= p_limit;

-- Returns the rows of p_rows that a claim takes; p_owners names the owner of each. One row of each
-- owner comes first, then a second of each, and so on, up to the same share of p_limit for every
-- owner. Returns null if there are none.
create or replace function chatkit_private.fair_share(
  p_rows anyarray,
  p_owners text[],
  p_limit integer
) returns anyarray
language sql immutable parallel safe
set search_path = ''
as $$
  select array_agg(p_rows[c.row_index] order by c.turn, c.row_index)
  from (
    select r.row_index, r.turn
    from (
      select o.row_index, row_number() over (partition by o.owner order by o.row_index) as turn
      from unnest(p_owners) with ordinality as o (owner, row_index)
    ) as r
    where r.turn <= ceil(
      p_limit::numeric
        / (select greatest(count(distinct o.owner), 1) from unnest(p_owners) as o (owner))
    )
    order by r.turn, r.row_index
    limit p_limit
  ) as c
$$;
