//! Invariants of the database after any calls in any order.

use anyhow::Result;
use sqlx::{AssertSqlSafe, PgConnection};

use super::pool::MAX_DAILY_TOTAL;
use crate::stress::measurement::Measurement;

/// Condition: the session is not being deleted. Erasure and retention delete in batches.
const NOT_DELETED: &str = "not exists (
    select from erasures as r where r.org_id = s.org_id and r.user_id = s.user_id and r.finished_at is null
  ) and not exists (select from retention_leases as r where r.session_id = s.id)";

/// Invariants, each with a query for its violations.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "sessions with two running calls",
        "select d.session_id::text from deliveries as d where d.status = 'running' group by 1 having count(*) > 1",
    ),
    (
        "users and tools whose `auto` calls exceed the daily total",
        "select k.user_id || ' ' || k.agent_id || ': ' || sum(k.amount) from auto_call_amounts as k
         where k.begun_at > clock_timestamp() - interval '24 hours'
         group by k.org_id, k.user_id, k.agent_id, k.tool having sum(k.amount) > {total}",
    ),
    (
        "sessions whose events have gaps or duplicates",
        "select s.id::text from chat_sessions as s
         where {not_deleted} and (s.last_event_seq <> (select count(*) from chat_events as e where e.session_id = s.id)
            or s.last_event_seq <> (select coalesce(max(e.seq), 0) from chat_events as e where e.session_id = s.id))",
    ),
    (
        "sessions whose messages have gaps or duplicates",
        "select s.id::text from chat_sessions as s
         where {not_deleted} and (s.last_message_seq <> (select count(*) from chat_messages as m where m.session_id = s.id)
            or s.last_message_seq <> (select coalesce(max(m.seq), 0) from chat_messages as m where m.session_id = s.id))",
    ),
    (
        "sessions without exactly one event for their end",
        "select s.id::text from chat_sessions as s
         where {not_deleted} and (s.status = 'ended')::integer <> (
           select count(*) from chat_events as e where e.session_id = s.id and e.type = 'session_ended')",
    ),
    (
        "open escalations and unstarted deliveries of ended sessions",
        "select x.id::text from chat_escalations as x join chat_sessions as s on s.id = x.session_id
         where x.status = 'open' and s.status = 'ended'
         union all
         select d.id::text from deliveries as d join chat_sessions as s on s.id = d.session_id
         where d.status in ('pending', 'asked') and s.status = 'ended'",
    ),
    (
        "held deliveries without exactly one open escalation",
        "select d.id::text from deliveries as d
         where d.status = 'asked' and 1 <> (
           select count(*) from chat_escalations as x where x.delivery_id = d.id and x.status = 'open')",
    ),
    (
        "open escalations of deliveries that are not held",
        "select x.id::text from chat_escalations as x join deliveries as d on d.id = x.delivery_id
         where x.status = 'open' and d.status <> case
           when x.kind = 'agent_failed' then 'dead' when x.kind = 'outcome_unknown' then 'unknown' else 'asked' end",
    ),
    (
        "decisions without exactly one event",
        "select x.id::text from chat_escalations as x join chat_sessions as s on s.id = x.session_id
         where {not_deleted} and (x.status = 'resolved')::integer <> (
           select count(*) from chat_events as e
           where e.session_id = x.session_id and e.type = 'hitl_resolved' and e.payload ->> 'escalationId' = x.id::text)",
    ),
    (
        "approvals by users without the right to approve",
        "select x.id::text from chat_escalations as x
         where x.decision <> 'reject'
           and ((x.approver = 'other' and x.decided_by in (x.user_id, x.author_id))
             or (x.kind = 'confirm' and x.decided_by <> x.user_id))",
    ),
    (
        "released calls without an approval of this call",
        "select d.id::text from deliveries as d
         left join chat_escalations as x
           on x.id = d.release_id and x.status = 'resolved' and x.kind in ('policy', 'confirm', 'agent_asked')
             and x.decision in ('approve', 'edit')
         where d.release_id is not null and (
           x.id is null
           or (x.decision = 'approve' and d.released_hash <> chatkit_private.content_hash(chatkit_private.subject_call(x.subject))))",
    ),
    (
        "queues whose due time or agent differs from their head's",
        "select coalesce(q.session_id, h.session_id)::text
         from delivery_queues as q
         full join (
           select distinct on (d.session_id)
             d.session_id, d.agent_id, coalesce(d.lease_until, d.next_attempt_at) as due_at
           from deliveries as d where d.status in ('pending', 'running') order by d.session_id, d.seq
         ) as h on h.session_id = q.session_id
         where (q.due_at, q.agent_id) is distinct from (h.due_at, h.agent_id)",
    ),
    (
        "escalations with an invalid predecessor, or too many in a row",
        "select x.id::text from chat_escalations as x
         left join chat_escalations as p on p.id = x.predecessor_id and p.session_id = x.session_id and p.status = 'resolved'
         where x.predecessor_id is not null and (p.id is null or x.revision <> p.revision + 1 or x.revision > 5)",
    ),
    (
        "sessions or users with too many open escalations of browsers",
        "select x.session_id::text from chat_escalations as x
         where x.status = 'open' and x.origin = 'browser' group by 1 having count(*) > 20
         union all
         select x.user_id::text from chat_escalations as x
         where x.status = 'open' and x.origin = 'browser' group by x.org_id, x.user_id having count(*) > 100",
    ),
    (
        "sealed secrets of ended sessions",
        "select c.id::text from chatkit_sessions as c join chat_sessions as s on s.id = c.session_id
         where s.status = 'ended' and c.sealed_secret is not null",
    ),
];

pub async fn check(operator: &mut PgConnection) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for (name, query) in INVARIANTS {
        let query =
            query.replace("{total}", &MAX_DAILY_TOTAL.to_string()).replace("{not_deleted}", NOT_DELETED);
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *operator).await?;
        measurements.push(Measurement::violations(name, &found));
    }
    Ok(measurements)
}
