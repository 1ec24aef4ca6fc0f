-- The response of get_metrics, computed from the rows at every request. docs/reference/metrics.md
-- defines the metrics.

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

-- Returns what the metrics are of: each bucket of a group (level 0), each group (level 1) and the
-- total (level 3). p_groups are the groups that were counted, and `name` is the JSON of a group.
create or replace function chatkit_private.metric_cells(
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text,
  p_groups text[]
) returns table (
  level integer,
  of_group text,
  of_bucket timestamptz,
  name jsonb
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
  with buckets as (
    select b.at
    from generate_series(date_bin(v_length, p_from, v_origin), p_to, v_length) as b (at)
    where b.at < p_to
  ), groups as (
    select c.of_group, case p_group_by
      when 'agent' then jsonb_build_object('agent_id', c.of_group)
      when 'channel' then jsonb_build_object('channel', c.of_group)
      else '{}'
    end as name
    from unnest(p_groups) as c (of_group)
    union
    select '', '{}' where p_group_by = 'none'
  )
  select 3, '', '-infinity'::timestamptz, case p_group_by when 'none' then '{}'::jsonb end
  union all
  select 1, g.of_group, '-infinity', g.name from groups as g where p_group_by <> 'none'
  union all
  select 0, g.of_group, b.at, g.name from groups as g cross join buckets as b;
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
  ), responses as materialized (
    select * from chatkit_private.count_responses(p_org_id, p_from, p_to, p_bucket, p_group_by)
  ), cells as (
    -- Every group that was counted has a session that existed in the window.
    select * from chatkit_private.metric_cells(
      p_from, p_to, p_bucket, p_group_by,
      array(select s.of_group from sessions as s where s.level = 1)
    )
  )
  select level, of_group, of_bucket, c.name, jsonb_build_object(
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
    ),
    'responses', jsonb_build_object(
      'created', coalesce(r.created, 0), 'running', coalesce(r.running, 0),
      'completed', coalesce(r.completed, 0), 'incomplete', coalesce(r.incomplete, 0),
      'stopped', coalesce(r.stopped, 0), 'failed', coalesce(r.failed, 0),
      'interrupted', coalesce(r.interrupted, 0),
      'input_tokens', coalesce(r.input_tokens, 0), 'output_tokens', coalesce(r.output_tokens, 0)
    )
  ) as metrics,
  jsonb_build_object('approval_load', coalesce(e.approval_load, '[]')) as approval_load
  from cells as c
  left join sessions as s using (level, of_group, of_bucket)
  left join escalations as e using (level, of_group, of_bucket)
  left join deliveries as d using (level, of_group, of_bucket)
  left join responses as r using (level, of_group, of_bucket)
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
