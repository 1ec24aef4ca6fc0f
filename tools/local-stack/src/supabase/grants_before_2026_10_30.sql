-- The older default grants: the API's roles get all rights on every object that `postgres` creates
-- in `public`. The rights on functions are granted to the roles directly, so revoking from PUBLIC
-- is not sufficient.

alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
