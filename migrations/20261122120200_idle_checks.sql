-- When to look whether a session is idle. Each agent says how long its sessions may be; the moment is kept ready in an index,
-- so that finding those that are due reads them and no others, however many sessions there are.

alter table public.agents add column if not exists idle_timeout_seconds integer not null default 86400;
alter table public.agents drop constraint if exists agents_idle_timeout_range;
alter table public.agents
  add constraint agents_idle_timeout_range check (idle_timeout_seconds between 1 and 31536000);

-- One row for every session that can become idle: active, and nobody is asked in it. A table of its own and not a column of
-- the session: a lease taken here stands in nobody's way who works on the session, and rewrites none of its many indexes.
create table if not exists public.idle_checks (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid primary key,
  -- The last activity plus the agent's timeout; while somebody is looking, the end of their lease.
  due_at timestamptz not null,
  -- How many of the session's threads were found idle at OpenAI since its last activity.
  threads_asked integer not null default 0,
  constraint idle_checks_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id)
);

-- With whose session it is, so that a claim that shares out between users reads the index only.
create index if not exists idle_checks_due on public.idle_checks (due_at) include (org_id, user_id, session_id);
-- It was to find idle sessions, before agents had timeouts.
drop index if exists public.chat_sessions_active;

alter table public.idle_checks enable row level security;
revoke all on table public.idle_checks from public, anon, authenticated, service_role;

-- When a session becomes idle if nothing happens; null while it cannot, because it has ended or an escalation is open.
create or replace function private.idle_at(p_session public.chat_sessions) returns timestamptz
language sql stable
set search_path = ''
as $$
  select p_session.last_activity_at + make_interval(secs => a.idle_timeout_seconds)
  from public.agents as a
  where a.org_id = p_session.org_id
    and a.id = p_session.agent_id
    and p_session.status = 'active'
    and not exists (
      select from public.chat_escalations as e where e.session_id = p_session.id and e.status = 'open'
    )
$$;

-- Plans the next look at a session anew; a lease on it is gone with that.
create or replace function private.plan_idle_check(p_session public.chat_sessions) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_idle_at timestamptz := private.idle_at(p_session);
begin
  if v_idle_at is null then
    delete from public.idle_checks as i where i.session_id = p_session.id;
  else
    insert into public.idle_checks as i (org_id, user_id, session_id, due_at)
    values (p_session.org_id, p_session.user_id, p_session.id, v_idle_at)
    on conflict (session_id) do update set due_at = excluded.due_at, threads_asked = 0
    where i.due_at <> excluded.due_at or i.threads_asked <> 0;
  end if;
end
$$;

-- Whatever moves a session's activity, status or agent plans its next look, whoever writes it.
create or replace function private.plan_idle_check_of_session() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform private.plan_idle_check(new);
  return null;
end
$$;

create or replace trigger plan_idle_check
  after insert or update of last_activity_at, status, agent_id on public.chat_sessions
  for each row execute function private.plan_idle_check_of_session();

-- An open escalation pauses its session, and a closed one lets it go on.
create or replace function private.plan_idle_check_of_escalation() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_session public.chat_sessions;
begin
  select * into strict v_session from public.chat_sessions as s where s.id = new.session_id;
  perform private.plan_idle_check(v_session);
  return null;
end
$$;

create or replace trigger plan_idle_check
  after insert or update of status on public.chat_escalations
  for each row execute function private.plan_idle_check_of_escalation();

-- Another timeout holds for the sessions that are open now, too. Locked in the order of their ids, like all that ends several
-- sessions at once.
create or replace function private.plan_idle_checks_of_agent() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  with planned as (
    select i.session_id, s.last_activity_at
    from public.idle_checks as i
    join public.chat_sessions as s on s.id = i.session_id
    where s.org_id = new.org_id and s.agent_id = new.id
    order by i.session_id
    for update of i
  )
  update public.idle_checks as i
  set due_at = p.last_activity_at + make_interval(secs => new.idle_timeout_seconds)
  from planned as p
  where i.session_id = p.session_id;
  return null;
end
$$;

create or replace trigger plan_idle_checks
  after update on public.agents
  for each row when (old.idle_timeout_seconds <> new.idle_timeout_seconds)
  execute function private.plan_idle_checks_of_agent();

-- The sessions that were open before.
insert into public.idle_checks (org_id, user_id, session_id, due_at)
select s.org_id, s.user_id, s.id, private.idle_at(s)
from public.chat_sessions as s
where s.status = 'active' and private.idle_at(s) is not null
on conflict (session_id) do nothing;

revoke all on function private.idle_at(public.chat_sessions) from public, anon, authenticated, service_role;
revoke all on function private.plan_idle_check(public.chat_sessions) from public, anon, authenticated, service_role;
revoke all on function private.plan_idle_check_of_session() from public, anon, authenticated, service_role;
revoke all on function private.plan_idle_check_of_escalation() from public, anon, authenticated, service_role;
revoke all on function private.plan_idle_checks_of_agent() from public, anon, authenticated, service_role;
