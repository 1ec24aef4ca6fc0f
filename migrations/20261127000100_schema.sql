-- The schema of the helpers, and what every other file uses: who is calling, and how times and ids are written.
--
-- Migrations are applied in the order of their names. Each object is defined once, in its final form, so a file can be applied again.
--
-- Lock order. A transaction that locks several things locks them in this order, so that none waits in a circle: person (advisory
-- lock of an erasure), idempotency key, session, active sessions of a user, delivery queue, delivery, escalation, rate limit.
-- Several sessions are locked in the order of their ids. claim_deliveries skips what is locked.
--
-- Planner statistics. PostgREST tells anybody how many rows the planner expects for a filter of theirs (`Prefer: count=planned`).
-- Statistics are kept over the rows of all tenants, so a filter such as `content=lt.m` would reveal what others wrote, step by
-- step, and `user_id` how much others do. Tables that callers can read therefore keep none for such columns (`set statistics 0`).
-- For the same reason an index of such a table does not begin with a column that names the user.

-- Outside the schemas that the Data API exposes. A new schema is closed to every role but its owner.
create schema if not exists chatkit_private;

-- The five RPCs that look as the caller before they write run with the rights of service_role, and call functions in here.
grant usage on schema chatkit_private to service_role;

-- The organisation in somebody's app metadata, which only the project's operator can write (user metadata is the user's own).
-- A malformed id is no organisation rather than an error: a policy that raised would turn one bad token into 400s.
create or replace function chatkit_private.extract_org_id(app_metadata jsonb) returns uuid
language sql immutable parallel safe
set search_path = ''
return case
  when app_metadata ->> 'org_id' ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then (app_metadata ->> 'org_id')::uuid
end;

-- The role in the organisation. What is missing or unknown counts as the least of them.
create or replace function chatkit_private.extract_org_role(app_metadata jsonb) returns text
language sql immutable parallel safe
set search_path = ''
return case
  when app_metadata ->> 'org_role' in ('owner', 'admin', 'approver') then app_metadata ->> 'org_role'
  else 'member'
end;

-- The caller's organisation, null for an anonymous sign-in, who belongs to none. Null equals nothing, so every policy that
-- compares with it then shows no row. Written with `return`: its names are bound when it is created, so that a caller needs
-- no usage on the schema `chatkit_private`.
create or replace function chatkit_private.caller_org_id() returns uuid
language sql stable
set search_path = ''
return case
  when coalesce(auth.jwt() ->> 'is_anonymous', 'false') = 'false' then chatkit_private.extract_org_id(auth.jwt() -> 'app_metadata')
end;

create or replace function chatkit_private.caller_org_role() returns text
language sql stable
set search_path = ''
return chatkit_private.extract_org_role(auth.jwt() -> 'app_metadata');

-- Owners, admins and approvers see the sessions of their whole organisation. Only ever asked together with caller_org_id().
create or replace function chatkit_private.caller_is_approver() returns boolean
language sql stable
set search_path = ''
return chatkit_private.caller_org_role() in ('owner', 'admin', 'approver');

-- The role that a user has in an organisation now, or null if there is none (any longer). Asked by RPCs that give something
-- out, because a token may be an hour older than somebody's dismissal. The body is text, not `return`: bound names would
-- stand in the way of Supabase's own migrations of auth.users.
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

-- The claims to look with: those of the caller's verified token, which must be about the user and the organisation that the call
-- names. Without any, what the database knows of the user: enough for our own policies, and nothing by which a policy that
-- demands more (a second factor, say) would be met.
create or replace function chatkit_private.effective_claims(p_org_id uuid, p_user_id uuid, p_claims jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if p_claims is null or p_claims = 'null' then
    return jsonb_build_object(
      'sub', p_user_id,
      'role', 'authenticated',
      'app_metadata', coalesce((select u.raw_app_meta_data from auth.users as u where u.id = p_user_id), '{}')
        || jsonb_build_object('org_id', p_org_id)
    );
  end if;
  if (
    lower(p_claims ->> 'sub') = p_user_id::text and chatkit_private.extract_org_id(p_claims -> 'app_metadata') = p_org_id
  ) is not true then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  return p_claims;
end
$$;

-- Which of these sessions and escalations the policies let the caller read; an escalation only with its session. Policies may call
-- functions that take names from the search path, so it is that of a request meanwhile.
create or replace function chatkit_private.readable_ids(p_claims jsonb, p_session_ids uuid[], p_escalation_ids uuid[] default '{}')
returns uuid[]
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

-- The escalation that an event decides; null where it decides none. Takes every spelling of an id that PostgreSQL takes.
create or replace function chatkit_private.decided_escalation_id(p_given jsonb) returns uuid
language sql immutable parallel safe
set search_path = ''
return case
  when p_given ->> 'type' = 'hitl_resolved'
    and translate(p_given #>> '{payload,escalationId}', '{}-', '') ~* '^[0-9a-f]{32}$'
    then translate(p_given #>> '{payload,escalationId}', '{}-', '')::uuid
end;

-- A time as it is written for others, wherever SQL makes the text: RFC 3339 in UTC with six digits, always, so that texts are in the
-- order of the times and a hash of one is the same in every session. What to_jsonb makes of a time leaves out zeros.
create or replace function chatkit_private.utc_text(p_at timestamptz) returns text
language sql stable
set search_path = ''
as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- A version 7 UUID, for what is made here. It begins with the time, so rows stand in the order they were made.
create or replace function chatkit_private.new_id() returns uuid
language sql volatile
set search_path = ''
as $$
  select encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6
      ),
      52, 1
    ), 53, 1),
    'hex'
  )::uuid
$$;

-- The hash by which a thing is named. PostgreSQL writes equal jsonb as equal text. (It is called immutable because UTF-8 is
-- what the database is in, and a generated column wants it.)
create or replace function chatkit_private.content_hash(p_thing jsonb) returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select encode(sha256(convert_to(p_thing::text, 'UTF8')), 'hex')
$$;

-- Fair claims. A claim reads the rows that are due, the earliest first, and shares them out between their owners, so that one
-- owner with many rows does not make the others wait. It reads 10 (or 2) rows for each that it may take; if those belong to too few
-- owners, it reads up to 40,000.

-- Whether a claim has read enough rows: all that are due, or rows of as many owners as it may take rows.
create or replace function chatkit_private.has_enough_owners(p_owners text[], p_read integer, p_limit integer)
returns boolean
language sql immutable parallel safe
set search_path = ''
return coalesce(cardinality(p_owners), 0) < p_read
  or (select count(distinct o.owner) from unnest(p_owners) as o (owner)) >= p_limit;

-- The rows that a claim takes, by their index in p_owners: one of each owner first, then a second, and so on, up to the same
-- share of p_limit for each.
-- Returns the rows that a claim takes, of p_rows, whose owners p_owners names: one of each owner first, then a second, and so on, up
-- to the same share of p_limit for each owner. Null if there are none.
create or replace function chatkit_private.fair_share(p_rows anyarray, p_owners text[], p_limit integer) returns anyarray
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
      p_limit::numeric / (select greatest(count(distinct o.owner), 1) from unnest(p_owners) as o (owner))
    )
    order by r.turn, r.row_index
    limit p_limit
  ) as c
$$;
