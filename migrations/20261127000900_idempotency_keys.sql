-- Idempotency keys: the request and the session that a client's `Idempotency-Key` identifies.

create table if not exists public.idempotency_keys (
  org_id uuid not null,
  user_id uuid not null,
  -- Keys of different endpoints are independent.
  endpoint text not null,
  key text not null,
  -- SHA-256 of the request body in canonical form: a key always stands for the same request.
  request_hash text not null,
  -- The session that the key identifies, once known.
  session_id uuid,
  -- The attempt that holds the key, by its request to OpenAI. Only this attempt can complete it.
  chatkit_request_id uuid,
  -- The end of the attempt's lease; null when no attempt runs. Then another attempt may take over.
  lease_until timestamptz,
  -- When an attempt last succeeded.
  completed_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  last_used_at timestamptz not null default clock_timestamp(),
  primary key (org_id, user_id, endpoint, key),
  constraint idempotency_keys_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint idempotency_keys_lease_has_holder
    check (lease_until is null or chatkit_request_id is not null)
);

comment on table public.idempotency_keys is
  'Idempotency keys of clients: the hash of the request, the session that it led to, and the '
  'attempt that holds the key.';

-- Finds the key of a request to OpenAI once it has completed.
create index if not exists idempotency_keys_by_request
  on public.idempotency_keys (chatkit_request_id) where chatkit_request_id is not null;

-- Finds a session's keys; covers the foreign key, whose check would otherwise read all keys of the
-- user.
create index if not exists idempotency_keys_by_session
  on public.idempotency_keys (org_id, user_id, session_id) where session_id is not null;

-- Finds keys that have not been used for a long time.
create index if not exists idempotency_keys_by_last_use on public.idempotency_keys (last_used_at);

alter table public.idempotency_keys enable row level security;
revoke all on table public.idempotency_keys from public, anon, authenticated, service_role;

-- Claims a key and locks its row until the transaction ends. Duplicate requests wait here for the
-- first one's transaction, not for OpenAI. Without a key it returns a row of nulls. A returned
-- session_id of null means that the key is new.
create or replace function chatkit_private.claim_idempotency_key(
  p_org_id uuid,
  p_user_id uuid,
  p_endpoint text,
  p_key text,
  p_request_hash text,
  -- The session that the request names, if it names one.
  p_session_id uuid default null,
  p_chatkit_request_id uuid default null
) returns public.idempotency_keys
language plpgsql
set search_path = ''
as $$
declare
  v_claim public.idempotency_keys;
begin
  if p_key is null then
    return null;
  end if;
  if (char_length(p_key) between 1 and 255 and p_request_hash ~ '^[0-9a-f]{64}$') is not true then
    raise sqlstate 'PT422' using message = 'invalid_idempotency_key';
  end if;

  -- One statement, because purge_expired could delete the row between a check and a lock.
  insert into public.idempotency_keys as k (org_id, user_id, endpoint, key, request_hash)
  values (p_org_id, p_user_id, p_endpoint, p_key, p_request_hash)
  on conflict (org_id, user_id, endpoint, key) do update set last_used_at = clock_timestamp()
  returning * into v_claim;

  if v_claim.request_hash <> p_request_hash or v_claim.session_id <> p_session_id then
    raise sqlstate 'PT422' using message = 'idempotency_key_reused';
  end if;
  -- The holder's own call, repeated because its response was lost, is not another attempt.
  if v_claim.lease_until > clock_timestamp()
     and v_claim.chatkit_request_id is distinct from p_chatkit_request_id then
    raise sqlstate 'PT409' using message = 'still_running',
      detail = greatest(
        1, ceil(extract(epoch from v_claim.lease_until - clock_timestamp()))
      )::integer::text;
  end if;
  return v_claim;
end
$$;

-- Gives the key to an attempt. With a request to OpenAI the attempt holds a lease for as long as
-- that may take; without one the key is complete at once. The previous attempt is fenced: if it
-- still runs, its result is recorded without a secret. A new key is charged to the user's limit,
-- because its row is kept for a day, whatever the request does.
create or replace function chatkit_private.lease_idempotency_key(
  p_claim public.idempotency_keys,
  p_session_id uuid,
  p_chatkit_request_id uuid default null,
  p_lease_seconds integer default null
) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_claim.key is null then
    return;
  end if;
  update public.chatkit_sessions as c
  set failed_at = clock_timestamp()
  where c.id = p_claim.chatkit_request_id
    and c.id is distinct from p_chatkit_request_id
    and c.recorded_at is null
    and c.failed_at is null;

  if p_claim.session_id is null and p_claim.completed_at is null then
    perform chatkit_private.consume_bucket(
      p_claim.org_id, 'user', p_claim.user_id, 'key',
      (chatkit_private.effective_limits(p_claim.org_id)).keys_per_day_user, 1, interval '24 hours'
    );
  end if;

  update public.idempotency_keys as k
  set session_id = p_session_id,
      chatkit_request_id = p_chatkit_request_id,
      lease_until = case
        when p_chatkit_request_id is not null
          then clock_timestamp() + make_interval(secs => coalesce(p_lease_seconds, 30))
      end,
      completed_at = case when p_chatkit_request_id is null then clock_timestamp() end
  where (k.org_id, k.user_id, k.endpoint, k.key) = (p_claim.org_id, p_claim.user_id, p_claim.endpoint, p_claim.key);
end
$$;

-- Locks the key that a request to OpenAI holds, if any. Called before the session is locked, as
-- the lock order requires.
create or replace function chatkit_private.lock_idempotency_key(
  p_org_id uuid,
  p_chatkit_request_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform from public.idempotency_keys as k
  where k.chatkit_request_id = p_chatkit_request_id and k.org_id = p_org_id
  for update;
end
$$;

-- Ends an attempt, successful or not, so that the next one under its key need not wait. Does
-- nothing for an attempt that another one replaced, because it no longer holds a key.
create or replace function chatkit_private.release_idempotency_key(
  p_org_id uuid,
  p_chatkit_request_id uuid,
  p_completed boolean
) returns void
language sql
set search_path = ''
as $$
  update public.idempotency_keys as k
  set lease_until = null,
      completed_at = case when p_completed then clock_timestamp() end
  where k.chatkit_request_id = p_chatkit_request_id and k.org_id = p_org_id
    and k.lease_until is not null
$$;
