-- The database webhook, which starts route-events as soon as a session has a delivery.

create table if not exists chatkit_private.webhook (
  only_one boolean primary key default true,
  url text not null,
  secret text not null,
  constraint webhook_only_one check (only_one),
  constraint webhook_url_form check (url ~ '^https?://[^[:space:]]+$'),
  constraint webhook_secret_length check (length(secret) between 32 and 1024)
);

comment on table chatkit_private.webhook is
  'The URL of route-events and the secret that it checks. The project sets both with '
  'supabase/webhook.sql.';

-- Requests a run of route-events. Runs as the owner of the functions that write deliveries, which
-- may read the table above. pg_net sends the request after the commit. If pg_net fails or is
-- missing, for example after a restore, events wait for the schedule.
create or replace function chatkit_private.request_route_events() returns void
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
  from chatkit_private.webhook as w;
exception when others then
  raise warning 'route-events was not woken: SQLSTATE %', sqlstate;
end
$$;

-- Requests route-events when a session gets a delivery queue that is due. The queue of a turn's
-- call is due when the call's lease expires, so nothing is requested for it.
create or replace function chatkit_private.notify_route_events() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if exists (select from made as n where n.due_at <= clock_timestamp()) then
    perform chatkit_private.request_route_events();
  end if;
  return null;
end
$$;

create or replace trigger notify_route_events
  after insert on public.delivery_queues
  referencing new table as made
  for each statement execute function chatkit_private.notify_route_events();

-- Reports to the doctor whether the webhook is configured and whether pg_net is installed.
create or replace function chatkit_private.webhook_state() returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'is_set', exists (select from chatkit_private.webhook),
    'can_call', exists (
      select
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where n.nspname = 'net' and p.proname = 'http_post'
    )
  )
$$;
