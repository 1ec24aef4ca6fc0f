//! `list_due_jobs`: names each job that has work, so that an idle run calls none of them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::due_work::{self, ALL, WorkAmount};
use serde_json::json;
use uuid::Uuid;

use crate::jobs::maintenance::run_maintenance;
use crate::support::client::AGENT;

/// Rows that only `purge_expired` deletes, and that no other work of the job comes with.
const PURGED_ROWS: [&str; 4] = [
    "insert into throttles (org_id, scope, subject, kind, full_at)
     values (gen_random_uuid(), 'org', gen_random_uuid(), 'event', now() - interval '1 second')",
    "insert into auto_call_amounts (org_id, user_id, session_id, delivery_id, agent_id, tool, unit, amount, begun_at)
     values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'a', 't', 'EUR', 1,
             now() - interval '26 hours')",
    "insert into chat_run_chunks (org_id, user_id, session_id, run_id, seq, events)
     values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, '[]')",
    "insert into idempotency_keys (org_id, user_id, endpoint, key, request_hash, last_used_at)
     values (gen_random_uuid(), gen_random_uuid(), 'x', 'x', repeat('0', 64), now() - interval '25 hours')",
];

#[tokio::test]
async fn list_due_jobs_names_each_job_with_work() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    ensure!(due_jobs(&stack).await?.is_empty(), "a job is due without data: {:?}", due_jobs(&stack).await?);
    for kind in ALL {
        due_work::insert(&stack, org_id, kind, WorkAmount { hostile: 0, links: 0, others: 1 }).await?;
        let due = due_jobs(&stack).await?;
        ensure!(due.iter().any(|job| job == kind.job), "{} is not due: {due:?}", kind.job);
        due_work::clear(&stack).await?;
    }
    for insert in PURGED_ROWS {
        let insert = format!("begin; set local session_replication_role = replica; {insert}; commit");
        sqlx::raw_sql(sqlx::AssertSqlSafe(insert.clone())).execute(stack.database()).await?;
        let due = due_jobs(&stack).await?;
        ensure!(due == ["purge_expired"], "due after {insert}: {due:?}");
        due_work::clear(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn idle_run_makes_two_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    run_maintenance(&stack).await?;
    let before = stack.supabase().latency().count();
    run_maintenance(&stack).await?;
    let calls = stack.supabase().latency().count() - before;
    ensure!(calls == 2, "an idle run made {calls} calls instead of 2");
    Ok(())
}

async fn due_jobs(stack: &LocalStack) -> Result<Vec<String>> {
    let (status, answer) = stack.rpc("list_due_jobs", json!({})).await?;
    ensure!(status.is_success(), "list_due_jobs returned {status}: {answer}");
    let jobs: BTreeMap<String, bool> = serde_json::from_value(answer)?;
    ensure!(jobs.len() == ALL.len(), "expected all jobs: {jobs:?}");
    Ok(jobs.into_iter().filter_map(|(job, is_due)| is_due.then_some(job)).collect())
}
