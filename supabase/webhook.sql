-- Sets the webhook that starts route-events as soon as a session has an event for an agent. This is
-- not a migration, because the URL and the secret belong to one deployment. Run it once, and again
-- when either changes:
--
--   psql "$DATABASE_URL" -v url='https://…' -v secret="$DATABASE_WEBHOOK_SECRET" \
--     -f supabase/webhook.sql
--
-- The URL is that of receive-webhook. Supabase Vault stores the secret, encrypted. The request
-- carries no data: receive-webhook compares the secret and starts route-events, which reads the
-- queues itself. If a request is lost, the schedule finds the work a little later. To disable the
-- webhook, run `delete from chatkit_private.webhook`.
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

create extension if not exists pg_net;
-- New projects have it.
create extension if not exists supabase_vault with schema vault cascade;

select chatkit_private.set_webhook(:'url', :'secret');
