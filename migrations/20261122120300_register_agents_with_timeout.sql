-- An agent is registered with its idle timeout. The function of before goes: with two of one name a call that leaves the
-- timeout out would be ambiguous.

drop function if exists public.register_agent(uuid, text, text, text, text, text, boolean, boolean, text[]);

-- Registers an agent or replaces its registration: the whole of it, so what a call leaves out gets its default. Sessions are
-- not touched: those of an agent that was disabled get no new secret, and go on otherwise.
create or replace function public.register_agent(
  p_org_id uuid,
  p_agent_id text,
  p_display_name text,
  p_description text,
  p_chatkit_workflow_id text,
  p_chatkit_workflow_version text default null,
  p_enabled boolean default true,
  p_tracing_enabled boolean default false,
  p_allowed_org_roles text[] default null,
  p_idle_timeout_seconds integer default 86400
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_agent public.agents;
  v_constraint text;
  v_column text;
begin
  insert into public.agents as a (
    org_id, id, display_name, description, chatkit_workflow_id, chatkit_workflow_version,
    enabled, tracing_enabled, allowed_org_roles, idle_timeout_seconds
  ) values (
    p_org_id, p_agent_id, p_display_name, p_description, p_chatkit_workflow_id, p_chatkit_workflow_version,
    p_enabled, p_tracing_enabled, p_allowed_org_roles, p_idle_timeout_seconds
  )
  on conflict (org_id, id) do update set
    display_name = excluded.display_name,
    description = excluded.description,
    chatkit_workflow_id = excluded.chatkit_workflow_id,
    chatkit_workflow_version = excluded.chatkit_workflow_version,
    enabled = excluded.enabled,
    tracing_enabled = excluded.tracing_enabled,
    allowed_org_roles = excluded.allowed_org_roles,
    idle_timeout_seconds = excluded.idle_timeout_seconds,
    updated_at = now()
  -- The same registration again changes nothing, `updated_at` included.
  where (a.display_name, a.description, a.chatkit_workflow_id, a.chatkit_workflow_version, a.enabled,
         a.tracing_enabled, a.allowed_org_roles, a.idle_timeout_seconds)
    is distinct from
        (excluded.display_name, excluded.description, excluded.chatkit_workflow_id, excluded.chatkit_workflow_version,
         excluded.enabled, excluded.tracing_enabled, excluded.allowed_org_roles, excluded.idle_timeout_seconds);

  select * into v_agent from public.agents as a where a.org_id = p_org_id and a.id = p_agent_id;
  return jsonb_build_object('agent', to_jsonb(v_agent) || jsonb_build_object(
    'created_at', private.utc_text(v_agent.created_at), 'updated_at', private.utc_text(v_agent.updated_at)
  ));
exception
  when check_violation or not_null_violation then
    -- Name the rule and not the row: an operator needs to know which field is wrong.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    raise sqlstate 'PT422' using message = 'invalid_agent', detail = coalesce(nullif(v_constraint, ''), v_column);
end
$$;

revoke all on function public.register_agent(uuid, text, text, text, text, text, boolean, boolean, text[], integer)
  from public, anon, authenticated, service_role;
grant execute on function public.register_agent(uuid, text, text, text, text, text, boolean, boolean, text[], integer)
  to service_role;
