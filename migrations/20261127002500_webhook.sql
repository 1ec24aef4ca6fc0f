-- The webhook that starts route-events as soon as a session has a delivery.

create table if not exists chatkit_private.webhook (
  only_one boolean primary key default true,
  url text not null,
  secret text not null,
  constraint webhook_only_one check (only_one),
  constraint webhook_url_form check (url ~ '^https?://[^[:space:]]+$'),
  constraint webhook_secret_length check (length(secret) between 32 and 1024)
);

comment on table chatkit_private.webhook is 
  'Where route-events is, and the secret it compares: set by supabase/webhook.sql, since both are '
  'the project''s own.';

-- Runs as the owner of the functions that write deliveries, who may read the row above. pg_net sends the request after the commit. Where it is missing, as after a restore, or refuses, events wait for the schedule.
create or replace function chatkit_private.notify_route_events() returns trigger
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
  return null;
exception when others then
  raise warning 'route-events was not woken: SQLSTATE %', sqlstate;
  return null;
end
$$;

create or replace trigger notify_route_events
  after insert on public.delivery_queues
  for each statement execute function chatkit_private.notify_route_events();

-- Whether route-events can be woken, for the doctor: whether it was said where it is, and whether pg_net is there.
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
