-- What an escalation asks about, exactly, and what was decided. A decision names the hash of what it decides, so an approval is
-- good for the one thing that was shown, and for nothing else.

-- The hash by which a thing is named. PostgreSQL writes equal jsonb as equal text. (It is called immutable because UTF-8 is
-- what the database is in, and a generated column wants it.)
create or replace function private.hash_of(p_thing jsonb) returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select encode(sha256(convert_to(p_thing::text, 'UTF8')), 'hex')
$$;

alter table public.chat_escalations
  -- browser: a page asks for a person, and nothing depends on it here. policy: the call is held until another person approves it.
  -- confirm: it is held until the requester confirms it. agent_asked: the agent wants an answer to go on. agent_failed,
  -- outcome_unknown: whether to call once more.
  add column if not exists kind text not null default 'browser',
  add column if not exists delivery_id uuid,
  add column if not exists subject jsonb not null default '{}',
  add column if not exists risk text not null default 'low',
  -- Who may decide: `self` lets the session's user, `other` only somebody else.
  add column if not exists approver text not null default 'self',
  -- Where the call was edited or answered: who wrote it and may not decide, the escalation that this was done in, and how many
  -- such questions in a row this is.
  add column if not exists author_id uuid,
  add column if not exists predecessor_id uuid,
  add column if not exists revision integer not null default 0,
  add column if not exists decision text,
  add column if not exists answer jsonb,
  add column if not exists decided_by uuid,
  add column if not exists decided_at timestamptz,
  -- The event that says the decision.
  add column if not exists decision_event_id uuid;

-- A browser's escalation asks no more than its event says. (Also of those that are there already.)
create or replace function private.subject_of_event(p_event public.chat_events) returns jsonb
language sql
set search_path = ''
as $$
  select jsonb_build_object(
    'kind', 'browser',
    'event', jsonb_build_object('id', p_event.id, 'type', p_event.type, 'payload', p_event.payload)
  )
$$;

-- (The guard below would not let this be applied again.)
drop trigger if exists guard_escalation_history on public.chat_escalations;
update public.chat_escalations as x
set subject = private.subject_of_event(e)
from public.chat_events as e
where x.kind = 'browser' and x.subject = '{}' and e.session_id = x.session_id and e.id = x.event_id;

alter table public.chat_escalations
  -- Made by the database, so that it is the subject's and no other.
  add column if not exists subject_hash text generated always as (private.hash_of(subject)) stored;

alter table public.chat_escalations drop constraint if exists chat_escalations_kind_known;
alter table public.chat_escalations add constraint chat_escalations_kind_known
  check (kind in ('browser', 'policy', 'confirm', 'agent_asked', 'agent_failed', 'outcome_unknown'));
alter table public.chat_escalations drop constraint if exists chat_escalations_approver_is_strict;
-- What was held by a policy, or is more than a low risk, is not the requester's own to approve; a confirmation is.
alter table public.chat_escalations add constraint chat_escalations_approver_is_strict check (
  case when kind = 'policy' or risk <> 'low' then approver = 'other' when kind = 'confirm' then approver = 'self' else true end
);
alter table public.chat_escalations drop constraint if exists chat_escalations_revision_range;
alter table public.chat_escalations add constraint chat_escalations_revision_range
  check (revision between 0 and 5 and (revision > 0) = (predecessor_id is not null));
-- Only what the orchestrator opened can set a delivery going, and its subject says which.
alter table public.chat_escalations drop constraint if exists chat_escalations_delivery_is_the_subjects;
alter table public.chat_escalations add constraint chat_escalations_delivery_is_the_subjects check (
  (kind = 'browser') = (delivery_id is null)
  and (delivery_id is null or (origin = 'orchestrator' and subject ->> 'deliveryId' is not distinct from delivery_id::text))
);
alter table public.chat_escalations drop constraint if exists chat_escalations_delivery_fkey;
alter table public.chat_escalations add constraint chat_escalations_delivery_fkey
  foreign key (delivery_id) references public.deliveries (id);
alter table public.chat_escalations drop constraint if exists chat_escalations_decision_event_fkey;
alter table public.chat_escalations add constraint chat_escalations_decision_event_fkey
  foreign key (session_id, decision_event_id) references public.chat_events (session_id, id);
