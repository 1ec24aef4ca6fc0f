-- Wakes route-events as soon as a session has something for an agent. Not a migration: URL and secret are the project's own. Run
-- it once, and again when either changes:
--
--   psql "$DATABASE_URL" -v url='https://…/route-events' -v secret="$WEBHOOK_SECRET" -f supabase/webhook.sql
--
-- The hook says nothing that is believed: the function compares the secret and then looks for itself. If it is lost, the
-- schedule finds the work a little later. One row a session that comes to have work is one call, however many events follow.
-- Supabase's database webhooks must be enabled in the project (Integrations); they bring the function that is named here.
\set ON_ERROR_STOP on
\if :{?url}
\else
  \warn 'url is missing'
  \quit
\endif
\if :{?secret}
\else
  \warn 'secret is missing'
  \quit
\endif

select format(
  'create or replace trigger wake_route_events
     after insert on public.delivery_queues
     for each row execute function supabase_functions.http_request(%L, %L, %L, %L, %L)',
  :'url', 'POST',
  json_build_object('Content-Type', 'application/json', 'X-Webhook-Secret', :'secret'),
  '{}', '2000'
) \gexec
