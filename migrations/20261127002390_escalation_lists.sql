-- Lists of escalations.
--
-- The two functions of chatkit_private read as their owner: they check who may decide, and read
-- people's names. They return rows of the caller's organisation only. The functions of `public`
-- call them as the caller, and return the rows that the policies let the caller read. They resolve
-- the names in their body when they are created, so a caller needs no usage on the schema
-- chatkit_private. They set no search path: a project's own policy may use the one of the request.

create or replace function chatkit_private.escalation_page(
  p_limit integer,
  p_status text[],
  p_agent_id text,
  p_tool text,
  p_risk text,
  p_session_id uuid,
  p_claimed_by_me boolean,
  p_decidable boolean,
  p_sort text,
  p_after_at timestamptz,
  p_after_id uuid
) returns jsonb
language plpgsql security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  -- Bounds the work for a filter that few rows meet.
  c_most_examined constant integer := 2000;
  v_org_id uuid := chatkit_private.caller_org_id();
  v_user_id uuid := auth.uid();
  v_role text := chatkit_private.member_role(v_org_id, v_user_id);
  v_order text := case p_sort
    when 'newest' then 'e.created_at desc, e.id desc'
    when 'expiry' then 'e.expires_at, e.id'
    else 'e.created_at, e.id'
  end;
  v_conditions text := concat_ws(
    ' and ',
    'e.org_id = $1',
    case when not chatkit_private.caller_is_approver() then 'e.user_id = $2' end,
    case when p_session_id is not null then 'e.session_id = $3' end,
    case when p_claimed_by_me then $q$e.claimed_by = $2 and e.status = 'open'$q$ end,
    case when p_after_at is not null then
      case p_sort
        when 'newest' then '(e.created_at, e.id) < ($4, $5)'
        when 'expiry' then '(e.expires_at, e.id) > ($4, $5)'
        else '(e.created_at, e.id) > ($4, $5)'
      end
    end
  );
  v_query text;
  v_escalation public.chat_escalations;
  v_row jsonb;
  v_rows jsonb[] := '{}';
  v_bytes bigint := 0;
  v_examined integer := 0;
  v_next jsonb;
begin
  -- Each status is read from an index in the order of the list, and the database merges them. The
  -- text consists of constants.
  select string_agg(
    format(
      '(select e.* from public.chat_escalations as e where e.status = %L and %s order by %s limit %s)',
      s.status, v_conditions, v_order, c_most_examined
    ),
    ' union all '
  )
  into v_query
  from unnest('{open,resolved,expired,withdrawn}'::text[]) as s (status)
  where s.status = any (p_status);
  if v_query is null then
    return '{"rows": [], "next": null}';
  end if;
  for v_escalation in execute
    format('select e.* from (%s) as e order by %s limit %s', v_query, v_order, c_most_examined)
    using v_org_id, v_user_id, p_session_id, p_after_at, p_after_id
  loop
    v_row := null;
    if (p_agent_id is null or v_escalation.agent_id = p_agent_id)
       and (p_tool is null or v_escalation.tool = p_tool)
       and (p_risk is null or v_escalation.risk = p_risk)
       and (not p_claimed_by_me or v_escalation.claimed_until > clock_timestamp())
       and (
         not p_decidable
         or chatkit_private.may_decide(v_escalation, v_user_id, v_role) ->> 'because' is null
       ) then
      v_row := chatkit_private.escalation_response(v_escalation, v_user_id, v_role);
      v_bytes := v_bytes + octet_length(v_row::text);
      exit when cardinality(v_rows) >= p_limit
        or (v_bytes > 1048576 and cardinality(v_rows) > 0);
      v_rows := v_rows || v_row;
      v_row := null;
    end if;
    v_examined := v_examined + 1;
    v_next := jsonb_build_object(
      'at', case p_sort when 'expiry' then v_escalation.expires_at else v_escalation.created_at end,
      'id', v_escalation.id
    );
  end loop;
  return jsonb_build_object(
    'rows', to_jsonb(v_rows),
    'next', case when v_row is not null or v_examined = c_most_examined then v_next end
  );
end
$$;

