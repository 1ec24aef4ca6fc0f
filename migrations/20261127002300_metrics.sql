-- Metrics, computed from the rows at every request. docs/reference/metrics.md defines them.

-- Returns the length of a bucket. Buckets begin at full hours or at midnight, in UTC.
create or replace function chatkit_private.bucket_length(p_bucket text) returns interval
language sql immutable parallel safe
set search_path = ''
return case p_bucket when 'hour' then interval '1 hour' when 'day' then interval '1 day' end;

-- Counts the sessions that existed in the window, by group, by the buckets in which they were
-- created and ended (null outside the window), and by end reason. `waits` holds the seconds until
-- the first escalation of each session created in the window.
--
-- A session never ends before it begins, so only sessions that had not ended before the window are
-- read. All other session metrics are sums of these counts.
create or replace function chatkit_private.session_cells(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text
) returns table (
  of_group text,
  created_in timestamptz,
  ended_in timestamptz,
  end_reason text,
  n bigint,
  events bigint,
  escalated bigint,
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
    -- A session created in the window has no escalation before the window. A confirmation by the
    -- requester does not count as an escalation.
    select x.session_id, min(x.created_at) as first_at
    from public.chat_escalations as x
    where x.org_id = p_org_id and x.created_at >= p_from and x.kind <> 'confirm'
    group by x.session_id
  )
  select
    case p_group_by
      when 'agent' then s.agent_id when 'channel' then s.channel else ''
    end as of_group,
    case
      when s.created_at >= p_from then date_bin(v_length, s.created_at, v_origin)
    end as created_in,
    case when s.ended_at < p_to then date_bin(v_length, s.ended_at, v_origin) end as ended_in,
    s.end_reason,
    count(*) as n,
    -- Events are numbered without gaps, so the last number is their count.
    sum(s.last_event_seq)::bigint as events,
    count(x.session_id) as escalated,
    array_agg(extract(epoch from x.first_at - s.created_at)::double precision)
      filter (where x.session_id is not null and s.created_at >= p_from) as waits
  from public.chat_sessions as s
  left join escalations as x on x.session_id = s.id
  where s.org_id = p_org_id
    and (s.ended_at >= p_from or s.ended_at is null)
    and s.created_at < p_to
  group by 1, 2, 3, 4;
end
$$;

