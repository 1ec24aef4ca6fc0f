-- Opening a session of ours, and asking for another ChatKit session for it. Both write the request down before anybody asks
-- OpenAI: what then happens there is known to a row, also when the function that asked dies.

-- What the function needs to ask OpenAI with.
create or replace function private.upstream_json(p_user_id uuid, p_agent public.agents) returns jsonb
language sql
set search_path = ''
as $$
  select jsonb_build_object(
    'chatkit_user', u.chatkit_user,
    'workflow_id', p_agent.chatkit_workflow_id,
    'workflow_version', p_agent.chatkit_workflow_version,
    'tracing_enabled', p_agent.tracing_enabled
  )
  from public.chatkit_users as u
  where u.org_id = p_agent.org_id and u.user_id = p_user_id
$$;

-- Writes a request down, once; without an id (ChatKit is not configured) there is nothing to write.
create or replace function private.request_chatkit_session(p_session public.chat_sessions, p_request_id uuid) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_request_id is null then
    return;
  end if;
  insert into public.chatkit_sessions (id, org_id, user_id, session_id, agent_id)
  values (p_request_id, p_session.org_id, p_session.user_id, p_session.id, p_session.agent_id)
  on conflict (id) do nothing;
  if not exists (
    select from public.chatkit_sessions as c where c.id = p_request_id and c.session_id = p_session.id
  ) then
    raise sqlstate 'PT409' using message = 'chatkit_request_taken';
  end if;
end
$$;

-- Opens a session. The caller mints its id, so a repeat finds what the first call made, and two at once make one. (What may be
-- missing stands last and has a default, here and below: over HTTP it is safer to leave a thing out than to send a null.)
create or replace function public.open_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent_id text,
  p_channel text,
  p_metadata jsonb,
  p_chatkit_request_id uuid default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_agent public.agents := private.openable_agent(p_org_id, p_user_id, p_agent_id);
  v_session public.chat_sessions;
  v_constraint text;
  v_column text;
begin
  insert into public.chatkit_users (org_id, user_id) values (p_org_id, p_user_id)
  on conflict (org_id, user_id) do nothing;

  insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, metadata)
  values (p_session_id, p_org_id, p_user_id, p_channel, p_agent_id, p_metadata)
  on conflict (id) do nothing;

  select * into v_session
  from public.chat_sessions as s
  where s.id = p_session_id and s.org_id = p_org_id and s.user_id = p_user_id
  for update;
  if not found then
    raise sqlstate 'PT409' using message = 'session_id_taken';
  end if;
  if v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  if (v_session.agent_id, v_session.channel, v_session.metadata) is distinct from (p_agent_id, p_channel, p_metadata) then
    raise sqlstate 'PT422' using message = 'session_mismatch';
  end if;

  perform private.request_chatkit_session(v_session, p_chatkit_request_id);
  return jsonb_build_object(
    'session', to_jsonb(v_session),
    'upstream', private.upstream_json(p_user_id, v_agent)
  );
exception
  when check_violation or not_null_violation then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_session', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

-- Another client secret for a session: the one at hand if it lives long enough, else leave to ask OpenAI for one.
-- `resume` is a person coming back, on another device perhaps; `refresh` is ChatKit.js asking by itself, which is no sign of life.
create or replace function public.renew_chatkit_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_purpose text,
  p_min_life_seconds integer,
  p_chatkit_request_id uuid default null,
  p_agent_id text default null,
  p_metadata jsonb default null
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_session public.chat_sessions := private.lock_session_of(p_org_id, p_user_id, p_session_id);
  v_agent public.agents;
  v_live jsonb;
begin
  if p_purpose is null or p_purpose not in ('resume', 'refresh') then
    raise sqlstate 'PT422' using message = 'invalid_purpose';
  end if;
  if v_session.status = 'ended' then
    raise sqlstate 'PT409' using message = 'session_ended';
  end if;
  -- Handover changes the agent, nothing changes the metadata; what the caller leaves out, they don't claim.
  if p_agent_id <> v_session.agent_id or p_metadata <> v_session.metadata then
    raise sqlstate 'PT422' using message = 'session_mismatch';
  end if;
  v_agent := private.openable_agent(p_org_id, p_user_id, v_session.agent_id);

  if p_purpose = 'resume' then
    perform private.touch_session(p_session_id);
  end if;

  -- A secret that ran out is of no use to anybody, so it does not lie about.
  update public.chatkit_sessions as c
  set sealed_secret = null, sealing_key_id = null
  where c.session_id = p_session_id and c.sealed_secret is not null and c.expires_at <= clock_timestamp();

  -- A sealed secret is there only while it is recorded, not cancelled and of the current agent: constraints and triggers see to
  -- that.
  select jsonb_build_object(
    'chatkit_session_id', c.chatkit_session_id,
    'sealed_secret', c.sealed_secret,
    'sealing_key_id', c.sealing_key_id,
    'expires_at', c.expires_at
  )
  into v_live
  from public.chatkit_sessions as c
  where c.session_id = p_session_id
    and c.sealed_secret is not null
    and c.expires_at >= clock_timestamp() + make_interval(secs => coalesce(p_min_life_seconds, 0))
  order by c.expires_at desc, c.id desc
  limit 1;

  if v_live is null then
    perform private.request_chatkit_session(v_session, p_chatkit_request_id);
  end if;
  return jsonb_build_object(
    'session', private.session_json(p_session_id),
    'upstream', private.upstream_json(p_user_id, v_agent),
    'live', v_live
  );
end
$$;

revoke all on function private.upstream_json(uuid, public.agents) from public, anon, authenticated, service_role;
revoke all on function private.request_chatkit_session(public.chat_sessions, uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.open_session(uuid, uuid, uuid, text, text, jsonb, uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.renew_chatkit_session(uuid, uuid, uuid, text, integer, uuid, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.open_session(uuid, uuid, uuid, text, text, jsonb, uuid) to service_role;
grant execute on function public.renew_chatkit_session(uuid, uuid, uuid, text, integer, uuid, text, jsonb) to service_role;
