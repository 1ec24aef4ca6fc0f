-- What a project's restrictive policies refuse a caller to read, no function writes for them. The functions that write for a
-- caller run as their owner, whom no policy concerns. So each moves to the schema `private`, and a function of the same name takes
-- its place in `public`, which runs with the rights of who calls it: it becomes `authenticated` with the caller's claims, looks
-- whether the policies let them read what the call is about, becomes `service_role` again, and calls the function that writes.
-- All in one transaction and one round trip. (PostgreSQL refuses to change the role within a function that runs as its owner: none of
-- these may be one.)

drop function if exists private.open_session(uuid, uuid, uuid, text, text, jsonb, uuid, text, text, integer, integer);
drop function if exists private.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer, boolean
);
drop function if exists private.record_events(uuid, uuid, uuid, text, jsonb, text, text, text);
drop function if exists private.cancel_session(uuid, uuid, uuid, text, text);
drop function if exists private.decide_escalation(uuid, uuid, uuid, text, text, jsonb, uuid, text, text);

alter function public.open_session(uuid, uuid, uuid, text, text, jsonb, uuid, text, text, integer, integer)
  set schema private;
alter function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer, boolean
) set schema private;
alter function public.record_events(uuid, uuid, uuid, text, jsonb, text, text, text) set schema private;
alter function public.cancel_session(uuid, uuid, uuid, text, text) set schema private;
alter function public.decide_escalation(uuid, uuid, uuid, text, text, jsonb, uuid, text, text) set schema private;

-- The API does not expose the schema. Of what is in it, `service_role` may execute the functions above and the helpers below.
grant usage on schema private to service_role;