-- Returns the counts of sessions for each group and bucket (level 0), each group (level 1) and in
-- total (level 3). Without groups there is one group with an empty name. Rows without a group or a
-- bucket have '' or -infinity in its place, so that they can be joined by equality. There is no
-- row if nothing was counted.
create or replace function chatkit_private.count_sessions(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text
) returns table (
  level integer,
  of_group text,
  of_bucket timestamptz,
  -- `entered` counts sessions that were active before the window or created in it. The running sum
  -- of `entered` minus `ended` is the number of active sessions.
  entered bigint,
  ended bigint,
  created bigint,
  events bigint,
  ended_cancelled bigint,
  ended_expired bigint,
  ended_failed bigint,
  -- Counts of the sessions created here, whenever they ended.
  cancelled bigint,
  expired bigint,
  completed bigint,
  escalated bigint,
  contained bigint,
  -- p50, p90, p95 and p99 of the seconds until the first escalation.
  escalated_after double precision[]
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
  with sessions as materialized (
    select * from chatkit_private.session_cells(p_org_id, p_from, p_to, p_bucket, p_group_by)
  ), cells as (
    select
      s.of_group,
      coalesce(s.created_in, date_bin(v_length, p_from, v_origin)) as of_bucket,
      s.n as entered,
      0 as ended,
      case when s.created_in is not null then s.n end as created,
      case when s.created_in is not null then s.events end as events,
      null::bigint as ended_cancelled, null::bigint as ended_expired, null::bigint as ended_failed,
      case when s.created_in is not null and s.end_reason = 'cancelled' then s.n end as cancelled,
      case when s.created_in is not null and s.end_reason = 'expired' then s.n end as expired,
      case when s.created_in is not null and s.end_reason <> 'failed' then s.n end as completed,
      case when s.created_in is not null then s.escalated end as escalated,
      case
        when s.created_in is not null and s.end_reason <> 'failed' then s.n - s.escalated
      end as contained
    from sessions as s
    union all
    select
      s.of_group, s.ended_in, 0, s.n, null, null,
      case when s.end_reason = 'cancelled' then s.n end,
      case when s.end_reason = 'expired' then s.n end,
      case when s.end_reason = 'failed' then s.n end,
      null, null, null, null, null
    from sessions as s
    where s.ended_in is not null
  ), counts as (
    select
      grouping(c.of_group, c.of_bucket) as level,
      coalesce(c.of_group, '') as of_group,
      coalesce(c.of_bucket, '-infinity') as of_bucket,
      sum(c.entered)::bigint as entered, sum(c.ended)::bigint as ended,
      sum(c.created)::bigint as created, sum(c.events)::bigint as events,
      sum(c.ended_cancelled)::bigint as ended_cancelled,
      sum(c.ended_expired)::bigint as ended_expired,
      sum(c.ended_failed)::bigint as ended_failed,
      sum(c.cancelled)::bigint as cancelled, sum(c.expired)::bigint as expired,
      sum(c.completed)::bigint as completed,
      sum(c.escalated)::bigint as escalated, sum(c.contained)::bigint as contained
    from cells as c
    group by grouping sets ((c.of_group, c.of_bucket), (c.of_group), ())
  ), waits as (
    select
      grouping(s.of_group, s.created_in) as level,
      coalesce(s.of_group, '') as of_group,
      coalesce(s.created_in, '-infinity') as of_bucket,
      percentile_cont(array[0.5, 0.9, 0.95, 0.99]) within group (order by w.seconds)
        as escalated_after
    from sessions as s
    cross join unnest(s.waits) as w (seconds)
    group by grouping sets ((s.of_group, s.created_in), (s.of_group), ())
  )
  select
    c.level, c.of_group, c.of_bucket, c.entered, c.ended, c.created, c.events,
    c.ended_cancelled, c.ended_expired, c.ended_failed,
    c.cancelled, c.expired, c.completed, c.escalated, c.contained, w.escalated_after
  from counts as c
  left join waits as w
    on w.level = c.level and w.of_group = c.of_group and w.of_bucket = c.of_bucket;
end
$$;

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

-- Returns a share, rounded to six decimals. Null if there is nothing to divide by.
create or replace function chatkit_private.ratio(p_part bigint, p_whole bigint) returns numeric
language sql immutable parallel safe
set search_path = ''
return round(coalesce(p_part, 0)::numeric / nullif(p_whole, 0), 6);

-- Returns percentiles in seconds, rounded to microseconds, with the number of values behind them.
-- The percentiles are null if there are no values.
create or replace function chatkit_private.percentiles_json(
  p_count bigint,
  p_percentiles double precision[]
) returns jsonb
language sql immutable parallel safe
set search_path = ''
return jsonb_build_object(
  'count', coalesce(p_count, 0),
  'p50', round(p_percentiles[1]::numeric, 6),
  'p90', round(p_percentiles[2]::numeric, 6),
  'p95', round(p_percentiles[3]::numeric, 6),
  'p99', round(p_percentiles[4]::numeric, 6)
);

-- Rejects invalid parameters, and windows that are too long for their bucket length. The detail
-- names the parameter.
create or replace function chatkit_private.check_metrics_query(
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text,
  p_service_level_seconds integer
) returns void
language plpgsql immutable
set search_path = ''
as $$
declare
  v_wrong text := case
    when (p_bucket in ('hour', 'day')) is not true then 'bucket'
    when (p_group_by in ('none', 'agent', 'channel')) is not true then 'group_by'
    when (p_service_level_seconds between 1 and 31536000) is not true then 'service_level_seconds'
    when (isfinite(p_from)) is not true then 'from'
    when (isfinite(p_to) and p_to > p_from) is not true then 'to'
    when p_to - p_from > case p_bucket
      when 'hour' then interval '31 days' else interval '400 days'
    end then 'from'
  end;
begin
  if v_wrong is not null then
    raise sqlstate 'PT422' using message = 'invalid_metrics_question', detail = v_wrong;
  end if;
end
$$;

-- Returns the metrics of each group and bucket (level 0), each group (level 1) and in total (level
-- 3) as JSON. `name` identifies the group. Returns no rows if the number of groups times buckets
-- exceeds 2,500.
create or replace function chatkit_private.metric_sets(
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
  name jsonb,
  metrics jsonb,
  approval_load jsonb
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
  with sessions as materialized (
    select * from chatkit_private.count_sessions(p_org_id, p_from, p_to, p_bucket, p_group_by)
  ), escalations as materialized (
    select * from chatkit_private.count_escalations(
      p_org_id, p_from, p_to, p_bucket, p_group_by, p_service_level, p_as_of
    )
  ), deliveries as materialized (
    select * from chatkit_private.count_deliveries(p_org_id, p_from, p_to, p_bucket, p_group_by)
  ), buckets as (
    select b.at
    from generate_series(date_bin(v_length, p_from, v_origin), p_to, v_length) as b (at)
    where b.at < p_to
  ), groups as (
    -- Every group that was counted has a session that existed in the window.
    select s.of_group, case p_group_by
      when 'agent' then jsonb_build_object('agent_id', s.of_group)
      when 'channel' then jsonb_build_object('channel', s.of_group)
      else '{}'
    end as name
    from sessions as s
    where s.level = 1
    union
    select '', '{}' where p_group_by = 'none'
  ), cells as (
    select 3 as level, '' as of_group, '-infinity'::timestamptz as of_bucket
    union all
    select 1, g.of_group, '-infinity' from groups as g where p_group_by <> 'none'
    union all
    select 0, g.of_group, b.at from groups as g cross join buckets as b
  )
  select level, of_group, of_bucket, g.name, jsonb_build_object(
    'sessions', jsonb_build_object(
      'created', coalesce(s.created, 0),
      -- A running sum from the first bucket. A group and the total have a single row.
      'active', coalesce(
        sum(s.entered - s.ended) over (partition by level, of_group order by of_bucket), 0
      ),
      'ended', jsonb_build_object(
        'cancelled', coalesce(s.ended_cancelled, 0),
        'expired', coalesce(s.ended_expired, 0),
        'failed', coalesce(s.ended_failed, 0)
      ),
      'events', coalesce(s.events, 0)
    ),
    'cohort', jsonb_build_object(
      'cancelled', coalesce(s.cancelled, 0),
      'cancel_rate', chatkit_private.ratio(s.cancelled, s.created),
      'expired', coalesce(s.expired, 0), 'expiry_rate', chatkit_private.ratio(s.expired, s.created),
      'escalated', coalesce(s.escalated, 0),
      'escalation_rate', chatkit_private.ratio(s.escalated, s.created),
      'contained', coalesce(s.contained, 0),
      'containment_rate', chatkit_private.ratio(s.contained, s.completed)
    ),
    'time_to_escalation', chatkit_private.percentiles_json(s.escalated, s.escalated_after),
    'time_to_decision', chatkit_private.percentiles_json(e.decided, e.decided_after),
    'service_level', jsonb_build_object(
      'met', coalesce(e.met, 0), 'missed', coalesce(e.missed, 0),
      'undecided', coalesce(e.undecided, 0),
      'rate', chatkit_private.ratio(e.met, e.met + e.missed)
    ),
    'confirmations', jsonb_build_object(
      'asked', coalesce(e.confirmations_asked, 0), 'decided', coalesce(e.confirmations_decided, 0)
    ),
    'automation', jsonb_build_object(
      'actions', coalesce(d.delivered, 0), 'automatic', coalesce(d.automatic, 0),
      'rate', chatkit_private.ratio(d.automatic, d.delivered)
    ),
    'deliveries', jsonb_build_object(
      'made', coalesce(d.made, 0), 'delivered', coalesce(d.delivered, 0),
      'taken_up', coalesce(d.taken_up, 0), 'under_way', coalesce(d.under_way, 0),
      'dead', coalesce(d.dead, 0), 'unknown', coalesce(d.unknown, 0),
      'withdrawn', coalesce(d.withdrawn, 0), 'retried', coalesce(d.retried, 0)
    )
  ) as metrics,
  jsonb_build_object('approval_load', coalesce(e.approval_load, '[]')) as approval_load
  from cells as c
  left join sessions as s using (level, of_group, of_bucket)
  left join escalations as e using (level, of_group, of_bucket)
  left join deliveries as d using (level, of_group, of_bucket)
  left join groups as g using (of_group)
  -- A constant condition. If it is false, PostgreSQL joins nothing.
  where (select count(*) from cells as b where b.level = 0) <= 2500;
end
$$;

create or replace function public.get_metrics(
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text,
  p_service_level_seconds integer
) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_org_id uuid := chatkit_private.caller_org_id();
  v_as_of timestamptz := statement_timestamp();
  v_length interval := chatkit_private.bucket_length(p_bucket);
  v_metrics jsonb;
begin
  if v_org_id is null or not chatkit_private.caller_is_approver() then
    raise sqlstate 'PT403' using message = 'metrics_forbidden';
  end if;
  perform chatkit_private.check_metrics_query(
    p_from, p_to, p_bucket, p_group_by, p_service_level_seconds
  );

  -- These settings apply until the transaction ends. The queries are planned for the actual
  -- window. They are not compiled, because that takes longer than it saves. Without statistics on
  -- the grouped columns, the planner expects as many groups as rows and would sort millions of
  -- rows; a hash table has a few thousand entries. An index is read about as fast as a table.
  perform set_config('plan_cache_mode', 'force_custom_plan', true),
          set_config('jit', 'off', true),
          set_config('enable_sort', 'off', true),
          set_config('work_mem', '64MB', true),
          set_config('random_page_cost', '1.1', true);

  with sets as materialized (
    select *
    from chatkit_private.metric_sets(
      v_org_id, p_from, p_to, p_bucket, p_group_by,
      make_interval(secs => p_service_level_seconds), v_as_of
    )
  )
  select case when exists (select from sets) then jsonb_build_object(
    'from', p_from,
    'to', p_to,
    'bucket', p_bucket,
    'group_by', p_group_by,
    'service_level_seconds', p_service_level_seconds,
    'as_of', v_as_of,
    'total', (
      select f.metrics || f.approval_load from sets as f where f.level = 3
    ),
    'groups', (
      select coalesce(jsonb_agg(
        f.name || f.metrics || f.approval_load order by f.of_group collate "C"
      ), '[]')
      from sets as f
      where f.level = 1
    ),
    'buckets', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'start', greatest(f.of_bucket, p_from), 'end', least(f.of_bucket + v_length, p_to)
        )
          || f.name || f.metrics
        order by f.of_bucket, f.of_group collate "C"
      ), '[]')
      from sets as f
      where f.level = 0
    )
  ) end
  into v_metrics;

  if v_metrics is null then
    raise sqlstate 'PT422' using message = 'too_many_figures';
  end if;
  return v_metrics;
end
$$;

comment on function public.get_metrics is
  'Returns the metrics of the caller''s organisation in a window: in total, for each group and '
  'for each bucket (docs/reference/metrics.md). Fails with metrics_forbidden unless the caller is an '
  'owner, admin or approver, with invalid_metrics_question for an invalid parameter, and with '
  'too_many_figures if the number of groups times buckets exceeds 2,500.';
