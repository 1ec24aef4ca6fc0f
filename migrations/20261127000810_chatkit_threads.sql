-- Threads at OpenAI that the events of a session linked to it.

create table if not exists public.chatkit_threads (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  thread_id text not null,
  linked_at timestamptz not null default now(),
  -- Begins with the session, so it covers the foreign key as well.
  primary key (session_id, thread_id),
  constraint chatkit_threads_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chatkit_threads_thread_id_length check (char_length(thread_id) between 1 and 512)
);

comment on table public.chatkit_threads is
  'Threads at OpenAI that the `thread_changed` events of a hosted session linked to it.';

-- Lists a session's threads in the order in which they were linked, a few at a time.
create index if not exists chatkit_threads_by_link
  on public.chatkit_threads (session_id, linked_at, thread_id);

-- Finds the other sessions that link a thread.
--
-- It begins with the thread. The planner would use an index that begins with the user to look for
-- a session's rows (a foreign key check does so by organisation, user and session), and would then
-- read every thread that the user ever linked.
create index if not exists chatkit_threads_by_thread
  on public.chatkit_threads (thread_id, org_id, user_id);

alter table public.chatkit_threads enable row level security;
revoke all on table public.chatkit_threads from public, anon, authenticated, service_role;
grant select on table public.chatkit_threads to authenticated;

-- See "Planner statistics" in schema.sql.
alter table public.chatkit_threads
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column thread_id set statistics 0,
  alter column linked_at set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chatkit_threads;
create policy "session owner and approvers can read" on public.chatkit_threads
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );
