-- Metrics of the self-hosted chat's responses. docs/reference/metrics.md defines them.

-- Returns the counts of the responses that began in the window, at the levels of count_sessions.
-- Each response has one of six statuses, so created = running + completed + incomplete + stopped +
-- failed + interrupted.
create or replace function chatkit_private.count_responses(
  p_org_id uuid,
  p_from timestamptz,
  p_to timestamptz,
  p_bucket text,
  p_group_by text
) returns table (
  level integer,
  of_group text,
  of_bucket timestamptz,
  created bigint,
  running bigint,
  completed bigint,
  incomplete bigint,
  stopped bigint,
  failed bigint,
  interrupted bigint,
  -- As the models counted them. A response that the model did not finish may have none.
  input_tokens bigint,
  output_tokens bigint
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
  with runs as (
    -- Two indexes: a running response is saved once a second, and has no entry in the larger one.
    select r.session_id, r.started_at, r.status, r.input_tokens, r.output_tokens
    from public.chat_runs as r
    where r.org_id = p_org_id and r.started_at >= p_from and r.started_at < p_to
      and r.status <> 'running'
    union all
    select r.session_id, r.started_at, r.status, r.input_tokens, r.output_tokens
    from public.chat_runs as r
    where r.org_id = p_org_id and r.started_at >= p_from and r.started_at < p_to
      and r.status = 'running'
  ), responses as (
    select
      case p_group_by
        when 'agent' then s.agent_id when 'channel' then s.channel else ''
      end as of_group,
      date_bin(v_length, r.started_at, v_origin) as of_bucket,
      count(*) as created,
      count(*) filter (where r.status = 'running') as running,
      count(*) filter (where r.status = 'completed') as completed,
      count(*) filter (where r.status = 'incomplete') as incomplete,
      count(*) filter (where r.status = 'stopped') as stopped,
      count(*) filter (where r.status = 'failed') as failed,
      count(*) filter (where r.status = 'interrupted') as interrupted,
      sum(r.input_tokens)::bigint as input_tokens,
      sum(r.output_tokens)::bigint as output_tokens
    from runs as r
    left join public.chat_sessions as s
      on p_group_by <> 'none'
      and s.org_id = p_org_id
      and (s.ended_at >= p_from or s.ended_at is null)
      and s.id = r.session_id
    group by 1, 2
  )
  select
    grouping(r.of_group, r.of_bucket),
    coalesce(r.of_group, ''),
    coalesce(r.of_bucket, '-infinity'),
    sum(r.created)::bigint, sum(r.running)::bigint, sum(r.completed)::bigint,
    sum(r.incomplete)::bigint, sum(r.stopped)::bigint, sum(r.failed)::bigint,
    sum(r.interrupted)::bigint, sum(r.input_tokens)::bigint, sum(r.output_tokens)::bigint
  from responses as r
  group by grouping sets ((r.of_group, r.of_bucket), (r.of_group), ());
end
$$;
