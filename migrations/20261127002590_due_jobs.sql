-- Due work of expire-sessions, so that a run calls only the jobs that have some.

create or replace function public.list_due_jobs() returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_object_agg(j.job, j.is_due)
  from (
    values
      ('fail_abandoned_requests', exists (
        select from public.chatkit_sessions as c
        where c.recorded_at is null
          and c.failed_at is null
          and c.requested_at < now() - interval '60 seconds'
      )),
      ('cancel_chatkit_sessions', exists (
        select from public.chatkit_sessions as c
        where c.recorded_at is not null
          and c.sealed_secret is null
          and c.cancelled_at is null
          and c.expires_at > now() - interval '1 minute'
      )),
      ('settle_chat_runs', exists (
        select from public.chat_runs as r where r.status = 'running' and r.lease_until <= now()
      )),
      ('expire_escalations', exists (
        select from public.chat_escalations as e where e.status = 'open' and e.expires_at <= now()
      )),
      ('purge_expired',
        exists (
          select from public.chatkit_sessions as c
          where c.sealed_secret is not null and c.expires_at <= now()
        )
        or exists (
          select from public.idempotency_keys as k
          where k.last_used_at < now() - interval '24 hours'
        )
        or exists (select from public.throttles as t where t.full_at <= now())
        or exists (
          select from public.auto_call_amounts as a
          where a.begun_at < now() - interval '25 hours'
        )
        or exists (select from public.chat_run_chunks)
      ),
      ('expire_idle_sessions', exists (
        select from public.idle_checks as i where i.due_at <= now()
      )),
      ('copy_transcripts', exists (
        select from public.transcripts_due as t where t.due_at <= now()
      )),
      ('resume_erasures', exists (
        select from public.erasures as e where e.finished_at is null and e.lease_until <= now()
      )),
      ('apply_retention', exists (
        select
        from public.org_retention as r
        cross join lateral (
          select from public.chat_sessions as s
          where s.org_id = r.org_id
            and s.status = 'ended'
            and s.ended_at < now() - make_interval(days => r.keep_days)
          limit 1
        ) as overdue
      ))
  ) as j (job, is_due)
$$;

comment on function public.list_due_jobs is
  'Returns for each job of expire-sessions, by name, whether it may have work. Each condition is '
  'part of the condition of the job''s own function, so a job with `false` has no work.';
