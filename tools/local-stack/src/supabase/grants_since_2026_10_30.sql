-- The newer generation, made as Supabase makes it: the older grants less those that the Data API needs. What is easily
-- overlooked: TRUNCATE, REFERENCES and TRIGGER on tables stay granted to the API's roles (row level security does not stop a
-- TRUNCATE), and a function is still executable by PUBLIC, because that is PostgreSQL's own default.

alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;

alter default privileges for role postgres in schema public
  revoke select, insert, update, delete on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  revoke usage, select on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  revoke execute on functions from anon, authenticated, service_role;