alter table public.chat_escalations drop constraint if exists chat_escalations_risk_known;
alter table public.chat_escalations add constraint chat_escalations_risk_known check (risk in ('low', 'medium', 'high'));
alter table public.chat_escalations drop constraint if exists chat_escalations_approver_known;
alter table public.chat_escalations add constraint chat_escalations_approver_known check (approver in ('self', 'other'));
alter table public.chat_escalations drop constraint if exists chat_escalations_decision_is_whole;
alter table public.chat_escalations add constraint chat_escalations_decision_is_whole check (
  num_nonnulls(decision, decided_by, decided_at, decision_event_id) = case status when 'resolved' then 4 else 0 end
);
alter table public.chat_escalations drop constraint if exists chat_escalations_decision_was_offered;
alter table public.chat_escalations add constraint chat_escalations_decision_was_offered
  -- A requester may withdraw what was not offered to be rejected.
  check (decision is null or decision = 'reject' or decision = any (decisions));

-- A delivery waits for one decision at a time.
create unique index if not exists chat_escalations_open_by_delivery
  on public.chat_escalations (delivery_id) where status = 'open' and delivery_id is not null;
-- All that was asked about a delivery; covers the foreign key.
create index if not exists chat_escalations_by_delivery
  on public.chat_escalations (delivery_id) where delivery_id is not null;

-- Who reads an escalation reads all of it. No statistics of what people and agents write: see agents.
alter table public.chat_escalations
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
  alter column subject_hash set statistics 0;

-- What is asked does not change while people look at it, and what was decided stays decided.
create or replace function private.guard_escalation_history() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.id, new.org_id, new.user_id, new.session_id, new.event_id, new.origin, new.reason, new.decisions,
      new.answer_schema, new.kind, new.delivery_id, new.subject, new.risk, new.approver, new.author_id,
      new.predecessor_id, new.revision)
     is distinct from
     (old.id, old.org_id, old.user_id, old.session_id, old.event_id, old.origin, old.reason, old.decisions,
      old.answer_schema, old.kind, old.delivery_id, old.subject, old.risk, old.approver, old.author_id,
      old.predecessor_id, old.revision) then
    raise check_violation using message = 'an escalation keeps what it asks';
  end if;
  if old.status <> 'open'
     and (new.status, new.closed_at, new.decision, new.answer, new.decided_by, new.decided_at, new.decision_event_id)
         is distinct from
         (old.status, old.closed_at, old.decision, old.answer, old.decided_by, old.decided_at, old.decision_event_id) then
    raise check_violation using message = 'an escalation that is closed stays as it was closed';
  end if;
  return new;
end
$$;

create or replace trigger guard_escalation_history
  before update on public.chat_escalations
  for each row execute function private.guard_escalation_history();

-- `hitl_escalation` {reason, decisions, schema?, expiresInSeconds?}: a page asks for a person. The id is minted by the caller; if
-- it exists already (it would be another event's), the refusal does not say whose it is. The escalation sets nothing going,
-- however it is decided, so its user may decide it too. It ends after thirty days if it names no end, and a user's pages have
-- no more open than people can look at: an open one keeps its session from being idle.
create or replace function private.open_escalation(p_event public.chat_events, p_escalation_id uuid) returns void
language plpgsql
set search_path = ''
as $$
declare
  c_most_of_session constant integer := 20;
  c_most_of_user constant integer := 100;
  v_of_session integer;
  v_of_user integer;
begin
  -- One at a time for a user, so that two sessions do not count the same.
  perform pg_advisory_xact_lock(hashtextextended(concat_ws('/', p_event.org_id, p_event.user_id), 140300));
  select count(*) filter (where o.session_id = p_event.session_id), count(*)
  into v_of_session, v_of_user
  from public.chat_escalations as o
  where o.org_id = p_event.org_id and o.user_id = p_event.user_id and o.origin = 'browser' and o.status = 'open';
  if v_of_session >= c_most_of_session or v_of_user >= c_most_of_user then
    raise sqlstate 'PT409' using message = 'too_many_escalations',
      detail = case when v_of_session >= c_most_of_session then 'session' else 'user' end;
  end if;

  insert into public.chat_escalations (
    id, org_id, user_id, session_id, event_id, origin, reason, decisions, answer_schema, expires_at, subject
  ) values (
    p_escalation_id, p_event.org_id, p_event.user_id, p_event.session_id, p_event.id,
    case p_event.actor_type when 'user' then 'browser' else 'orchestrator' end,
    p_event.payload ->> 'reason',
    array(select jsonb_array_elements_text(p_event.payload -> 'decisions')),
    nullif(p_event.payload -> 'schema', 'null'),
    clock_timestamp() + make_interval(secs => coalesce((p_event.payload ->> 'expiresInSeconds')::integer, 2592000)),
    private.subject_of_event(p_event)
  )
  on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'escalation_id_taken';
  end if;
end
$$;

revoke all on function private.hash_of(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.subject_of_event(public.chat_events) from public, anon, authenticated, service_role;
revoke all on function private.guard_escalation_history() from public, anon, authenticated, service_role;
