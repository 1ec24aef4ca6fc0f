-- The older generation of default grants: whatever `postgres` creates in `public` is open to the API's roles at once, functions
-- by name and not only through PUBLIC. So revoking from PUBLIC is not enough there.

alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
