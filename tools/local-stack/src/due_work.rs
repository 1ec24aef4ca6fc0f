//! Sessions on which scheduled work is due: of many users a little, and of one as much as one likes.

use anyhow::{Context, Result};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::stack::LocalStack;

/// A kind of scheduled work.
pub struct Kind {
    /// The duty of `expire-sessions`, as the logs name it.
    pub duty: &'static str,
    /// The function by which rows are claimed, or worked on at once.
    pub function: &'static str,
    /// Where its answer has the rows, each with a `session_id`; none where it works on them itself.
    pub rows: Option<&'static str>,
    /// How many of it one user can have due at once: the bounds of docs/reference/limits.md and the schedule's five minutes say so. None where
    /// there is no bound.
    pub most: Option<usize>,
    /// Whether the sessions have ended.
    ended: bool,
    /// Makes the work due, of the hostile user's sessions first.
    due: &'static str,
    /// Whether the work on a session is still to be done.
    left: &'static str,
}

/// How much of it there is.
#[derive(Clone, Copy)]
pub struct Amount {
    /// Sessions of the hostile user.
    pub hostile: usize,
    /// Threads that each of them links, of which OpenAI wants to hear nothing.
    pub links: usize,
    /// Other users, with one session each.
    pub others: usize,
}

/// What the ids of the hostile user's threads begin with.
pub const REFUSED: &str = "cthr_refused";

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        duty: "fail_abandoned_requests",
        function: "fail_abandoned_requests",
        rows: None,
        // A minute's secrets, until an hour after the schedule stood still.
        most: Some(60 * 60),
        ended: false,
        due: "insert into chatkit_sessions (id, org_id, user_id, session_id, agent_id, requested_at)
              select gen_random_uuid(), org_id, user_id, id, 'accounts_payable',
                     now() - case when hostile then '2 hours' else '10 minutes' end::interval
              from test.due where kind = '{kind}'",
        left: "exists (select from chatkit_sessions as c where c.session_id = d.id and c.failed_at is null)",
    },
    Kind {
        duty: "cancel_chatkit_sessions",
        function: "claim_uncancelled_chatkit_sessions",
        rows: Some("/sessions"),
        // A minute's secrets, for their ten minutes.
        most: Some(60 * 10),
        ended: true,
        due: "insert into chatkit_sessions (id, org_id, user_id, session_id, agent_id, chatkit_session_id, requested_at,
                                            recorded_at, expires_at)
              select gen_random_uuid(), org_id, user_id, id, 'accounts_payable', 'cksess_' || id, now(), now(),
                     now() + case when hostile then '5 minutes' else '8 minutes' end::interval
              from test.due where kind = '{kind}'",
        left: "exists (select from chatkit_sessions as c where c.session_id = d.id and c.cancelled_at is null)",
    },
    Kind {
        duty: "expire_escalations",
        function: "expire_escalations",
        rows: None,
        most: Some(100),
        ended: false,
        due: "insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions, created_at,
                                            expires_at)
              select gen_random_uuid(), org_id, user_id, id, gen_random_uuid(), 'browser', 'Which?', '{respond}',
                     now() - interval '3 hours', now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        left: "exists (select from chat_escalations as e where e.session_id = d.id and e.status = 'open')",
    },
    Kind {
        duty: "purge_expired",
        function: "purge_expired",
        rows: None,
        // A day's idempotency keys.
        most: Some(10_000),
        ended: false,
        due: "insert into chatkit_sessions (id, org_id, user_id, session_id, agent_id, chatkit_session_id, requested_at,
                                            recorded_at, expires_at, sealed_secret, sealing_key_id)
              select gen_random_uuid(), org_id, user_id, id, 'accounts_payable', 'cksess_' || id, now(), now(),
                     now() - case when hostile then '2 hours' else '2 minutes' end::interval, 'sealed', 'k1'
              from test.due where kind = '{kind}';
              insert into idempotency_keys (org_id, user_id, endpoint, key, request_hash, session_id, last_used_at)
              select org_id, user_id, 'x', id::text, repeat('0', 64), id,
                     now() - case when hostile then '3 days' else '2 days' end::interval
              from test.due where kind = '{kind}'",
        left: "exists (select from chatkit_sessions as c where c.session_id = d.id and c.sealed_secret is not null)
               or exists (select from idempotency_keys as k where k.session_id = d.id)",
    },
    Kind {
        duty: "expire_idle_sessions",
        function: "claim_idle_sessions",
        rows: Some("/sessions"),
        most: Some(200),
        ended: false,
        due: "insert into idle_checks (org_id, user_id, session_id, due_at)
              select org_id, user_id, id, now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        left: "exists (select from chat_sessions as s where s.id = d.id and s.status = 'active')",
    },
    Kind {
        duty: "copy_transcripts",
        function: "claim_transcripts",
        rows: Some("/transcripts"),
        most: None,
        ended: true,
        due: "insert into transcripts_due (org_id, user_id, session_id, due_at)
              select org_id, user_id, id, now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        left: "exists (select from transcripts_due as t where t.session_id = d.id)",
    },
    Kind {
        duty: "resume_erasures",
        function: "claim_erasures",
        rows: None,
        most: Some(0),
        ended: true,
        // An operator orders them, so there is none of the hostile user's.
        due: "insert into erasures (id, org_id, user_id, requested_by, reason, lease_until)
              select gen_random_uuid(), org_id, user_id, repeat('o', 200), repeat('€', 2000), now() - interval '1 minute'
              from test.due where kind = '{kind}' and not hostile",
        left: "exists (select from erasures as e where e.user_id = d.user_id and e.finished_at is null)",
    },
    Kind {
        duty: "apply_retention",
        function: "claim_overdue_sessions",
        rows: Some("/sessions"),
        most: None,
        ended: true,
        due: "insert into org_retention (org_id, keep_days) select distinct org_id, 30 from test.due on conflict do nothing;
              update chat_sessions as s
              set ended_at = now() - case when d.hostile then '60 days' else '40 days' end::interval
              from test.due as d where d.kind = '{kind}' and s.id = d.id",
        left: "exists (select from chat_sessions as s where s.id = d.id)",
    },
];

