-- Counting, the first part: sessions. docs/metrics.md has the definitions.

-- When buckets begin: at full hours, and at midnight, both of UTC.
create or replace function private.bucket_length(p_bucket text) returns interval
language sql immutable parallel safe
set search_path = ''
return case p_bucket when 'hour' then interval '1 hour' when 'day' then interval '1 day' end;

-- What is counted of sessions: for each group and bucket (level 0), for each group (level 1), and of all (level 3). Without
-- groups there is one, whose name is empty; where there is no group or bucket, it is empty or -infinity, so that the parts are
-- joined by equality. Where nothing was counted there is no row.
--
-- Only sessions that were there in the window are read. Nothing ends before it begins, so those are the ones that have not
-- ended before it. Their rows are read once, and brought down to a few counts by when they began and when they ended; the rest
-- is sums of those.
create or replace function private.count_sessions(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text
) returns table (
  level integer,
  of_group text,
  of_bucket timestamptz,
  -- Active before the window, or created in it; and ended. The difference, summed up, is who is active.
  entered bigint,
  ended bigint,
  created bigint,
  events bigint,
  ended_cancelled bigint,
  ended_expired bigint,
  ended_failed bigint,
  -- Of those created here.
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
  v_length interval := private.bucket_length(p_bucket);
  v_origin constant timestamptz := '2000-01-01 00:00:00+00';
begin
  return query
  with escalations as (
    -- Of a session that began in the window none is older than the window. A confirmation by the requester is not an escalation.
    select x.session_id, min(x.created_at) as first_at
    from public.chat_escalations as x
    where x.org_id = p_org_id and x.created_at >= p_from and x.kind <> 'confirm'
    group by x.session_id
  ), sessions as (
    select
      case p_group_by when 'agent' then s.agent_id when 'channel' then s.channel else '' end as of_group,
      case when s.created_at >= p_from then date_bin(v_length, s.created_at, v_origin) end as created_in,
      case when s.ended_at < p_to then date_bin(v_length, s.ended_at, v_origin) end as ended_in,
      s.end_reason,
      count(*) as n,
      -- Events are numbered without gaps.
      sum(s.last_event_seq)::bigint as events,
      count(x.session_id) as escalated,
      array_agg(extract(epoch from x.first_at - s.created_at)::double precision)
        filter (where x.session_id is not null and s.created_at >= p_from) as waits
    from public.chat_sessions as s
    left join escalations as x on x.session_id = s.id
    where s.org_id = p_org_id
      and (s.ended_at >= p_from or s.ended_at is null)
      and s.created_at < p_to
    group by 1, 2, 3, 4
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
      case when s.created_in is not null and s.end_reason <> 'failed' then s.n - s.escalated end as contained
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
      sum(c.ended_cancelled)::bigint as ended_cancelled, sum(c.ended_expired)::bigint as ended_expired,
      sum(c.ended_failed)::bigint as ended_failed,
      sum(c.cancelled)::bigint as cancelled, sum(c.expired)::bigint as expired, sum(c.completed)::bigint as completed,
      sum(c.escalated)::bigint as escalated, sum(c.contained)::bigint as contained
    from cells as c
    group by grouping sets ((c.of_group, c.of_bucket), (c.of_group), ())
  ), waits as (
    select
      grouping(s.of_group, s.created_in) as level,
      coalesce(s.of_group, '') as of_group,
      coalesce(s.created_in, '-infinity') as of_bucket,
      percentile_cont(array[0.5, 0.9, 0.95, 0.99]) within group (order by w.seconds) as escalated_after
    from sessions as s
    cross join unnest(s.waits) as w (seconds)
    group by grouping sets ((s.of_group, s.created_in), (s.of_group), ())
  )
  select
    c.level, c.of_group, c.of_bucket, c.entered, c.ended, c.created, c.events,
    c.ended_cancelled, c.ended_expired, c.ended_failed,
    c.cancelled, c.expired, c.completed, c.escalated, c.contained, w.escalated_after
  from counts as c
  left join waits as w on w.level = c.level and w.of_group = c.of_group and w.of_bucket = c.of_bucket;
end
$$;

revoke all on function private.bucket_length(text) from public, anon, authenticated, service_role;
revoke all on function private.count_sessions(uuid, timestamptz, timestamptz, text, text)
  from public, anon, authenticated, service_role;
