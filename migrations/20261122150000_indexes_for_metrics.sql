-- What the metrics read. Figures are counted from the rows at every request: nothing is rolled up that a late row could leave
-- behind. So what is read must be little, and lie together.

-- Sessions that had not ended by a moment: who was created since, who ended since, and who was active, in one range of an index.
-- (Who has not ended stands at the range's end, under null.) The time of creation is there to pass over those that began later,
-- without reading them. Nothing that changes with every event is in it, but an active session's row moves with its activity, and
-- then each of its indexes gains an entry: this is one more for an event, and the reason why there is only one.
create index if not exists chat_sessions_by_end
  on public.chat_sessions (org_id, ended_at, created_at);

-- Whom and what an escalation is about, out of its subject, where the orchestrator opened it; null where a page did. As columns,
-- since taking them out of 300,000 subjects takes longer than all else that is counted of escalations.
alter table public.chat_escalations
  add column if not exists agent_id text generated always as (subject ->> 'agentId') stored,
  add column if not exists tool text generated always as (subject ->> 'tool') stored;
-- No statistics of what people and agents write: see agents.
alter table public.chat_escalations
  alter column tool set statistics 0;

-- The organisation's escalations by the time they were opened, with all that is counted of them: their rows are wide, for what
-- they ask stands in them. Written when one is opened and when it is closed.
create index if not exists chat_escalations_by_creation
  on public.chat_escalations (org_id, created_at) include (session_id, status, closed_at, delivery_id, agent_id, tool, kind);

-- The organisation's deliveries, in the same way. One more entry each time that a call is made, begun or finished, next to a call
-- over the network.
create index if not exists deliveries_by_creation
  on public.deliveries (org_id, created_at)
  include (id, session_id, status, finished_as, resumes, fence);

-- Deliveries are counted by the hour and the day, and what is grouped by a time cut down so is taken to have as many groups as there are
-- times. Told that there are few, the planner adds up in memory, and in several processes, instead of sorting every delivery: two thirds
-- of the time for a year of a large organisation. Nothing looks for one time among them, which is what else the number is for.
alter table public.deliveries alter column created_at set (n_distinct = 400);
