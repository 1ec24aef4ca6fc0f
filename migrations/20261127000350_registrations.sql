-- Lists of what is registered in an organisation, for operators.

create or replace function public.list_registrations(
  p_org_id uuid,
  p_limit integer,
  p_after text default null
) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 100);
  v_agents jsonb;
begin
  -- Without long texts and schemas, a page stays far below 4 MiB.
  select coalesce(jsonb_agg(
    to_jsonb(a) - '{org_id,instructions,start_screen,client_tools}'::text[]
    || jsonb_build_object(
      'created_at', chatkit_private.utc_text(a.created_at),
      'updated_at', chatkit_private.utc_text(a.updated_at),
      'server', (
        select to_jsonb(s) - '{org_id,agent_id}'::text[] || jsonb_build_object(
          'created_at', chatkit_private.utc_text(s.created_at),
          'updated_at', chatkit_private.utc_text(s.updated_at),
          'tools', (
            select coalesce(jsonb_agg(
              to_jsonb(t) - '{org_id,agent_id,description,input_schema,display}'::text[]
              order by t.name
            ), '[]')
            from public.agent_tools as t
            where t.org_id = s.org_id and t.agent_id = s.agent_id
          ),
          'routes', (
            select coalesce(jsonb_agg(
              to_jsonb(r) - '{place,org_id,agent_id}'::text[] order by r.place
            ), '[]')
            from public.agent_routes as r
            where r.org_id = s.org_id and r.agent_id = s.agent_id
          )
        )
        from public.agent_servers as s
        where s.org_id = a.org_id and s.agent_id = a.id
      )
    )
    order by a.id
  ), '[]')
  into v_agents
  from (
    select *
    from public.agents as o
    where o.org_id = p_org_id and (p_after is null or o.id > p_after)
    order by o.id
    limit v_limit
  ) as a;
  return jsonb_build_object(
    'agents', v_agents,
    'next', case when jsonb_array_length(v_agents) = v_limit then v_agents -> -1 ->> 'id' end
  );
end
$$;

comment on function public.list_registrations is
  'Returns a page of an organisation''s agents by id, each with its server, tools and routes, and '
  'without instructions, schemas and other long texts. `next` is the id to pass as p_after for the '
  'next page, null if the page is not full.';
