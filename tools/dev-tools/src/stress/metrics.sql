-- One year of an organisation: {count} sessions with ten events and two deliveries each, and three
-- escalations per ten sessions, plus a fifth as much of other organisations. Triggers are disabled,
-- because no queues and schedules are needed.
set session_replication_role = replica;

create temporary table made as
select
  i, org_id, gen_random_uuid() as id, created_at, hash,
  case when hash % 100 > 0 and lasts < now() - created_at then created_at + lasts end as ended_at
from (
  select
    i, s.org_id, now() - interval '365 days' * (1 - i::double precision / s.number) as created_at,
    abs(hashint8(i)::bigint) as hash, interval '2 days' * random() as lasts
  from (values ('{org}'::uuid, {count}), (gen_random_uuid(), {count} / 5)) as s (org_id, number),
    generate_series(1, s.number) as i
) as planned
order by created_at;

insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, provider, status, created_at, ended_at, end_reason,
  metadata, last_activity_at, last_event_seq)
select
  id, org_id, org_id, (array['web', 'web', 'web', 'voice'])[1 + hash % 4],
  (array['tax_compliance', 'accounts_payable', 'audit_assurance', 'cfo_strategy', 'risk_controls',
         'regulatory_filings'])[1 + hash % 6], 'openai_hosted',
  case when ended_at is null then 'active' else 'ended' end, created_at, ended_at,
  case when ended_at is not null then (array['cancelled', 'cancelled', 'expired', 'expired', 'failed'])[1 + hash % 5] end,
  '{"locale": "en"}', coalesce(ended_at, created_at), 10
from made;

insert into public.chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type, created_at)
select org_id, org_id, id, gen_random_uuid(), seq, 'button_click', '{"action": "approve", "label": "Approve invoice 42"}',
  'user', created_at
from made, generate_series(1, 10) as seq;

create temporary table sent as
select gen_random_uuid() as delivery_id, n, m.*, (hash / 7 + n) % 100 as luck,
  (array['tax_compliance', 'accounts_payable'])[1 + hash % 2] as agent_id, (array['pay', 'check', 'file'])[1 + hash % 3] as tool
from made as m, generate_series(1, 2) as n;

insert into public.deliveries (id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id, root_event_id,
  status, attempts, fence, finished_as, resumes, error, created_at, finished_at)
select
  delivery_id, org_id, org_id, id, gen_random_uuid(), n, agent_id, tool, gen_random_uuid(), gen_random_uuid(),
  case when luck < 3 then 'dead' when luck < 4 then 'unknown' when luck < 6 then 'withdrawn' else 'done' end,
  1, 1 + (luck = 50)::integer,
  case when luck >= 6 and i % 10 > 0 then 'done' end,
  case when n = 2 and i % 10 = 0 then gen_random_uuid() end,
  case when luck < 4 then 'gone_wrong' end,
  created_at + interval '1 minute' * n, created_at + interval '1 minute' * n
from sent;

insert into public.chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions, status, created_at,
  expires_at, closed_at, kind, approver, delivery_id, subject, decision, decided_by, decided_at, decision_event_id)
select
  gen_random_uuid(), org_id, org_id, id, gen_random_uuid(), case when asked then 'orchestrator' else 'browser' end,
  'This payment needs an approval.', array['approve', 'reject'], status, opened_at,
  opened_at + interval '30 days', closed_at, case when asked then 'policy' else 'browser' end,
  case when asked then 'other' else 'self' end, case when asked then delivery_id end,
  case when asked then jsonb_build_object('deliveryId', delivery_id, 'agentId', agent_id, 'tool', tool,
    'note', repeat('x', 300)) else '{}' end,
  case when status = 'resolved' then 'approve' end, case when status = 'resolved' then org_id end,
  case when status = 'resolved' then closed_at end, case when status = 'resolved' then gen_random_uuid() end
from (
  select *, i % 10 < 2 as asked, created_at + interval '2 minutes' as opened_at,
    case when luck < 85 or ended_at is not null and luck >= 97 then 'resolved' when luck < 92 then 'expired'
         when luck < 97 then 'withdrawn' else 'open' end as status,
    case when luck < 97 or ended_at is not null
      then created_at + interval '2 minutes' + interval '1 second' * ((hash / 11) % 20000) end as closed_at
  from sent
  where n = 1 and i % 10 < 3
) as planned;

reset session_replication_role;
drop table made, sent;
vacuum analyze;