create or replace function public.list_escalations(
  p_limit integer,
  p_status text[] default '{open}',
  p_agent_id text default null,
  p_tool text default null,
  p_risk text default null,
  p_session_id uuid default null,
  p_claimed_by_me boolean default false,
  p_decidable boolean default false,
  p_sort text default 'waiting',
  p_after_at timestamptz default null,
  p_after_id uuid default null
) returns jsonb
language sql stable security invoker
begin atomic
  select jsonb_build_object(
    'rows', (
      select coalesce(jsonb_agg(r.escalation order by r.position), '[]')
      from jsonb_array_elements(page -> 'rows') with ordinality as r (escalation, position)
      -- A count, unlike `exists`, is looked up for each row. The planner knows little about how
      -- many rows the policies match.
      where 1 = (
        select count(*)
        from public.chat_escalations as e
        join public.chat_sessions as s on s.id = e.session_id
        where e.id = (r.escalation ->> 'id')::uuid
      )
    ),
    'next', page -> 'next'
  )
  from chatkit_private.escalation_page(
    p_limit, p_status, p_agent_id, p_tool, p_risk, p_session_id, p_claimed_by_me, p_decidable,
    p_sort, p_after_at, p_after_id
  ) as page;
end;

comment on function public.list_escalations is
  'Returns a page of the escalations that the caller may read, filtered by the arguments, as '
  '{rows, next}: up to p_limit rows in about 1 MiB. p_sort is waiting (the oldest first), expiry '
  '(the next to expire first; only for open ones) or newest. (p_after_at, p_after_id) is `next` of '
  'the previous page. One call examines at most 2000 escalations, so a page can be short and have '
  'a `next`. p_decidable selects those of which the caller may take every decision.';

-- Returns an escalation of the caller's organisation with its outcome; null if the caller is
-- neither its session's user nor an approver.
create or replace function chatkit_private.escalation_details(p_escalation_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_org_id uuid := chatkit_private.caller_org_id();
  v_user_id uuid := auth.uid();
  v_escalation public.chat_escalations;
begin
  select * into v_escalation
  from public.chat_escalations as e
  where e.id = p_escalation_id
    and e.org_id = v_org_id
    and (chatkit_private.caller_is_approver() or e.user_id = v_user_id);
  if not found then
    return null;
  end if;
  return chatkit_private.escalation_response(
    v_escalation, v_user_id, chatkit_private.member_role(v_org_id, v_user_id)
  ) || jsonb_build_object(
    -- The delivery that the decision created, if there is one.
    'delivery', (
      select jsonb_build_object('id', d.id, 'status', d.status, 'error', d.error)
      from public.deliveries as d
      where d.session_id = v_escalation.session_id
        and (d.id = v_escalation.delivery_id or d.event_id = v_escalation.decision_event_id)
        and v_escalation.delivery_id is not null
      order by d.id = v_escalation.delivery_id
      limit 1
    ),
    'successor_id', (
      select s.id from public.chat_escalations as s
      where s.session_id = v_escalation.session_id and s.predecessor_id = v_escalation.id
      order by s.created_at
      limit 1
    ),
    'rejected_before', (
      select coalesce(jsonb_agg(r.rejection order by r.decided_at desc), '[]')
      from (
        select b.decided_at, jsonb_build_object('id', b.id, 'at', b.decided_at) as rejection
        from public.chat_escalations as b
        where b.org_id = v_org_id
          and b.request_hash = v_escalation.request_hash
          and b.decision = 'reject'
          and b.user_id = v_escalation.user_id
          and b.decided_by <> b.user_id
          and b.decided_at < v_escalation.created_at
        order by b.decided_at desc
        limit 10
      ) as r
    )
  );
end
$$;

create or replace function public.get_escalation(p_escalation_id uuid) returns jsonb
language sql stable security invoker
begin atomic
  select jsonb_build_object('escalation', (
    select details
    from chatkit_private.escalation_details(p_escalation_id) as details
    where 1 = (
      select count(*)
      from public.chat_escalations as e
      join public.chat_sessions as s on s.id = e.session_id
      where e.id = p_escalation_id
    )
  ));
end;

comment on function public.get_escalation is
  'Returns {escalation}: an escalation with the delivery that its decision continues, the '
  'escalation that an edit opened, and earlier rejections of the same request. Null if it does not '
  'exist or the caller may not read it.';
