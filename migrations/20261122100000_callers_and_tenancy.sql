-- Who is calling, and for which organisation: the one place that reads organisation and role out of a token (for the
-- policies) and out of auth.users (for the RPCs), so that both always mean the same.

-- Helpers live outside the schemas that the API exposes. A new schema is closed to everybody but its owner and stays so: nobody
-- can call by name what is in it.
create schema if not exists private;

-- The organisation in somebody's app metadata, which only the project's operator can write (user metadata is the user's own).
-- A malformed id is no organisation rather than an error: a policy that raised would turn one bad token into 400s.
create or replace function private.org_id_of(app_metadata jsonb) returns uuid
language sql immutable parallel safe
set search_path = ''
return case
  when app_metadata ->> 'org_id' ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then (app_metadata ->> 'org_id')::uuid
end;

-- The role in the organisation. What is missing or unknown counts as the least of them.
create or replace function private.org_role_of(app_metadata jsonb) returns text
language sql immutable parallel safe
set search_path = ''
return case
  when app_metadata ->> 'org_role' in ('owner', 'admin', 'approver') then app_metadata ->> 'org_role'
  else 'member'
end;

-- The caller's organisation, null for an anonymous sign-in, who belongs to none. Null equals nothing, so every policy that
-- compares with it then shows no row. Written with `return`: its names are bound when it is created, so that a caller needs
-- no usage on the schema `private`.
create or replace function private.caller_org_id() returns uuid
language sql stable
set search_path = ''
return case
  when coalesce(auth.jwt() ->> 'is_anonymous', 'false') = 'false' then private.org_id_of(auth.jwt() -> 'app_metadata')
end;

create or replace function private.caller_org_role() returns text
language sql stable
set search_path = ''
return private.org_role_of(auth.jwt() -> 'app_metadata');

-- Owners, admins and approvers see the sessions of their whole organisation. Only ever asked together with caller_org_id().
create or replace function private.caller_is_approver() returns boolean
language sql stable
set search_path = ''
return private.caller_org_role() in ('owner', 'admin', 'approver');

-- The role that a user has in an organisation now, or null if there is none (any longer). Asked by RPCs that give something
-- out, because a token may be an hour older than somebody's dismissal. The body is text, not `return`: bound names would
-- stand in the way of Supabase's own migrations of auth.users.
create or replace function private.member_role(p_org_id uuid, p_user_id uuid) returns text
language sql stable
set search_path = ''
as $$
  select private.org_role_of(u.raw_app_meta_data)
  from auth.users as u
  where u.id = p_user_id
    and private.org_id_of(u.raw_app_meta_data) = p_org_id
    and not u.is_anonymous
    and u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now())
$$;

-- PostgreSQL lets everybody execute a new function. A policy runs its functions as the caller, so those stay executable
-- for signed-in callers; nothing else does.
revoke all on function private.org_id_of(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.org_role_of(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.caller_org_id() from public, anon, authenticated, service_role;
revoke all on function private.caller_org_role() from public, anon, authenticated, service_role;
revoke all on function private.caller_is_approver() from public, anon, authenticated, service_role;
revoke all on function private.member_role(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.org_id_of(jsonb) to authenticated;
grant execute on function private.org_role_of(jsonb) to authenticated;
grant execute on function private.caller_org_id() to authenticated;
grant execute on function private.caller_org_role() to authenticated;
grant execute on function private.caller_is_approver() to authenticated;
