-- The database webhook, which starts route-events as soon as a session has a delivery.

create table if not exists chatkit_private.webhook (
  only_one boolean primary key default true,
  url text not null,
  secret_name text not null default 'chatkit_webhook_secret',
  constraint webhook_only_one check (only_one),
  constraint webhook_url_form check (url ~ '^https?://[^[:space:]]+$')
);

comment on table chatkit_private.webhook is
  'The URL of receive-webhook, and the name of its secret in Supabase Vault. The project sets both '
  'with supabase/webhook.sql.';

-- Sets the URL, and stores the secret in Supabase Vault. The extension's functions encrypt it, so
-- no table and no backup contains its text.
create or replace function chatkit_private.set_webhook(p_url text, p_secret text) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_name text;
  v_id uuid;
begin
  if coalesce(p_secret, '') !~ '^[!-~]{32,}$' or length(p_secret) > 1024 then
    raise exception 'the secret must have 32 to 1024 visible ASCII characters'
      using errcode = 'invalid_parameter_value';
  end if;
  insert into chatkit_private.webhook (url)
  values (p_url)
  on conflict (only_one) do update set url = excluded.url
  returning secret_name into v_name;
  select s.id into v_id from vault.secrets as s where s.name = v_name;
  if v_id is null then
    perform vault.create_secret(p_secret, v_name, 'Sent by the database to receive-webhook.');
  else
    perform vault.update_secret(v_id, p_secret);
  end if;
end
$$;

-- Requests a run of route-events. Runs as the owner of the functions that write deliveries, which
-- may read the table above and the Vault. pg_net sends the request after the commit. If pg_net or
-- the Vault fails or is missing, for example after a restore, events wait for the schedule.
create or replace function chatkit_private.request_route_events() returns void
language plpgsql
set search_path = ''
as $$
declare
  v_webhook chatkit_private.webhook;
  v_secret text;
begin
  select w.* into v_webhook from chatkit_private.webhook as w;
  if not found then
    return;
  end if;
  select s.decrypted_secret into strict v_secret
  from vault.decrypted_secrets as s
  where s.name = v_webhook.secret_name;
  perform net.http_post(
    url := v_webhook.url,
    body := '{}',
    headers := jsonb_build_object('Content-Type', 'application/json', 'X-Webhook-Secret', v_secret),
    timeout_milliseconds := 5000
  );
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

-- Reports to the doctor whether the webhook is configured, whether pg_net is installed, and whether
-- the Vault has the secret.
create or replace function chatkit_private.webhook_state() returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  v_has_secret boolean;
begin
  begin
    v_has_secret := exists (
      select
      from chatkit_private.webhook as w
      join vault.secrets as s on s.name = w.secret_name
    );
  -- The extension is missing.
  exception when undefined_table or invalid_schema_name or insufficient_privilege then
    v_has_secret := false;
  end;
  return jsonb_build_object(
    'is_set', exists (select from chatkit_private.webhook),
    'can_call', exists (
      select
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where n.nspname = 'net' and p.proname = 'http_post'
    ),
    'has_secret', v_has_secret
  );
end
$$;
