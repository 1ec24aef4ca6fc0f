-- Metrics of deliveries. docs/reference/metrics.md defines them.

-- Returns the counts of the deliveries that were created in the window, at the levels of
-- count_sessions. Each delivery is in one of six states, so made = delivered + taken_up +
-- under_way + dead + unknown + withdrawn.
create or replace function chatkit_private.count_deliveries(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text
) returns table (
  level integer,
  of_group text,
  of_bucket timestamptz,
  made bigint,
  -- delivered: an agent completed it. taken_up: it was held, and another delivery resumed its call
  -- after a decision, so it is done without a result.
  delivered bigint,
  taken_up bigint,
  under_way bigint,
  dead bigint,
  unknown bigint,
  withdrawn bigint,
  -- Called more than once.
  retried bigint,
  -- Delivered without any escalation about it.
  automatic bigint
)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_length interval := chatkit_private.bucket_length(p_bucket);
  v_origin constant timestamptz := '2000-01-01 00:00:00+00';
begin
  return query
  with asked_about as (
    -- A delivery created in the window has no escalation before the window.
    select distinct x.delivery_id
    from public.chat_escalations as x
    where x.org_id = p_org_id and x.created_at >= p_from and x.delivery_id is not null
  ), deliveries as (
    select
      case p_group_by
        when 'agent' then s.agent_id when 'channel' then s.channel else ''
      end as of_group,
      date_bin(v_length, d.created_at, v_origin) as of_bucket,
      count(*) as made,
      count(*) filter (where d.status = 'done' and d.finished_as = 'done') as delivered,
      count(*) filter (where d.status = 'done' and d.finished_as is distinct from 'done')
        as taken_up,
      count(*) filter (where d.status in ('pending', 'running', 'asked')) as under_way,
      count(*) filter (where d.status = 'dead') as dead,
      count(*) filter (where d.status = 'unknown') as unknown,
      count(*) filter (where d.status = 'withdrawn') as withdrawn,
      count(*) filter (where d.fence > 1) as retried,
      count(*) filter (
        where d.status = 'done'
          and d.finished_as = 'done'
          and d.resumes is null
          and a.delivery_id is null
      ) as automatic
    from public.deliveries as d
    left join asked_about as a on a.delivery_id = d.id
    left join public.chat_sessions as s
      on p_group_by <> 'none'
      and s.org_id = p_org_id
      and (s.ended_at >= p_from or s.ended_at is null)
      and s.id = d.session_id
    where d.org_id = p_org_id and d.created_at >= p_from and d.created_at < p_to
    group by 1, 2
  )
  select
    grouping(d.of_group, d.of_bucket),
    coalesce(d.of_group, ''),
    coalesce(d.of_bucket, '-infinity'),
    sum(d.made)::bigint, sum(d.delivered)::bigint,
    sum(d.taken_up)::bigint, sum(d.under_way)::bigint,
    sum(d.dead)::bigint, sum(d.unknown)::bigint, sum(d.withdrawn)::bigint,
    sum(d.retried)::bigint, sum(d.automatic)::bigint
  from deliveries as d
  group by grouping sets ((d.of_group, d.of_bucket), (d.of_group), ());
end
$$;
