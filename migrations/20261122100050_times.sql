-- How times are written.

-- A time as it is written for others, wherever SQL makes the text: RFC 3339 in UTC with six digits, always, so that texts are in the
-- order of the times and a hash of one is the same in every session. What to_jsonb makes of a time leaves out zeros.
create or replace function private.utc_text(p_at timestamptz) returns text
language sql stable
set search_path = ''
as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

revoke all on function private.utc_text(timestamptz) from public, anon, authenticated, service_role;
