-- The newer default grants, created as Supabase creates them: the older ones minus those that the
-- Data API uses. TRUNCATE, REFERENCES and TRIGGER on tables remain granted to the API's roles, and
-- row level security does not stop a TRUNCATE. PUBLIC can still execute functions, by PostgreSQL's
-- default.

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
