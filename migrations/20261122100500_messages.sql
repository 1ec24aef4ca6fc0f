-- The transcript, for replay. Rows are added and never changed.

create table if not exists public.chat_messages (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  id uuid not null,
  seq bigint not null,
  role text not null,
  content text not null,
  attachments jsonb not null default '[]',
  created_at timestamptz not null default clock_timestamp(),
  tool_invocation_id text,
  -- Unique per session, for the same reason as an event's id.
  primary key (session_id, id),
  -- Also what lists a transcript, from any point of it.
  constraint chat_messages_seq_key unique (session_id, seq),
  constraint chat_messages_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_messages_seq_positive check (seq > 0),
  constraint chat_messages_role_known check (role in ('user', 'agent', 'system')),
  constraint chat_messages_attachments_array check (jsonb_typeof(attachments) = 'array')
);

alter table public.chat_messages enable row level security;
revoke all on table public.chat_messages from public, anon, authenticated, service_role;
grant select on table public.chat_messages to authenticated;
-- No statistics of what people and agents write: see agents.
alter table public.chat_messages
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column id set statistics 0,
  alter column role set statistics 0,
  alter column content set statistics 0,
  alter column attachments set statistics 0,
  alter column tool_invocation_id set statistics 0;

-- Who reads a session reads its transcript.
drop policy if exists "their user and approvers read" on public.chat_messages;
create policy "their user and approvers read" on public.chat_messages
  for select to authenticated
  using (
    org_id = (select private.caller_org_id())
    and (user_id = (select auth.uid()) or (select private.caller_is_approver()))
  );
