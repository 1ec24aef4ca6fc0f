//! A duty that fails stops no other: whichever fails, the run does the rest, names it, and fails at its end.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::due_work;
use local_stack::due_work::{Amount, KINDS, Kind};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::jobs::maintenance::idle_sessions::run_maintenance;
use crate::support::client::{AGENT, TestClient, path};

const AMOUNT: Amount = Amount { hostile: 0, links: 0, others: 3 };

// NAME: bounds: whichever duty fails, the others are done, and it is named at the end
#[tokio::test]
async fn each_alone() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    for broken in KINDS {
        for kind in KINDS {
            due_work::fill(&stack, org_id, kind, AMOUNT).await?;
        }
        let name = &format!("function public.{}", broken.function);
        grant(&stack, &format!("revoke execute on {name} from service_role")).await?;
        let failure =
            format!("{:#}", run_maintenance(&stack).await.err().context("nobody would have noticed")?);
        let (named, others): (Vec<_>, Vec<_>) = KINDS.iter().partition(|kind| failure.contains(kind.duty));
        let named: Vec<_> = named.iter().map(|kind| kind.duty).collect();
        ensure!(named == [broken.duty], "{} failed, and this is told: {failure}", broken.duty);
        for kind in others {
            let left = due_work::left(&stack, kind, false).await?;
            ensure!(left == 0, "{left} of {} are left when {} fails", kind.duty, broken.duty);
        }
        ensure!(due_work::left(&stack, broken, false).await? == 3, "{} was not broken", broken.duty);
        seen(&stack, broken)?;
        grant(&stack, &format!("grant execute on {name} to service_role")).await?;
        run_maintenance(&stack).await?;
        ensure!(due_work::left(&stack, broken, false).await? == 0, "{} is not taken up again", broken.duty);
        due_work::clear(&stack).await?;
    }
    // What is only looked at does not stand in the way either.
    due_work::fill(&stack, org_id, &KINDS[0], AMOUNT).await?;
    grant(&stack, "revoke execute on function public.service_state from service_role").await?;
    let failure = format!("{:#}", run_maintenance(&stack).await.err().context("nobody would have noticed")?);
    ensure!(
        failure.contains("collect_gauges") && due_work::left(&stack, &KINDS[0], false).await? == 0,
        "{failure}"
    );
    Ok(())
}

/// The run's line names the duty and has the report and the metrics of all that was done.
fn seen(stack: &LocalStack, broken: &Kind) -> Result<()> {
    let lines = stack.lambda().logs().lines();
    let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let line = lines.rfind(|line| line["message"] == "run failed").context("no line of the run")?;
    let named = line["failed"].as_str().is_some_and(|failed| failed.contains(broken.duty));
    ensure!(named && line["FailedJobs"] == 1.0 && line["RunFailures"] == 1.0, "{line}");
    ensure!(line["report"]["expiredSessions"].is_u64() && line["code"].is_string(), "{line}");
    Ok(())
}

async fn grant(stack: &LocalStack, statement: &str) -> Result<()> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(stack.database()).await?;
    Ok(())
}

// NAME: bounds: one row that cannot be worked on stops no other of its duty
#[tokio::test]
async fn one_row() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    let idle = KINDS.iter().find(|kind| kind.duty == "expire_idle_sessions").context("no such kind")?;
    due_work::fill(&stack, org_id, idle, Amount { hostile: 1, links: 0, others: 30 }).await?;
    // The one user's session cannot end.
    let statements = "create function test.refuse() returns trigger language plpgsql as
           $$ begin raise exception 'not this one'; end $$;
         create trigger refuse before update on chat_sessions for each row
           when (new.status = 'ended' and old.user_id = md5(old.org_id::text)::uuid) execute function test.refuse();
         grant usage on schema test to public";
    sqlx::raw_sql(statements).execute(stack.database()).await?;
    let failure = format!("{:#}", run_maintenance(&stack).await.err().context("nobody would have noticed")?);
    ensure!(failure.contains("expire_idle_sessions"), "{failure}");
    ensure!(due_work::left(&stack, idle, false).await? == 0, "others' sessions wait for it");
    ensure!(due_work::left(&stack, idle, true).await? == 1, "it ended");
    Ok(())
}

// NAME: bounds: one delivery that cannot be finished stops no other
#[tokio::test]
async fn one_delivery() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let org_id = caller.user.org_id;
    stack.register_agent_tool(org_id, AGENT, json!({ "idempotent": true, "policy": "auto" })).await?;
    stack.webhook().context("no webhook")?.cut(true);
    // More than an organisation may have under way at once.
    let mut sessions = Vec::new();
    for _ in 0..24 {
        let session = caller.open().await?;
        caller.record(&path(&session), "button_click", json!({ "action": "go" })).await?.expect(201)?;
        sessions.push(session["id"].as_str().context("no id")?.to_owned());
    }
    let statements = format!(
        "create function public.refuse() returns trigger language plpgsql as
           $$ begin raise exception 'not this one'; end $$;
         create trigger refuse before update on deliveries for each row
           when (new.status = 'done' and new.session_id = '{}') execute function public.refuse()",
        sessions[0]
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(stack.database()).await?;
    let failure =
        format!("{:#}", stack.run_job("route-events").await.err().context("nobody would have noticed")?);
    ensure!(failure.contains("deliver: "), "{failure}");
    let done: i64 = sqlx::query_scalar("select count(*) from deliveries where status = 'done'")
        .fetch_one(stack.database())
        .await?;
    ensure!(done == 23, "{done} of the 23 others are done");
    Ok(())
}
