//! Creates sessions on which a scheduled job has work: many users with one session each, and one
//! hostile user with many.

use anyhow::{Context, Result};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::stack::LocalStack;

/// A scheduled job and the statements that make its work due.
pub struct DueWork {
    /// The job's name in the logs of `expire-sessions`.
    pub job: &'static str,
    /// The SQL function that claims the rows, or processes them at once.
    pub function: &'static str,
    /// The JSON pointer to the claimed rows, each with a `session_id`. `None` if the function
    /// processes the rows itself.
    pub rows: Option<&'static str>,
    /// The most work of this kind that one user can have due at once. docs/reference/limits.md and
    /// the schedule of five minutes determine it. `None` means unbounded.
    pub max_per_user: Option<usize>,
    ended: bool,
    /// SQL that makes the work due, on the hostile user's sessions first.
    due: &'static str,
    /// SQL condition: the work on session `d` is still pending.
    pending: &'static str,
}

/// The number of sessions and threads to create.
#[derive(Clone, Copy)]
pub struct WorkAmount {
    /// Number of sessions of the hostile user.
    pub hostile: usize,
    /// Number of threads of each of them. OpenAI rejects every request about these threads.
    pub links: usize,
    /// Number of other users, with one session each.
    pub others: usize,
}

/// Prefix of the ids of the hostile user's threads.
pub const REJECTED_THREAD_PREFIX: &str = "cthr_refused";

/// Every kind, in the order of their declaration.
pub const ALL: &[DueWork] = &[
    DueWork {
        job: "fail_abandoned_requests",
        function: "fail_abandoned_requests",
        rows: None,
        // One client secret a minute, for the hour in which the schedule does not run.
        max_per_user: Some(60 * 60),
        ended: false,
        due: "insert into chatkit_sessions (id, org_id, user_id, session_id, agent_id, provider, requested_at)
              select gen_random_uuid(), org_id, user_id, id, 'accounts_payable', 'openai_hosted',
                     now() - case when hostile then '2 hours' else '10 minutes' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from chatkit_sessions as c where c.session_id = d.id and c.failed_at is null)",
    },
    DueWork {
        job: "cancel_chatkit_sessions",
        function: "claim_uncancelled_chatkit_sessions",
        rows: Some("/sessions"),
        // One client secret a minute, each valid for ten minutes.
        max_per_user: Some(60 * 10),
        ended: true,
        due: "insert into chatkit_sessions (id, org_id, user_id, session_id, agent_id, provider, chatkit_session_id, requested_at,
                                            recorded_at, expires_at)
              select gen_random_uuid(), org_id, user_id, id, 'accounts_payable', 'openai_hosted', 'cksess_' || id, now(), now(),
                     now() + case when hostile then '5 minutes' else '8 minutes' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from chatkit_sessions as c where c.session_id = d.id and c.cancelled_at is null)",
    },
    DueWork {
        job: "settle_chat_runs",
        function: "settle_chat_runs",
        rows: None,
        // Twenty answers a minute, for the hour in which the schedule does not run.
        max_per_user: Some(20 * 60),
        ended: false,
        due: "insert into chat_threads (id, org_id, user_id, agent_id)
              select 'thr_' || replace(id::text, '-', ''), org_id, user_id, 'accounts_payable'
              from test.due where kind = '{kind}';
              insert into chat_thread_sessions (org_id, user_id, session_id, thread_id)
              select org_id, user_id, id, 'thr_' || replace(id::text, '-', '') from test.due where kind = '{kind}';
              insert into chat_runs (id, org_id, user_id, session_id, thread_id, agent_id, secret_hash, request_key,
                                     request_hash, question_seq, preceding_item_seq, draft, lease_until)
              select gen_random_uuid(), org_id, user_id, id, 'thr_' || replace(id::text, '-', ''), 'accounts_payable',
                     repeat('0', 64), 'x', 'x', 1, 1,
                     jsonb_build_array(jsonb_build_object(
                       'id', 'msg_' || id, 'thread_id', 'thr_' || replace(id::text, '-', ''),
                       'type', 'assistant_message',
                       'content', jsonb_build_array(jsonb_build_object('text', repeat('x', 2000))))),
                     now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from chat_runs as r where r.session_id = d.id and r.status = 'running')",
    },
    DueWork {
        job: "expire_escalations",
        function: "expire_escalations",
        rows: None,
        max_per_user: Some(100),
        ended: false,
        due: "insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions, created_at,
                                            expires_at)
              select gen_random_uuid(), org_id, user_id, id, gen_random_uuid(), 'browser', 'Which?', '{respond}',
                     now() - interval '3 hours', now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from chat_escalations as e where e.session_id = d.id and e.status = 'open')",
    },
    DueWork {
        job: "purge_expired",
        function: "purge_expired",
        rows: None,
        // The idempotency keys of one day.
        max_per_user: Some(10_000),
        ended: false,
        due: "insert into chatkit_sessions (id, org_id, user_id, session_id, agent_id, provider, chatkit_session_id, requested_at,
                                            recorded_at, expires_at, sealed_secret, sealing_key_id)
              select gen_random_uuid(), org_id, user_id, id, 'accounts_payable', 'openai_hosted', 'cksess_' || id, now(), now(),
                     now() - case when hostile then '2 hours' else '2 minutes' end::interval, 'sealed', 'k1'
              from test.due where kind = '{kind}';
              insert into idempotency_keys (org_id, user_id, endpoint, key, request_hash, session_id, last_used_at)
              select org_id, user_id, 'x', id::text, repeat('0', 64), id,
                     now() - case when hostile then '3 days' else '2 days' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from chatkit_sessions as c where c.session_id = d.id and c.sealed_secret is not null)
               or exists (select from idempotency_keys as k where k.session_id = d.id)",
    },
    DueWork {
        job: "expire_idle_sessions",
        function: "claim_idle_sessions",
        rows: Some("/sessions"),
        max_per_user: Some(200),
        ended: false,
        due: "insert into idle_checks (org_id, user_id, session_id, due_at)
              select org_id, user_id, id, now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from chat_sessions as s where s.id = d.id and s.status = 'active')",
    },
    DueWork {
        job: "copy_transcripts",
        function: "claim_transcripts",
        rows: Some("/transcripts"),
        max_per_user: None,
        ended: true,
        due: "insert into transcripts_due (org_id, user_id, session_id, due_at)
              select org_id, user_id, id, now() - case when hostile then '2 hours' else '1 minute' end::interval
              from test.due where kind = '{kind}'",
        pending: "exists (select from transcripts_due as t where t.session_id = d.id)",
    },
    DueWork {
        job: "resume_erasures",
        function: "claim_erasures",
        rows: None,
        max_per_user: Some(0),
        ended: true,
        // Only an operator requests erasures, so the hostile user cannot cause any.
        due: "insert into erasures (id, org_id, user_id, requested_by, reason, lease_until)
              select gen_random_uuid(), org_id, user_id, repeat('o', 200), repeat('€', 2000), now() - interval '1 minute'
              from test.due where kind = '{kind}' and not hostile",
        pending: "exists (select from erasures as e where e.user_id = d.user_id and e.finished_at is null)",
    },
    DueWork {
        job: "apply_retention",
        function: "claim_overdue_sessions",
        rows: Some("/sessions"),
        max_per_user: None,
        ended: true,
        due: "insert into org_retention (org_id, keep_days) select distinct org_id, 30 from test.due on conflict do nothing;
              update chat_sessions as s
              set ended_at = now() - case when d.hostile then '60 days' else '40 days' end::interval
              from test.due as d where d.kind = '{kind}' and s.id = d.id",
        pending: "exists (select from chat_sessions as s where s.id = d.id)",
    },
];

