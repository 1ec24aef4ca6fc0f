-- Budgets of the self-hosted chat: answers at once, and tokens in a day.
--
-- The tokens of a response are known when the model has counted them. Until then its run has
-- reserved as many as the model may return, so that answers that begin at once do not all use what
-- is left. A run that breaks off keeps its reservation.
--
-- The rows of an organisation's buckets are shared by all of its users. Each transaction locks them
-- last, so that it holds them no longer than its commit takes.

-- Changes what a run has taken out of one bucket: the tokens that the model has counted, and those
-- that are reserved. Returns what is left without the reservation, as the time of its refill.
create or replace function chatkit_private.charge_tokens(
  p_run public.chat_runs,
  p_scope text,
  p_limit integer,
  p_counted bigint,
  p_reserved bigint
) returns interval
language sql
set search_path = ''
as $$
  select chatkit_private.charge_bucket(
    p_run.org_id, p_scope, case p_scope when 'org' then p_run.org_id else p_run.user_id end,
    'token', p_limit, p_counted + p_reserved - p_run.charged_tokens, interval '1 day'
  ) + chatkit_private.refill_time(p_limit, p_reserved, interval '1 day')
$$;

-- Changes what a run is charged, and returns whether its user and its organisation have tokens left
-- for another response.
create or replace function chatkit_private.charge_run(
  p_run public.chat_runs,
  p_counted bigint,
  p_reserved bigint
) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_limits public.org_limits := chatkit_private.effective_limits(p_run.org_id);
  v_left_of_user interval := chatkit_private.charge_tokens(
    p_run, 'user', v_limits.tokens_per_day_user, p_counted, p_reserved
  );
  v_left_of_org interval := chatkit_private.charge_tokens(
    p_run, 'org', v_limits.tokens_per_day_org, p_counted, p_reserved
  );
begin
  update public.chat_runs as r set charged_tokens = p_counted + p_reserved where r.id = p_run.id;
  return least(v_left_of_user, v_left_of_org) > interval '0';
end
$$;

-- Returns how many tokens a run reserves for a response.
create or replace function chatkit_private.reserved_tokens(p_session_id uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select coalesce(max(m.max_output_tokens), 0)::bigint
  from public.session_model_settings as m
  where m.session_id = p_session_id
$$;

-- Charges a run for the responses that the model has counted, and reserves the tokens of the next
-- one. Returns whether there were any left.
create or replace function chatkit_private.charge_responses(
  p_run public.chat_runs,
  p_counted bigint
) returns boolean
language sql
set search_path = ''
as $$
  select chatkit_private.charge_run(
    p_run, p_counted, chatkit_private.reserved_tokens(p_run.session_id)
  )
$$;

-- Charges a run for its tokens when it ends. If the model has not counted all of its responses, the
-- reservation stays.
create or replace function chatkit_private.settle_charge(
  p_run public.chat_runs,
  p_status text,
  p_counted bigint
) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_counted is not null and p_status in ('completed', 'incomplete')
     or p_counted > p_run.charged_tokens then
    perform chatkit_private.charge_run(p_run, p_counted, 0);
  end if;
end
$$;

-- Rejects a run that has just begun if p_limit others are under way. The caller holds the lock of
-- the bucket, so that each of several concurrent runs counts those before it. A run whose process
-- has stopped does not count.
create or replace function chatkit_private.check_active_runs(
  p_run public.chat_runs,
  p_scope text,
  p_limit integer
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_active integer;
begin
  if p_scope = 'org' then
    select count(*) into v_active
    from (
      select from public.chat_runs as r
      where r.org_id = p_run.org_id and r.status = 'running'
        and r.lease_until > clock_timestamp() and r.id <> p_run.id
      limit p_limit
    ) as active;
  else
    select count(*) into v_active
    from (
      select from public.chat_runs as r
      where r.org_id = p_run.org_id and r.user_id = p_run.user_id and r.status = 'running'
        and r.lease_until > clock_timestamp() and r.id <> p_run.id
      limit p_limit
    ) as active;
  end if;
  if v_active >= p_limit then
    -- It is not known when an answer ends. The detail is a number of seconds.
    raise sqlstate 'PT429'
      using message = case p_scope when 'org' then 'org_too_many_runs' else 'too_many_runs' end,
      detail = '5';
  end if;
end
$$;

-- Charges a run that has just begun, and rejects it if a budget of its user or its organisation is
-- used up. A run that takes up a broken one is not charged as a turn. If the earlier process has
-- stopped, its reservation passes to this run.
create or replace function chatkit_private.admit_run(
  p_run_id uuid,
  p_broken_run public.chat_runs
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_day constant interval := interval '1 day';
  v_run public.chat_runs;
  v_limits public.org_limits;
  v_reserved bigint;
  v_left interval;
begin
  select * into strict v_run from public.chat_runs as r where r.id = p_run_id;
  v_limits := chatkit_private.effective_limits(v_run.org_id);
  v_reserved := chatkit_private.reserved_tokens(v_run.session_id);
  if p_broken_run.status = 'interrupted' then
    v_run.charged_tokens := least(p_broken_run.charged_tokens, v_reserved);
    update public.chat_runs as r
    set charged_tokens = r.charged_tokens - v_run.charged_tokens
    where r.id = p_broken_run.id;
  end if;
  update public.chat_runs as r set charged_tokens = v_reserved where r.id = p_run_id;

  v_left := chatkit_private.charge_tokens(
    v_run, 'user', v_limits.tokens_per_day_user, 0, v_reserved
  );
  if v_left <= interval '0' then
    perform chatkit_private.reject_overdraft(
      'tokens_used_up', v_limits.tokens_per_day_user, v_day, 0, -v_left
    );
  end if;
  perform chatkit_private.check_active_runs(v_run, 'user', v_limits.active_runs_user);

  if p_broken_run.id is null then
    perform chatkit_private.consume_bucket(
      v_run.org_id, 'org', v_run.org_id, 'turn', v_limits.turns_per_minute_org, 1,
      p_code => 'org_rate_limited'
    );
  end if;
  v_left := chatkit_private.charge_tokens(
    v_run, 'org', v_limits.tokens_per_day_org, 0, v_reserved
  );
  if v_left <= interval '0' then
    perform chatkit_private.reject_overdraft(
      'org_tokens_used_up', v_limits.tokens_per_day_org, v_day, 0, -v_left
    );
  end if;
  perform chatkit_private.check_active_runs(v_run, 'org', v_limits.active_runs_org);
end
$$;
