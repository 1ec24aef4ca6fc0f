-- Where a person is asked to step in. Opened by a `hitl_escalation` event.

create table if not exists public.chat_escalations (
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The event that opened it.
  event_id uuid not null,
  -- One that a browser opened asks for a person and carries no authority; only the orchestrator's can release a tool call.
  origin text not null,
  reason text not null,
  -- What may be answered.
  decisions text[] not null,
  -- The JSON schema of the answer, where it has one.
  answer_schema jsonb,
  status text not null default 'open',
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  closed_at timestamptz,
  -- One event opens one escalation; also how an event's replay finds it, and what covers both foreign keys.
  constraint chat_escalations_event_key unique (session_id, event_id),
  constraint chat_escalations_event_fkey
    foreign key (session_id, event_id) references public.chat_events (session_id, id),
  constraint chat_escalations_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_escalations_origin_known check (origin in ('browser', 'orchestrator')),
  constraint chat_escalations_reason_length check (char_length(reason) between 1 and 2000),
  constraint chat_escalations_decisions_known
    check (decisions <@ array['approve', 'edit', 'reject', 'respond'] and cardinality(decisions) > 0),
  constraint chat_escalations_answer_schema_object check (jsonb_typeof(answer_schema) = 'object'),
  constraint chat_escalations_status_known check (status in ('open', 'resolved', 'expired', 'withdrawn')),
  constraint chat_escalations_closing_is_whole check ((status = 'open') = (closed_at is null)),
  constraint chat_escalations_expires_later check (expires_at > created_at and isfinite(expires_at))
);

-- The organisation's open escalations, oldest first: the approvers' list. Closed ones, soon nearly all, are not in it.
create index if not exists chat_escalations_open
  on public.chat_escalations (org_id, created_at, id) where status = 'open';

-- How many a user's pages have open.
create index if not exists chat_escalations_open_of_browsers
  on public.chat_escalations (org_id, user_id) where status = 'open' and origin = 'browser';

alter table public.chat_escalations enable row level security;
revoke all on table public.chat_escalations from public, anon, authenticated, service_role;
grant select on table public.chat_escalations to authenticated;
-- No statistics of what people and agents write: see agents.
alter table public.chat_escalations
  alter column org_id set statistics 0,
  alter column user_id set statistics 0,
  alter column session_id set statistics 0,
  alter column id set statistics 0,
  alter column event_id set statistics 0,
  alter column origin set statistics 0,
  alter column reason set statistics 0,
  alter column decisions set statistics 0,
  alter column answer_schema set statistics 0,
  alter column expires_at set statistics 0,
  alter column closed_at set statistics 0;

-- The session's user sees what was asked in their name, the approvers what waits for them.
drop policy if exists "their user and approvers read" on public.chat_escalations;
create policy "their user and approvers read" on public.chat_escalations
  for select to authenticated
  using (
    org_id = (select private.caller_org_id())
    and (user_id = (select auth.uid()) or (select private.caller_is_approver()))
  );

-- Nobody is asked on behalf of a session that has ended.
create or replace trigger require_active_session
  before insert on public.chat_escalations
  for each row execute function private.require_active_session();

-- And a session that ends, however it ends, withdraws what it asked.
create or replace function private.withdraw_escalations() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  update public.chat_escalations as e
  set status = 'withdrawn', closed_at = clock_timestamp()
  where e.session_id = new.id and e.status = 'open';
  return null;
end
$$;

create or replace trigger withdraw_escalations
  after update on public.chat_sessions
  for each row when (old.status <> new.status)
  execute function private.withdraw_escalations();

revoke all on function private.withdraw_escalations() from public, anon, authenticated, service_role;
