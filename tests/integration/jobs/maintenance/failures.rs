//! Jobs, rows and deliveries that fail: the run completes the others, reports the failure and fails
//! at its end.

use anyhow::{Context, Result, ensure};
use local_stack::due_work::{ALL, DueWork, WorkAmount};
use local_stack::supabase::Fault;
use local_stack::{LocalStack, due_work};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::jobs::maintenance::run_maintenance;
use crate::support::client::{AGENT, TestClient, session_path};

const AMOUNT: WorkAmount = WorkAmount { hostile: 0, links: 0, others: 3 };

#[tokio::test]
async fn failed_job_is_reported_and_other_jobs_complete() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    for broken in ALL {
        for kind in ALL {
            due_work::insert(&stack, org_id, kind, AMOUNT).await?;
        }
        let name = &format!("function public.{}", broken.function);
        execute(&stack, &format!("revoke execute on {name} from service_role")).await?;
        let failure = run_error(&stack, "expire-sessions").await?;
        let (named, others): (Vec<_>, Vec<_>) = ALL.iter().partition(|kind| failure.contains(kind.job));
        let named: Vec<_> = named.iter().map(|kind| kind.job).collect();
        ensure!(named == [broken.job], "{} failed, and the run reported: {failure}", broken.job);
        for kind in others {
            let left = due_work::pending(&stack, kind, false).await?;
            ensure!(left == 0, "{left} rows of {} are left when {} fails", kind.job, broken.job);
        }
        ensure!(due_work::pending(&stack, broken, false).await? == 3, "{} did not fail", broken.job);
        check_log_line(&stack, broken)?;
        execute(&stack, &format!("grant execute on {name} to service_role")).await?;
        run_maintenance(&stack).await?;
        ensure!(
            due_work::pending(&stack, broken, false).await? == 0,
            "{} did not complete in the next run",
            broken.job
        );
        due_work::clear(&stack).await?;
    }
    // Without the list of due jobs or the gauges, every job runs, too.
    for (function, step) in [("list_due_jobs", "list_due_jobs"), ("service_state", "collect_gauges")] {
        for kind in ALL {
            due_work::insert(&stack, org_id, kind, AMOUNT).await?;
        }
        execute(&stack, &format!("revoke execute on function public.{function} from service_role")).await?;
        let failure = run_error(&stack, "expire-sessions").await?;
        ensure!(failure.contains(step), "{failure}");
        for kind in ALL {
            let left = due_work::pending(&stack, kind, false).await?;
            ensure!(left == 0, "{left} rows of {} are left when {function} fails", kind.job);
        }
        execute(&stack, &format!("grant execute on function public.{function} to service_role")).await?;
        due_work::clear(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn failed_row_does_not_stop_its_job() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    let idle =
        ALL.iter().find(|kind| kind.job == "expire_idle_sessions").context("no kind of idle sessions")?;
    due_work::insert(&stack, org_id, idle, WorkAmount { hostile: 1, links: 0, others: 30 }).await?;
    // A trigger prevents the end of the one user's session.
    let statements = "create function test.reject() returns trigger language plpgsql as
           $$ begin raise exception 'not this one'; end $$;
         create trigger reject before update on chat_sessions for each row
           when (new.status = 'ended' and old.user_id = md5(old.org_id::text)::uuid) execute function test.reject();
         grant usage on schema test to public";
    sqlx::raw_sql(statements).execute(stack.database()).await?;
    let failure = run_error(&stack, "expire-sessions").await?;
    ensure!(failure.contains("expire_idle_sessions"), "{failure}");
    ensure!(due_work::pending(&stack, idle, false).await? == 0, "sessions of other users are left");
    ensure!(due_work::pending(&stack, idle, true).await? == 1, "the session ended");
    Ok(())
}

#[tokio::test]
async fn failed_delivery_does_not_stop_other_deliveries() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let org_id = caller.user.org_id;
    stack.register_agent_tool(org_id, AGENT, json!({ "idempotent": true, "policy": "auto" })).await?;
    stack.webhook().context("no webhook")?.set_disconnected(true);
    // More than the running calls that an organisation may have.
    let mut sessions = Vec::new();
    for _ in 0..24 {
        let session = caller.open_session().await?;
        caller
            .record_event(&session_path(&session), "button_click", json!({ "action": "go" }))
            .await?
            .expect(201)?;
        sessions.push(session["id"].as_str().context("no id")?.to_owned());
    }
    let statements = format!(
        "create function public.reject() returns trigger language plpgsql as
           $$ begin raise exception 'not this one'; end $$;
         create trigger reject before update on deliveries for each row
           when (new.status = 'done' and new.session_id = '{}') execute function public.reject()",
        sessions[0]
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(stack.database()).await?;
    let failure = run_error(&stack, "route-events").await?;
    ensure!(failure.contains("deliver: "), "{failure}");
    let done: i64 = sqlx::query_scalar("select count(*) from deliveries where status = 'done'")
        .fetch_one(stack.database())
        .await?;
    ensure!(done == 23, "{done} of the 23 other deliveries are done");
    Ok(())
}

#[tokio::test]
async fn supabase_outage_fails_the_run() -> Result<()> {
    let stack = LocalStack::start().await?;
    run_maintenance(&stack).await?;
    stack.supabase().set_fault(Fault::Down).await;
    ensure!(run_maintenance(&stack).await.is_err(), "the run did not fail");
    Ok(())
}

/// Runs a scheduled function and returns its error.
async fn run_error(stack: &LocalStack, function: &str) -> Result<String> {
    let error = stack.run_job(function).await.err();
    Ok(format!("{:#}", error.context("the run did not fail")?))
}

/// Checks that the run's log line names the job and has the report and metrics of the other jobs.
fn check_log_line(stack: &LocalStack, broken: &DueWork) -> Result<()> {
    let lines = stack.lambda().logs().lines();
    let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let line = lines.rfind(|line| line["message"] == "run failed").context("no log line of the run")?;
    let named = line["failed"].as_str().is_some_and(|failed| failed.contains(broken.job));
    ensure!(named && line["FailedJobs"] == 1.0 && line["RunFailures"] == 1.0, "{line}");
    ensure!(line["report"]["expiredSessions"].is_u64() && line["code"].is_string(), "{line}");
    Ok(())
}

async fn execute(stack: &LocalStack, statement: &str) -> Result<()> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(stack.database()).await?;
    Ok(())
}
