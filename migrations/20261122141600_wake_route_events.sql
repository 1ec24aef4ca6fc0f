-- Waking route-events as soon as a session has something for an agent. It is a convenience: the schedule finds the same work a
-- little later. So nothing that goes wrong here may fail the write that it hangs on.

-- Where route-events is, and the secret it compares: set by supabase/webhook.sql, since both are the project's own.
create table if not exists private.webhook (
  only_one boolean primary key default true,
  url text not null,
  secret text not null,
  constraint webhook_only_one check (only_one),
  constraint webhook_url_form check (url ~ '^https?://[^[:space:]]+$'),
  constraint webhook_secret_length check (length(secret) between 32 and 1024)
);

-- Runs as the owner of the functions that write deliveries, who may read the row above. pg_net sends the request after the commit. Where it is missing, as after a restore, or refuses, events wait for the schedule.
create or replace function private.wake_route_events() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform net.http_post(
    url := w.url,
    body := '{}',
    headers := jsonb_build_object('Content-Type', 'application/json', 'X-Webhook-Secret', w.secret),
    timeout_milliseconds := 2000
  )
  from private.webhook as w;
  return null;
exception when others then
  raise warning 'route-events was not woken: SQLSTATE %', sqlstate;
  return null;
end
$$;

-- Whether route-events can be woken, for the doctor: whether it was said where it is, and whether pg_net is there.
create or replace function private.webhook_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'is_set', exists (select from private.webhook),
    'can_call', exists (
      select
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where n.nspname = 'net' and p.proname = 'http_post'
    )
  )
$$;

create or replace trigger wake_route_events
  after insert on public.delivery_queues
  for each statement execute function private.wake_route_events();

revoke all on function private.wake_route_events() from public, anon, authenticated, service_role;
revoke all on function private.webhook_state() from public, anon, authenticated, service_role;
