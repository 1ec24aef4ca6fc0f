-- What became of a request to OpenAI also ends the claim of the attempt that made it.

-- Whether a session was opened together with a request to OpenAI, and neither that nor any later one came through or may
-- still do so. Then nobody ever got in. A session that was opened while ChatKit was not configured is none of these.
create or replace function private.failed_to_open(p_session public.chat_sessions) returns boolean
language sql stable
set search_path = ''
as $$
  select p_session.status = 'active'
    and exists (
      select from public.chatkit_sessions as c
      -- One transaction wrote both, so they are of one moment.
      where c.session_id = p_session.id and c.requested_at = p_session.created_at
    )
    and not exists (
      select from public.chatkit_sessions as c where c.session_id = p_session.id and c.failed_at is null
    )
$$;

-- Records OpenAI's answer. The id and expiry are kept whatever happened meanwhile, so that a cancel can find them; the secret
-- only while the session is active and with the agent it was asked for, and the attempt was not given up, by itself or by
-- the one that took over. `recorded` says which: if false, the caller hands nothing out and cancels upstream. Whether this
-- or a cancel comes first, the session's lock decides, and no third thing happens.
create or replace function public.record_chatkit_session(
  p_org_id uuid,
  p_session_id uuid,
  p_chatkit_request_id uuid,
  p_chatkit_session_id text,
  p_expires_at timestamptz,
  p_sealed_secret text,
  p_sealing_key_id text
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
  perform private.lock_key_of(p_org_id, p_chatkit_request_id);
  v_session := private.lock_session(p_org_id, p_session_id);
  select * into v_request
  from public.chatkit_sessions as c
  where c.id = p_chatkit_request_id and c.session_id = p_session_id;
  if not found then
    raise sqlstate 'PT404' using message = 'chatkit_request_not_found';
  end if;

  if v_request.recorded_at is null then
    v_of_use := v_session.status = 'active'
      and v_session.agent_id = v_request.agent_id
      and v_request.failed_at is null;
    update public.chatkit_sessions as c
    set recorded_at = clock_timestamp(),
        chatkit_session_id = p_chatkit_session_id,
        expires_at = p_expires_at,
        sealed_secret = case when v_of_use then p_sealed_secret end,
        sealing_key_id = case when v_of_use then p_sealing_key_id end
    where c.id = p_chatkit_request_id
    returning * into v_request;
  elsif v_request.chatkit_session_id is distinct from p_chatkit_session_id then
    raise sqlstate 'PT409' using message = 'chatkit_request_conflict';
  end if;

  perform private.let_go_of_key(p_org_id, p_chatkit_request_id, v_request.sealed_secret is not null);
  -- On a repeat too this is the truth of now: a secret erased since the first call must not be handed out by the second.
  return jsonb_build_object(
    'recorded', v_request.sealed_secret is not null,
    'session', to_jsonb(v_session)
  );
exception
  when unique_violation then
    raise sqlstate 'PT409' using message = 'chatkit_session_taken';
  when check_violation or not_null_violation then
    -- PostgreSQL's own error would quote the row.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_chatkit_session', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

-- Notes that a request failed, so that the next attempt under its key goes on at once. With p_end_session (the session was only
-- being opened) the session ends as failed, unless somebody got in by another request meanwhile, from another tab say, or
-- took this one over: a session in use stays.
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
  perform private.lock_key_of(p_org_id, p_chatkit_request_id);
  v_session := private.lock_session(p_org_id, p_session_id);
  update public.chatkit_sessions as c
  set failed_at = coalesce(c.failed_at, clock_timestamp()), sealed_secret = null, sealing_key_id = null
  where c.id = p_chatkit_request_id and c.session_id = p_session_id;
  if not found then
    raise sqlstate 'PT404' using message = 'chatkit_request_not_found';
  end if;

  perform private.let_go_of_key(p_org_id, p_chatkit_request_id, false);
  if p_end_session and private.failed_to_open(v_session) then
    perform private.end_session(p_session_id, 'failed', 'system', null);
  end if;
  return jsonb_build_object('session', private.session_json(p_session_id));
end
$$;

revoke all on function private.failed_to_open(public.chat_sessions) from public, anon, authenticated, service_role;