/// Inserts sessions of an organisation that has the agent, and makes the job's work due on them.
/// The hostile user is the same for all jobs; each job has other users of its own. Triggers are
/// disabled for this.
pub async fn insert(stack: &LocalStack, org_id: Uuid, kind: &DueWork, amount: WorkAmount) -> Result<()> {
    let WorkAmount { hostile, links, others } = amount;
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
         insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider, status, ended_at, end_reason, created_at,
                                    last_activity_at)
           select id, org_id, user_id, 'web', 'accounts_payable', 'openai_hosted', {status}, {ended}, {end_reason}, now() - interval '90 days',
                  now() - interval '2 days'
           from test.due where kind = '{duty}';
         insert into chatkit_threads (org_id, user_id, session_id, thread_id)
           select org_id, user_id, id, '{REJECTED_THREAD_PREFIX}_' || repeat('x', 480) || n
           from test.due, generate_series(1, {links}) as n where kind = '{duty}' and hostile
           union all
           select org_id, user_id, id, 'cthr_' || id from test.due where kind = '{duty}' and not hostile;
         {due};
         commit;
         analyze",
        duty = kind.job,
        due = kind.due.replace("{kind}", kind.job),
    );
    let database = stack.database();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(database).await.with_context(|| kind.job)?;
    Ok(())
}

/// Returns the number of sessions with pending work, of the hostile user or of the others.
pub async fn pending(stack: &LocalStack, kind: &DueWork, hostile: bool) -> Result<i64> {
    let query = format!("select count(*) from ({}) as d", remaining_query(kind, hostile));
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(stack.database()).await?)
}

/// A query for the sessions with pending work.
pub fn remaining_query(kind: &DueWork, hostile: bool) -> String {
    let not = if hostile { "" } else { "not" };
    format!(
        "select d.id from test.due as d where d.kind = '{}' and {not} d.hostile and ({})",
        kind.job, kind.pending
    )
}

/// Deletes everything that `fill` inserted.
pub async fn clear(stack: &LocalStack) -> Result<()> {
    let statements = "begin; set local session_replication_role = replica;
        truncate test.due, chat_sessions, chatkit_sessions, chatkit_threads, chat_events, chat_messages, chat_escalations,
          idempotency_keys, idle_checks, transcripts_due, retention_leases, org_retention, erasures, throttles,
          chatkit_users, chat_tasks, deliveries, delivery_queues, auto_call_amounts, chat_threads,
          chat_thread_sessions, chat_hidden_items, chat_runs, chat_run_chunks, session_model_settings;
        commit";
    sqlx::raw_sql(statements).execute(stack.database()).await.context("deleting the inserted rows")?;
    Ok(())
}
