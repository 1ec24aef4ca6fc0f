-- Creates what a Supabase project has before its first migration: roles, the schemas `auth` and
-- `extensions`, and the functions that read the caller's token. A superuser applies it to a new
-- database, then grants_before_2026_10_30.sql or grants_since_2026_10_30.sql, then `postgres`
-- applies the migrations. It is idempotent, and several processes can apply it concurrently to
-- databases of one cluster.

do $$
begin
  -- Roles belong to the cluster, not to a database. The lock on this shared catalog makes
  -- concurrent bootstraps of different databases wait instead of failing with "tuple concurrently
  -- updated". An advisory lock would not, because it is per database.
  lock table pg_catalog.pg_authid in share row exclusive mode;

  if exists (select from pg_catalog.pg_roles where rolname = 'postgres' and rolsuper) then
    raise exception 'the role "postgres" is a superuser here; in a Supabase project it is not'
      using hint = 'Initialise the cluster with a superuser of another name: initdb --username=supabase_admin.';
  end if;

  -- The owner of all objects of the migrations. Not a superuser, but it bypasses row level security
  -- and can assume the API's roles.
  if not exists (select from pg_catalog.pg_roles where rolname = 'postgres') then
    create role postgres login createdb createrole replication bypassrls;
  end if;
  -- Owns the schema `auth`, which migrations can read but not change.
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_auth_admin') then
    create role supabase_auth_admin nologin noinherit createrole;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'anon') then
    create role anon nologin noinherit;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    create role authenticated nologin noinherit;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
    create role service_role nologin noinherit bypassrls;
  end if;
  -- PostgREST connects with this role, whose only right is to assume the role in the request's key
  -- or token.
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    create role authenticator login noinherit;
  end if;
  grant anon, authenticated, service_role to postgres, authenticator;

  -- PostgREST applies these settings per request; service_role has none and uses the
  -- authenticator's.
  alter role anon set statement_timeout = '3s';
  alter role authenticated set statement_timeout = '8s';
  alter role authenticator set statement_timeout = '8s';
  alter role authenticator set lock_timeout = '8s';
end
$$;

-- `postgres` owns the database. So it can create schemas, and is pg_database_owner, which owns
-- `public`.
do $$
begin
  execute format('alter database %I owner to postgres', current_database());
end
$$;

grant usage on schema public to anon, authenticated, service_role;

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;

create schema if not exists auth authorization supabase_auth_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role;

-- The columns that applications use; the real table has more.
create table if not exists auth.users (
  id uuid primary key,
  aud character varying(255),
  role character varying(255),
  email character varying(255),
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_anonymous boolean not null default false,
  banned_until timestamptz,
  deleted_at timestamptz,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table auth.users owner to supabase_auth_admin;
-- As in a real project, row level security without a policy hides all rows from roles that do not
-- bypass it.
alter table auth.users enable row level security;
grant all on auth.users to postgres;

-- The caller's token in the transaction's settings: the complete token since PostgREST 9, one
-- setting per claim before.
create or replace function auth.jwt() returns jsonb
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

create or replace function auth.uid() returns uuid
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;

create or replace function auth.role() returns text
language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
  )
$$;

alter function auth.jwt() owner to supabase_auth_admin;
alter function auth.uid() owner to supabase_auth_admin;
alter function auth.role() owner to supabase_auth_admin;
