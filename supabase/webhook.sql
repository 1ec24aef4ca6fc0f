-- Wakes route-events as soon as a session has something for an agent. Not a migration: URL and secret are the project's own. Run
-- it once, and again when either changes:
--
--   psql "$DATABASE_URL" -v url='https://…/route-events' -v secret="$WEBHOOK_SECRET" -f supabase/webhook.sql
--
-- The request says nothing that is believed: the function compares the secret and then looks for itself. If it is lost, the
-- schedule finds the work a little later. `delete from chatkit_private.webhook` ends it.
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
