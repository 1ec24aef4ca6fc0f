-- Sets the webhook that starts route-events as soon as a session has an event for an agent. This is
-- not a migration, because the URL and the secret belong to one deployment. Run it once, and again
-- when either changes:
--
--   psql "$DATABASE_URL" -v url='https://…/route-events' -v secret="$DATABASE_WEBHOOK_SECRET" \
--     -f supabase/webhook.sql
--
-- The request carries no data: route-events compares the secret and then reads the queues itself.
-- If a request is lost, the schedule finds the work a little later. To disable the webhook, run
-- `delete from chatkit_private.webhook`.
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

insert into chatkit_private.webhook (url, secret)
values (:'url', :'secret')
on conflict (only_one) do update set url = excluded.url, secret = excluded.secret;
