-- Metrics of sessions, and the buckets of all metrics. docs/reference/metrics.md defines them.

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
