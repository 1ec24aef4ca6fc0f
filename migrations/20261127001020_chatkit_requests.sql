-- Requests for ChatKit sessions, and their outcomes.

-- Records a request for a ChatKit session once and charges it to the rate limits. Returns what is
-- left of the limit, or null if nothing was charged: the request was recorded before, or
-- p_request_id is null because no ChatKit session is requested. p_claims are those of the caller's
-- token.
create or replace function chatkit_private.request_chatkit_session(
  p_session public.chat_sessions,
  p_request_id uuid,
  p_claims jsonb
) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if p_request_id is null then
    return null;
  end if;
  insert into public.chatkit_sessions (
    id, org_id, user_id, session_id, agent_id, provider, aal, client_id
  )
  values (
    p_request_id, p_session.org_id, p_session.user_id, p_session.id, p_session.agent_id,
    p_session.provider, p_claims ->> 'aal', p_claims ->> 'client_id'
  )
  on conflict (id) do nothing;
  if found then
    return chatkit_private.consume_rate_limit(p_session, 'secret', 1);
  end if;
  if not exists (
    select from public.chatkit_sessions as c
    where c.id = p_request_id and c.session_id = p_session.id
  ) then
    raise sqlstate 'PT409' using message = 'chatkit_request_taken';
  end if;
  return null;
end
$$;

create or replace function public.record_chatkit_session(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_request_id uuid,
  p_chatkit_session_id text,
  p_sealed_secret text,
  p_sealing_key_id text,
  p_expires_at timestamptz default null,
  p_secret_hash text default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
  v_request public.chatkit_sessions;
  v_of_use boolean;
  v_constraint text;
  v_column text;
begin
  perform chatkit_private.lock_idempotency_key(p_org_id, p_chatkit_request_id);
  v_session := chatkit_private.lock_session(p_org_id, p_session_id);
  select * into v_request
  from public.chatkit_sessions as c
  where c.id = p_chatkit_request_id and c.session_id = p_session_id;
  if not found then
    raise sqlstate 'PT404' using message = 'chatkit_request_not_found';
  end if;

  if v_request.recorded_at is null then
    v_of_use := v_session.status = 'active'
      and v_session.agent_id = v_request.agent_id
      and v_session.provider = v_request.provider
      and v_request.failed_at is null;
    update public.chatkit_sessions as c
    set recorded_at = clock_timestamp(),
        chatkit_session_id = p_chatkit_session_id,
        -- The database compares the time with its own clock when a request brings the secret.
        expires_at = case v_request.provider
          when 'self_hosted' then clock_timestamp() + interval '10 minutes'
          else p_expires_at
        end,
        sealed_secret = case when v_of_use then p_sealed_secret end,
        sealing_key_id = case when v_of_use then p_sealing_key_id end,
        secret_hash = case when v_of_use then p_secret_hash end
    where c.id = p_chatkit_request_id
    returning * into v_request;
  elsif v_request.chatkit_session_id is distinct from p_chatkit_session_id then
    raise sqlstate 'PT409' using message = 'chatkit_request_conflict';
  end if;

  perform chatkit_private.release_idempotency_key(
    p_org_id, p_chatkit_request_id, v_request.sealed_secret is not null
  );
  -- A repeated call returns the current state: a secret that was erased since must not be issued.
  return jsonb_build_object(
    'recorded', v_request.sealed_secret is not null,
    'expires_at', v_request.expires_at,
    'session', to_jsonb(v_session)
  );
exception
  when unique_violation then
    raise sqlstate 'PT409' using message = 'chatkit_session_taken';
  when check_violation or not_null_violation then
    -- PostgreSQL's own error would quote the row.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_chatkit_session',
      detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

comment on function public.record_chatkit_session is
  'Records a new ChatKit session: OpenAI''s response, or one of a self-hosted agent with the hash '
  'of its secret, which lives for ten minutes. The id and the expiry are always stored, so that a '
  'cancellation can find the ChatKit session. The secret is stored only if the session is active '
  'and still with the agent and the provider of the request, and neither the attempt itself nor '
  'its successor marked the request as failed. `recorded` is true if it is stored. If not, the '
  'caller issues no secret and cancels the ChatKit session at OpenAI. The session''s lock decides '
  'whether this or a cancellation comes first.';

create or replace function public.fail_chatkit_session(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_request_id uuid,
  p_end_session boolean
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  perform chatkit_private.lock_idempotency_key(p_org_id, p_chatkit_request_id);
  v_session := chatkit_private.lock_session(p_org_id, p_session_id);
  update public.chatkit_sessions as c
  set failed_at = coalesce(c.failed_at, clock_timestamp()),
      sealed_secret = null,
      sealing_key_id = null
  where c.id = p_chatkit_request_id and c.session_id = p_session_id;
  if not found then
    raise sqlstate 'PT404' using message = 'chatkit_request_not_found';
  end if;

  perform chatkit_private.release_idempotency_key(p_org_id, p_chatkit_request_id, false);
  if p_end_session and chatkit_private.failed_to_open(v_session) then
    perform chatkit_private.end_session(p_session_id, 'failed', 'system', null);
  end if;
  return jsonb_build_object('session', chatkit_private.session_response(p_session_id));
end
$$;

comment on function public.fail_chatkit_session is
  'Records that a request to OpenAI failed, so that the next attempt under its key need not wait. '
  'With p_end_session, for a request that was to open the session, the session ends as failed. It '
  'stays if another request for it succeeded or is running, for example one from another browser '
  'tab, or the attempt that replaced this one.';