/// Writes sessions of an organisation that has the agent, and makes the work of this kind due on them. The hostile user is one and the same
/// for all kinds, the others are others for each. Triggers do nothing meanwhile.
pub async fn fill(stack: &LocalStack, org_id: Uuid, kind: &Kind, amount: Amount) -> Result<()> {
    let Amount { hostile, links, others } = amount;
    let (ended, status, end_reason) = match kind.ended {
        true => ("now() - interval '1 hour'", "'ended'", "'cancelled'"),
        false => ("null", "'active'", "null"),
    };
    let statements = format!(
        "create schema if not exists test;
         create table if not exists test.due (id uuid, org_id uuid, user_id uuid, kind text, hostile boolean);
         begin;
         set local session_replication_role = replica;
         insert into test.due
           select gen_random_uuid(), '{org_id}'::uuid, md5('{org_id}')::uuid, '{duty}', true from generate_series(1, {hostile})
           union all
           select gen_random_uuid(), '{org_id}'::uuid, gen_random_uuid(), '{duty}', false from generate_series(1, {others});
         insert into chatkit_users (org_id, user_id)
           select distinct org_id, user_id from test.due on conflict do nothing;
         insert into chat_sessions (id, org_id, user_id, channel, agent_id, status, ended_at, end_reason, created_at,
                                    last_activity_at)
           select id, org_id, user_id, 'web', 'accounts_payable', {status}, {ended}, {end_reason}, now() - interval '90 days',
                  now() - interval '2 days'
           from test.due where kind = '{duty}';
         insert into chatkit_threads (org_id, user_id, session_id, thread_id)
           select org_id, user_id, id, '{REFUSED}_' || repeat('x', 480) || n
           from test.due, generate_series(1, {links}) as n where kind = '{duty}' and hostile
           union all
           select org_id, user_id, id, 'cthr_' || id from test.due where kind = '{duty}' and not hostile;
         {due};
         commit;
         analyze",
        duty = kind.duty,
        due = kind.due.replace("{kind}", kind.duty),
    );
    let database = stack.database();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(database).await.with_context(|| kind.duty)?;
    Ok(())
}

/// On how many sessions the work of this kind is still to be done, the others' or the hostile user's.
pub async fn left(stack: &LocalStack, kind: &Kind, hostile: bool) -> Result<i64> {
    let query = format!("select count(*) from ({}) as d", left_query(kind, hostile));
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(stack.database()).await?)
}

/// A query for those sessions.
pub fn left_query(kind: &Kind, hostile: bool) -> String {
    let not = if hostile { "" } else { "not" };
    format!(
        "select d.id from test.due as d where d.kind = '{}' and {not} d.hostile and ({})",
        kind.duty, kind.left
    )
}

/// Takes away all that was written.
pub async fn clear(stack: &LocalStack) -> Result<()> {
    let statements = "begin; set local session_replication_role = replica;
        truncate test.due, chat_sessions, chatkit_sessions, chatkit_threads, chat_events, chat_messages, chat_escalations,
          idempotency_keys, idle_checks, transcripts_due, retention_leases, org_retention, erasures, throttles,
          chatkit_users, chat_tasks, deliveries, delivery_queues, auto_call_amounts;
        commit";
    sqlx::raw_sql(statements).execute(stack.database()).await.context("clearing")?;
    Ok(())
}