-- The claims to look with: those of the caller's verified token, which must be about the user and the organisation that the call
-- names. Without any, what the database knows of the user: enough for our own policies, and nothing by which a policy that
-- demands more (a second factor, say) would be met.
create or replace function private.claims_of(p_org_id uuid, p_user_id uuid, p_claims jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if p_claims is null or p_claims = 'null' then
    return jsonb_build_object(
      'sub', p_user_id,
      'role', 'authenticated',
      'app_metadata', coalesce((select u.raw_app_meta_data from auth.users as u where u.id = p_user_id), '{}')
        || jsonb_build_object('org_id', p_org_id)
    );
  end if;
  if (
    lower(p_claims ->> 'sub') = p_user_id::text and private.org_id_of(p_claims -> 'app_metadata') = p_org_id
  ) is not true then
    raise sqlstate 'PT403' using message = 'not_a_member';
  end if;
  return p_claims;
end
$$;

-- Which of these sessions and escalations the policies let the caller read; an escalation only with its session. Policies may call
-- functions that take names from the search path, so it is that of a request meanwhile.
create or replace function private.readable_ids(p_claims jsonb, p_session_ids uuid[], p_escalation_ids uuid[] default '{}')
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  v_role text := current_setting('role');
  v_claims text := coalesce(current_setting('request.jwt.claims', true), '');
  v_ids uuid[];
begin
  perform set_config('request.jwt.claims', p_claims::text, true),
          set_config('search_path', 'public, extensions', true),
          set_config('role', 'authenticated', true);
  v_ids := array(
    select s.id from public.chat_sessions as s where s.id = any (p_session_ids)
    union all
    select x.id
    from public.chat_escalations as x
    join public.chat_sessions as s on s.id = x.session_id
    where x.id = any (p_escalation_ids)
  );
  perform set_config('role', v_role, true),
          set_config('search_path', '', true),
          set_config('request.jwt.claims', v_claims, true);
  return v_ids;
end
$$;

-- The escalation that an event decides; null where it decides none. Takes every spelling of an id that PostgreSQL takes.
create or replace function private.escalation_of(p_given jsonb) returns uuid
language sql immutable parallel safe
set search_path = ''
return case
  when p_given ->> 'type' = 'hitl_resolved'
    and translate(p_given #>> '{payload,escalationId}', '{}-', '') ~* '^[0-9a-f]{32}$'
    then translate(p_given #>> '{payload,escalationId}', '{}-', '')::uuid
end;

revoke all on function private.claims_of(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function private.readable_ids(jsonb, uuid[], uuid[]) from public, anon, authenticated, service_role;
revoke all on function private.escalation_of(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.claims_of(uuid, uuid, jsonb) to service_role;
grant execute on function private.readable_ids(jsonb, uuid[], uuid[]) to service_role;
grant execute on function private.escalation_of(jsonb) to service_role;

-- Opens a session, see private.open_session. Which one it answers with is known afterwards, so that is when it is looked at: a
-- new one that its user could not read is not made, an earlier one is not found.
create or replace function public.open_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_agent_id text,
  p_channel text,
  p_metadata jsonb,
  p_chatkit_request_id uuid default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_min_life_seconds integer default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := private.claims_of(p_org_id, p_user_id, p_claims);
  v_opened jsonb := private.open_session(
    p_org_id, p_user_id, p_session_id, p_agent_id, p_channel, p_metadata, p_chatkit_request_id, p_idempotency_key,
    p_request_hash, p_lease_seconds, p_min_life_seconds
  );
  v_id uuid := (v_opened #>> '{session,id}')::uuid;
begin
  if v_id = any (private.readable_ids(v_claims, array[v_id])) then
    return v_opened;
  end if;
  if (v_opened ->> 'replayed')::boolean then
    raise sqlstate 'PT404' using message = 'session_not_found';
  end if;
  raise sqlstate 'PT403' using message = 'row_policy_refused';
end
$$;

-- The others know beforehand what they are about. What the caller may not read becomes an id that does not exist, without the
-- idempotency key, which could tell that it does: so all that follows is as for such an id, and no lock is taken.

-- Asks for another client secret, see private.renew_chatkit_session.
create or replace function public.renew_chatkit_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_purpose text,
  p_min_life_seconds integer,
  p_chatkit_request_id uuid default null,
  p_agent_id text default null,
  p_metadata jsonb default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_lease_seconds integer default null,
  p_rejected boolean default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := private.claims_of(p_org_id, p_user_id, p_claims);
  v_readable boolean := p_session_id = any (private.readable_ids(v_claims, array[p_session_id]));
begin
  return private.renew_chatkit_session(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end, p_purpose,
    p_min_life_seconds, p_chatkit_request_id, p_agent_id, p_metadata, case when v_readable then p_idempotency_key end,
    p_request_hash, p_lease_seconds, p_rejected
  );
end
$$;

-- Records events, see private.record_events. An event that decides an escalation is about that too.
create or replace function public.record_events(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_actor_type text,
  p_events jsonb,
  p_actor_id text default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := private.claims_of(p_org_id, p_user_id, p_claims);
  v_events jsonb := case jsonb_typeof(p_events) when 'array' then p_events else '[]' end;
  v_decided uuid[] := array(
    select private.escalation_of(e.value)
    from jsonb_array_elements(v_events) as e
    where private.escalation_of(e.value) is not null
  );
  v_ids uuid[] := private.readable_ids(v_claims, array[p_session_id], v_decided);
  v_readable boolean := p_session_id = any (v_ids);
begin
  if v_decided <@ v_ids then
    v_events := p_events;
  else
    v_events := (
      select jsonb_agg(
        case
          when private.escalation_of(e.value) <> all (v_ids) then e.value || jsonb_build_object(
            'id', gen_random_uuid(),
            'payload', (e.value -> 'payload') || jsonb_build_object('escalationId', gen_random_uuid())
          )
          else e.value
        end
        order by e.position
      )
      from jsonb_array_elements(v_events) with ordinality as e (value, position)
    );
  end if;
  return private.record_events(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end, p_actor_type, v_events,
    p_actor_id, case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

-- Ends a session, see private.cancel_session.
create or replace function public.cancel_session(
  p_org_id uuid,
  p_user_id uuid,
  p_session_id uuid,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := private.claims_of(p_org_id, p_user_id, p_claims);
  v_readable boolean := p_session_id = any (private.readable_ids(v_claims, array[p_session_id]));
begin
  return private.cancel_session(
    p_org_id, p_user_id, case when v_readable then p_session_id else gen_random_uuid() end,
    case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

-- Decides an escalation, see private.decide_escalation.
create or replace function public.decide_escalation(
  p_org_id uuid,
  p_user_id uuid,
  p_escalation_id uuid,
  p_decision text,
  p_subject_hash text,
  p_answer jsonb default null,
  p_event_id uuid default null,
  p_idempotency_key text default null,
  p_request_hash text default null,
  p_claims jsonb default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claims jsonb := private.claims_of(p_org_id, p_user_id, p_claims);
  v_readable boolean := p_escalation_id = any (private.readable_ids(v_claims, '{}', array[p_escalation_id]));
begin
  return private.decide_escalation(
    p_org_id, p_user_id, case when v_readable then p_escalation_id else gen_random_uuid() end, p_decision,
    p_subject_hash, p_answer, p_event_id, case when v_readable then p_idempotency_key end, p_request_hash
  );
end
$$;

revoke all on function public.open_session(
  uuid, uuid, uuid, text, text, jsonb, uuid, text, text, integer, integer, jsonb
) from public, anon, authenticated, service_role;
revoke all on function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer, boolean, jsonb
) from public, anon, authenticated, service_role;
revoke all on function public.record_events(uuid, uuid, uuid, text, jsonb, text, text, text, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.cancel_session(uuid, uuid, uuid, text, text, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.decide_escalation(uuid, uuid, uuid, text, text, jsonb, uuid, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.open_session(
  uuid, uuid, uuid, text, text, jsonb, uuid, text, text, integer, integer, jsonb
) to service_role;
grant execute on function public.renew_chatkit_session(
  uuid, uuid, uuid, text, integer, uuid, text, jsonb, text, text, integer, boolean, jsonb
) to service_role;
grant execute on function public.record_events(uuid, uuid, uuid, text, jsonb, text, text, text, jsonb) to service_role;
grant execute on function public.cancel_session(uuid, uuid, uuid, text, text, jsonb) to service_role;
grant execute on function public.decide_escalation(uuid, uuid, uuid, text, text, jsonb, uuid, text, text, jsonb)
  to service_role;
