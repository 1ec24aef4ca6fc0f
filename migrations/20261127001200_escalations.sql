-- Escalations: requests for a human decision.
--
-- A decision must quote subject_hash, so an approval applies only to the subject that was shown.

-- Returns the request in an escalation's subject: the agent, the tool, and the inputs or, without
-- inputs, the event's payload. Equal requests in different sessions are equal.
create or replace function chatkit_private.subject_request(p_subject jsonb) returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  select jsonb_build_object(
    'agentId', p_subject -> 'agentId',
    'tool', p_subject -> 'tool',
    'inputs', coalesce(p_subject -> 'inputs', p_subject #> '{event,payload}')
  )
$$;

create table if not exists public.chat_escalations (
  id uuid primary key,
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  -- The event that opened the escalation.
  event_id uuid not null,
  -- An escalation from a browser requests attention and has no authority. Only one that the
  -- orchestrator opened can release a tool call.
  origin text not null,
  reason text not null,
  -- The decisions that are offered.
  decisions text[] not null,
  -- The JSON schema of the answer, if there is one.
  answer_schema jsonb,
  -- browser: a page requests a person's attention; nothing depends on the decision.
  -- policy: a call is held until another person approves it.
  -- confirm: a call is held until the requester confirms it.
  -- agent_asked: an agent needs an answer to continue.
  -- agent_failed, outcome_unknown: whether to call once more.
  kind text not null default 'browser',
  delivery_id uuid,
  -- The subject of the decision: exactly what people see, and what the hash covers.
  subject jsonb not null default '{}',
  -- Computed by the database, so it always matches the subject.
  subject_hash text generated always as (chatkit_private.content_hash(subject)) stored,
  -- The subject's agent and tool; null for kind `browser`. They are columns because extracting them
  -- from many subjects is slow.
  agent_id text generated always as (subject ->> 'agentId') stored,
  tool text generated always as (subject ->> 'tool') stored,
  -- The hash of the subject's request, to find earlier escalations about the same one.
  request_hash text generated always as (
    case
      when subject ? 'tool'
        then chatkit_private.content_hash(chatkit_private.subject_request(subject))
    end
  ) stored,
  risk text not null default 'low',
  -- self: the session's user may decide too. other: the session's user may not.
  approver text not null default 'self',
  -- The decisions that need a comment.
  comment_required text[] not null default '{}',
  -- If the call was edited or answered: its author, who may not decide; the escalation in which it
  -- was written; and the number of such escalations in a row.
  author_id uuid,
  predecessor_id uuid,
  revision integer not null default 0,
  status text not null default 'open',
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  closed_at timestamptz,
  decision text,
  answer jsonb,
  comment text,
  decided_by uuid,
  decided_at timestamptz,
  -- The event that records the decision.
  decision_event_id uuid,
  -- The person who works on it, and until when. It prevents another claim, and no decision.
  claimed_by uuid,
  claimed_until timestamptz,
  -- The transaction that changed the row last.
  change_xid xid8 not null default pg_current_xact_id(),
  -- One event opens one escalation. The index also finds the escalation of a replayed event and
  -- covers both foreign keys.
  constraint chat_escalations_event_key unique (session_id, event_id),
  constraint chat_escalations_event_fkey
    foreign key (session_id, event_id) references public.chat_events (session_id, id),
  constraint chat_escalations_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint chat_escalations_origin_known check (origin in ('browser', 'orchestrator')),
  constraint chat_escalations_reason_length check (char_length(reason) between 1 and 2000),
  constraint chat_escalations_decisions_known
    check (
      decisions <@ array['approve', 'edit', 'reject', 'respond'] and cardinality(decisions) > 0
    ),
  constraint chat_escalations_answer_schema_object check (jsonb_typeof(answer_schema) = 'object'),
  constraint chat_escalations_status_known
    check (status in ('open', 'resolved', 'expired', 'withdrawn')),
  constraint chat_escalations_kind_known
    check (
      kind in ('browser', 'policy', 'confirm', 'agent_asked', 'agent_failed', 'outcome_unknown')
    ),
  -- The requester may not approve what a policy holds or what has more than a low risk. Only the
  -- requester confirms.
  constraint chat_escalations_approver_is_strict check (
    case
      when kind = 'policy' or risk <> 'low' then approver = 'other'
      when kind = 'confirm' then approver = 'self'
      else true
    end
  ),
  constraint chat_escalations_revision_range
    check (revision between 0 and 5 and (revision > 0) = (predecessor_id is not null)),
  -- Only an escalation that the orchestrator opened can release a delivery, and its subject names
  -- that delivery.
  constraint chat_escalations_delivery_is_the_subjects check (
    (kind = 'browser') = (delivery_id is null)
    and (
      delivery_id is null
      or (
        origin = 'orchestrator'
        and subject ->> 'deliveryId' is not distinct from delivery_id::text
      )
    )
  ),
  constraint chat_escalations_delivery_fkey
    foreign key (delivery_id) references public.deliveries (id),
  constraint chat_escalations_decision_event_fkey
    foreign key (session_id, decision_event_id) references public.chat_events (session_id, id),
  constraint chat_escalations_risk_known check (risk in ('low', 'medium', 'high')),
  constraint chat_escalations_approver_known check (approver in ('self', 'other')),
  constraint chat_escalations_decision_is_whole check (
    num_nonnulls(decision, decided_by, decided_at, decision_event_id)
      = case status when 'resolved' then 4 else 0 end
  ),
  -- A requester may withdraw with `reject` even if it was not offered.
  constraint chat_escalations_decision_was_offered
    check (decision is null or decision = 'reject' or decision = any (decisions)),
  constraint chat_escalations_comment_required_known
    check (comment_required <@ array['reject', 'edit']),
  constraint chat_escalations_comment_of_decision
    check (comment is null or (decision is not null and char_length(comment) between 1 and 2000)),
  constraint chat_escalations_claim_is_whole
    check ((claimed_by is null) = (claimed_until is null)),
  constraint chat_escalations_closing_is_whole check ((status = 'open') = (closed_at is null)),
  constraint chat_escalations_expires_later check (expires_at > created_at and isfinite(expires_at))
);

comment on table public.chat_escalations is
  'Requests for a human decision: what is decided, who may decide and until when, and the '
  'decision. A decision must quote the subject''s hash.';

-- Lists an organisation's open escalations, oldest first, for its approvers. Nearly all escalations
-- are closed, and those are not in the index.
create index if not exists chat_escalations_open
  on public.chat_escalations (org_id, created_at, id) where status = 'open';

-- Lists an organisation's open escalations, the next to expire first.
create index if not exists chat_escalations_open_by_expiry
  on public.chat_escalations (org_id, expires_at, id) where status = 'open';

-- Lists an organisation's closed escalations of one status by creation.
create index if not exists chat_escalations_closed
  on public.chat_escalations (org_id, status, created_at, id) where status <> 'open';

-- Lists the escalations of one user of an organisation.
create index if not exists chat_escalations_of_user
  on public.chat_escalations (org_id, user_id, status, created_at, id);

-- Lists the escalations of a session.
create index if not exists chat_escalations_of_session
  on public.chat_escalations (session_id, status, created_at, id);

-- Lists the open escalations that a person has claimed.
create index if not exists chat_escalations_claimed
  on public.chat_escalations (org_id, claimed_by, created_at, id)
  where status = 'open' and claimed_by is not null;

-- Finds the escalations of a user, and of an organisation, that changed last.
create index if not exists chat_escalations_changes_of_user
  on public.chat_escalations (org_id, user_id, change_xid);
create index if not exists chat_escalations_changes
  on public.chat_escalations (org_id, change_xid);

-- Finds the rejections of a request.
create index if not exists chat_escalations_rejected
  on public.chat_escalations (org_id, request_hash, decided_at) where decision = 'reject';

-- Counts a user's open escalations that release no call.
create index if not exists chat_escalations_open_of_browsers
  on public.chat_escalations (org_id, user_id) where status = 'open' and kind = 'browser';

-- Finds open escalations that expire.
create index if not exists chat_escalations_expiring
  on public.chat_escalations (expires_at) where status = 'open' and expires_at is not null;

-- Allows one open decision per delivery.
create unique index if not exists chat_escalations_open_by_delivery
  on public.chat_escalations (delivery_id) where status = 'open' and delivery_id is not null;

-- Finds all escalations of a delivery; covers the foreign key.
create index if not exists chat_escalations_by_delivery
  on public.chat_escalations (delivery_id) where delivery_id is not null;

-- Lists an organisation's escalations by creation, with the columns that metrics count. The rows
-- are wide, because they contain the subject, so they are not read. An entry is written when an
-- escalation is opened and when it is closed.
create index if not exists chat_escalations_by_creation
  on public.chat_escalations (org_id, created_at)
  include (session_id, status, closed_at, delivery_id, agent_id, tool, kind);

alter table public.chat_escalations enable row level security;
revoke all on table public.chat_escalations from public, anon, authenticated, service_role;
grant select on table public.chat_escalations to authenticated;

-- See "Planner statistics" in schema.sql.
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
  alter column closed_at set statistics 0,
  alter column kind set statistics 0,
  alter column delivery_id set statistics 0,
  alter column subject set statistics 0,
  alter column risk set statistics 0,
  alter column approver set statistics 0,
  alter column author_id set statistics 0,
  alter column predecessor_id set statistics 0,
  alter column revision set statistics 0,
  alter column decision set statistics 0,
  alter column answer set statistics 0,
  alter column decided_by set statistics 0,
  alter column decided_at set statistics 0,
  alter column decision_event_id set statistics 0,
  alter column subject_hash set statistics 0,
  alter column request_hash set statistics 0,
  alter column comment_required set statistics 0,
  alter column comment set statistics 0,
  alter column claimed_by set statistics 0,
  alter column claimed_until set statistics 0,
  alter column change_xid set statistics 0,
  alter column tool set statistics 0;

drop policy if exists "session owner and approvers can read" on public.chat_escalations;
create policy "session owner and approvers can read" on public.chat_escalations
  for select to authenticated
  using (
    org_id = (select chatkit_private.caller_org_id())
    and (user_id = (select auth.uid()) or (select chatkit_private.caller_is_approver()))
  );

-- A session that has ended opens no escalations.
create or replace trigger require_active_session
  before insert on public.chat_escalations
  for each row execute function chatkit_private.require_active_session();

-- Rejects changes to what an open escalation asks, and any change to a closed one.
create or replace function chatkit_private.prevent_escalation_rewrite() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.id, new.org_id, new.user_id, new.session_id, new.event_id, new.origin, new.reason,
      new.decisions, new.answer_schema, new.kind, new.delivery_id, new.subject, new.risk,
      new.approver, new.comment_required, new.author_id,
      new.predecessor_id, new.revision)
     is distinct from
     (old.id, old.org_id, old.user_id, old.session_id, old.event_id, old.origin, old.reason,
      old.decisions, old.answer_schema, old.kind, old.delivery_id, old.subject, old.risk,
      old.approver, old.comment_required, old.author_id,
      old.predecessor_id, old.revision) then
    raise check_violation using message = 'an escalation keeps what it asks';
  end if;
  if old.status <> 'open'
     and (new.status, new.closed_at, new.decision, new.answer, new.comment, new.decided_by,
          new.decided_at, new.decision_event_id)
         is distinct from
         (old.status, old.closed_at, old.decision, old.answer, old.comment, old.decided_by,
          old.decided_at, old.decision_event_id) then
    raise check_violation using message = 'an escalation that is closed stays as it was closed';
  end if;
  return new;
