-- What agents are doing for a session, the latest state of each task: the task cards.

create table if not exists public.chat_tasks (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The agent's own name for it.
  id text not null,
  title text not null,
  status text not null,
  requires_hitl boolean not null default false,
  updated_at timestamptz not null default clock_timestamp(),
  -- Begins with the session, so it lists a session's tasks and serves the foreign key.
  primary key (session_id, id),
  constraint chat_tasks_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_tasks_id_length check (char_length(id) between 1 and 200),
  constraint chat_tasks_title_length check (char_length(title) between 1 and 500),
  constraint chat_tasks_status_known check (status in ('pending', 'running', 'completed', 'blocked'))
);

alter table public.chat_tasks enable row level security;
revoke all on table public.chat_tasks from public, anon, authenticated, service_role;
grant select on table public.chat_tasks to authenticated;
-- No statistics of what people and agents write: see agents.
alter table public.chat_tasks
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column id set statistics 0,
  alter column title set statistics 0,
  alter column requires_hitl set statistics 0,
  alter column updated_at set statistics 0;

-- Who reads a session sees its tasks.
drop policy if exists "their user and approvers read" on public.chat_tasks;
create policy "their user and approvers read" on public.chat_tasks
  for select to authenticated
  using (
    org_id = (select private.caller_org_id())
    and (user_id = (select auth.uid()) or (select private.caller_is_approver()))
  );
