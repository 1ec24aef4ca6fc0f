-- Metrics of escalations. docs/reference/metrics.md defines them.

-- Counts the escalations that were opened in the window, by group, bucket, agent, tool, status and
-- whether they are confirmations. `n_in_time` counts those that waited no longer than the service
-- level. `waits` holds the seconds until each decision, without confirmations. An escalation
-- belongs to the group of its session, which had not ended before the window.
create or replace function chatkit_private.escalation_cells(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text,
  p_service_level interval,
  p_as_of timestamptz
) returns table (
  of_group text,
  of_bucket timestamptz,
  agent_id text,
  tool text,
  status text,
  is_confirmation boolean,
  n bigint,
  n_in_time bigint,
  waits double precision[]
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
  with escalations as (
    select
      x.session_id, x.created_at, x.status, x.agent_id, x.tool,
      x.kind = 'confirm' as is_confirmation,
      -- Until it was closed, with or without a decision; otherwise until now.
      coalesce(x.closed_at, p_as_of) - x.created_at as waited
    from public.chat_escalations as x
    where x.org_id = p_org_id and x.created_at >= p_from and x.created_at < p_to
  )
  select
    case p_group_by
      when 'agent' then s.agent_id when 'channel' then s.channel else ''
    end as of_group,
    date_bin(v_length, x.created_at, v_origin) as of_bucket,
    x.agent_id, x.tool, x.status, x.is_confirmation,
    count(*) as n,
    count(*) filter (where x.waited <= p_service_level) as n_in_time,
    array_agg(extract(epoch from x.waited)::double precision)
      filter (where x.status = 'resolved' and not x.is_confirmation) as waits
  from escalations as x
  left join public.chat_sessions as s
    on p_group_by <> 'none'
    and s.org_id = p_org_id
    and (s.ended_at >= p_from or s.ended_at is null)
    and s.id = x.session_id
  group by 1, 2, 3, 4, 5, 6;
end
$$;

-- Returns the counts of the escalations that were opened in the window, at the levels of
-- count_sessions. An escalation belongs to the group of its session.
--
-- A confirmation by the requester is not a control, so confirmations are counted separately and in
-- no other metric.
--
-- `approval_load` exists for each group and in total: [{agent_id, tool, asked, decided, expired,
-- withdrawn, open}], the highest `asked` first. Agent and tool are null for escalations that a
-- page opened.
create or replace function chatkit_private.count_escalations(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text,
  p_service_level interval,
  p_as_of timestamptz
) returns table (
  level integer,
  of_group text,
  of_bucket timestamptz,
  decided bigint,
  -- p50, p90, p95 and p99 of the seconds until the decision.
  decided_after double precision[],
  met bigint,
  missed bigint,
  undecided bigint,
  -- Confirmations that were requested, and those that the requester gave or refused.
  confirmations_asked bigint,
  confirmations_decided bigint,
  approval_load jsonb
)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with parts as materialized (
    select *
    from chatkit_private.escalation_cells(
      p_org_id, p_from, p_to, p_bucket, p_group_by, p_service_level, p_as_of
    )
  ), counts as (
    select
      grouping(p.of_group, p.of_bucket) as level,
      coalesce(p.of_group, '') as of_group,
      coalesce(p.of_bucket, '-infinity') as of_bucket,
      sum(p.n) filter (where p.status = 'resolved' and not p.is_confirmation)::bigint as decided,
      sum(p.n_in_time) filter (where p.status = 'resolved' and not p.is_confirmation)::bigint
        as met,
      -- An expired escalation missed the service level, even if it expired earlier than that.
      sum(case p.status when 'expired' then p.n else p.n - p.n_in_time end)
        filter (where not p.is_confirmation)::bigint as missed,
      sum(p.n_in_time)
        filter (where p.status in ('open', 'withdrawn') and not p.is_confirmation)::bigint
        as undecided,
      sum(p.n) filter (where p.is_confirmation)::bigint as confirmations_asked,
      sum(p.n) filter (where p.status = 'resolved' and p.is_confirmation)::bigint
        as confirmations_decided
    from parts as p
    group by grouping sets ((p.of_group, p.of_bucket), (p.of_group), ())
  ), waits as (
    select
      grouping(p.of_group, p.of_bucket) as level,
      coalesce(p.of_group, '') as of_group,
      coalesce(p.of_bucket, '-infinity') as of_bucket,
      percentile_cont(array[0.5, 0.9, 0.95, 0.99]) within group (order by w.seconds)
        as decided_after
    from parts as p
    cross join unnest(p.waits) as w (seconds)
    group by grouping sets ((p.of_group, p.of_bucket), (p.of_group), ())
  ), tools as (
    select
      case grouping(p.of_group) when 0 then 1 else 3 end as level,
      coalesce(p.of_group, '') as of_group,
      p.agent_id, p.tool,
      sum(p.n) as asked,
      coalesce(sum(p.n) filter (where p.status = 'resolved'), 0) as decided,
      coalesce(sum(p.n) filter (where p.status = 'expired'), 0) as expired,
      coalesce(sum(p.n) filter (where p.status = 'withdrawn'), 0) as withdrawn,
      coalesce(sum(p.n) filter (where p.status = 'open'), 0) as open
    from parts as p
    where not p.is_confirmation
    group by grouping sets ((p.of_group, p.agent_id, p.tool), (p.agent_id, p.tool))
  ), loads as (
    select t.level, t.of_group, '-infinity'::timestamptz as of_bucket, jsonb_agg(
      jsonb_build_object(
        'agent_id', t.agent_id, 'tool', t.tool,
        'asked', t.asked, 'decided', t.decided, 'expired', t.expired,
        'withdrawn', t.withdrawn, 'open', t.open
      )
      order by t.asked desc, t.agent_id collate "C", t.tool collate "C"
    ) as approval_load
    from tools as t
    group by t.level, t.of_group
  )
  select
    level, of_group, of_bucket, c.decided, w.decided_after,
    coalesce(c.met, 0), coalesce(c.missed, 0), coalesce(c.undecided, 0),
    coalesce(c.confirmations_asked, 0), coalesce(c.confirmations_decided, 0), l.approval_load
  from counts as c
  left join waits as w using (level, of_group, of_bucket)
  left join loads as l using (level, of_group, of_bucket);
end
$$;