end
$$;

create or replace trigger prevent_escalation_rewrite
  before update on public.chat_escalations
  for each row execute function chatkit_private.prevent_escalation_rewrite();

create or replace trigger record_change_xid
  before update on public.chat_escalations
  for each row execute function chatkit_private.record_change_xid();

-- Withdraws the open escalations of a session that ends, for any reason.
create or replace function chatkit_private.withdraw_escalations() returns trigger
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
  execute function chatkit_private.withdraw_escalations();

-- Returns the subject of an escalation that a page opened: its event and nothing else.
create or replace function chatkit_private.browser_subject(p_event public.chat_events) returns jsonb
language sql
set search_path = ''
as $$
  select jsonb_build_object(
    'kind', 'browser',
    'event', jsonb_build_object('id', p_event.id, 'type', p_event.type, 'payload', p_event.payload)
  )
$$;

-- Opens an escalation for a `hitl_escalation` event of a page, whose payload is {reason, decisions,
-- schema?, expiresInSeconds?}. The caller generates the id. If the id exists, it belongs to another
-- event, and the error does not reveal which. Nothing depends on the decision, so the session's
-- user may decide too. Without expiresInSeconds the escalation expires after thirty days. The
-- number of open ones per session and per user is limited to what people can review, because each
-- keeps its session from becoming idle.
create or replace function chatkit_private.open_escalation(
  p_event public.chat_events,
  p_escalation_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
declare
  c_most_of_session constant integer := 20;
  c_most_of_user constant integer := 100;
  v_of_session integer;
  v_of_user integer;
begin
  -- Serialises the count per user, so that two sessions do not pass with the same count.
  perform pg_advisory_xact_lock(
    hashtextextended(concat_ws('/', p_event.org_id, p_event.user_id), 140300)
  );
  select count(*) filter (where o.session_id = p_event.session_id), count(*)
  into v_of_session, v_of_user
  from public.chat_escalations as o
  where o.org_id = p_event.org_id and o.user_id = p_event.user_id
    and o.kind = 'browser' and o.status = 'open';
  if v_of_session >= c_most_of_session or v_of_user >= c_most_of_user then
    raise sqlstate 'PT409' using message = 'too_many_escalations',
      detail = case when v_of_session >= c_most_of_session then 'session' else 'user' end;
  end if;

  insert into public.chat_escalations (
    id, org_id, user_id, session_id, event_id, origin, reason, decisions, answer_schema,
    expires_at, subject
  ) values (
    p_escalation_id, p_event.org_id, p_event.user_id, p_event.session_id, p_event.id,
    case p_event.actor_type when 'user' then 'browser' else 'orchestrator' end,
    p_event.payload ->> 'reason',
    array(select jsonb_array_elements_text(p_event.payload -> 'decisions')),
    nullif(p_event.payload -> 'schema', 'null'),
    clock_timestamp()
      + make_interval(secs => coalesce((p_event.payload ->> 'expiresInSeconds')::integer, 2592000)),
    chatkit_private.browser_subject(p_event)
  )
  on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'escalation_id_taken';
  end if;
end
$$;

-- Returns the call in an escalation's subject, without the members that describe the escalation.
create or replace function chatkit_private.subject_call(p_subject jsonb) returns jsonb
language sql immutable
set search_path = ''
return p_subject
  - '{kind,deliveryId,risk,approver,ask,error,authorId,predecessorId,display}'::text[];
