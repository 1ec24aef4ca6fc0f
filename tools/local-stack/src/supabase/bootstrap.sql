-- What a Supabase project brings before the first migration of ours: the roles, the schemas `auth` and `extensions`, and
-- the functions that read the caller's token. A superuser applies it to a fresh database; then one of the two files beside it,
-- grants_before_2026_10_30.sql or grants_since_2026_10_30.sql; then the migrations, as `postgres`.
-- It may be applied again, and by several processes at once to databases of one cluster.

do $$
begin
  -- Roles belong to the whole cluster, databases do not. This catalog is shared, so this lock (unlike an advisory one) makes
  -- bootstraps of different databases wait for each other instead of failing with "tuple concurrently updated".
  lock table pg_catalog.pg_authid in share row exclusive mode;

  if exists (select from pg_catalog.pg_roles where rolname = 'postgres' and rolsuper) then
    raise exception 'the role "postgres" is a superuser here; in a Supabase project it is not'
      using hint = 'Initialise the cluster with a superuser of another name: initdb --username=supabase_admin.';
  end if;

  -- The owner of what migrations make. No superuser, but it bypasses row level security, and may become any of the API's roles.
  if not exists (select from pg_catalog.pg_roles where rolname = 'postgres') then
    create role postgres login createdb createrole replication bypassrls;
  end if;
  -- Owns the schema `auth`; a migration may read it and change nothing in it.
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
  -- PostgREST connects as this one, which can do nothing but become the role that the request's key or token names.
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    create role authenticator login noinherit;
  end if;
  grant anon, authenticated, service_role to postgres, authenticator;

  -- PostgREST applies these per request; service_role has none of its own and falls under authenticator's.
  alter role anon set statement_timeout = '3s';
  alter role authenticated set statement_timeout = '8s';
  alter role authenticator set statement_timeout = '8s';
  alter role authenticator set lock_timeout = '8s';
end
$$;

-- `postgres` owns the database: so it may create schemas, and is pg_database_owner, who owns `public`.
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

-- The columns that matter to an application; the real table has more.
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
-- As in a project: row level security without a policy, so that nobody sees a row who does not bypass it.
alter table auth.users enable row level security;
grant all on auth.users to postgres;

-- The caller's token, as PostgREST leaves it in the transaction's settings: the whole of it since version 9, a setting
-- per claim before.
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
