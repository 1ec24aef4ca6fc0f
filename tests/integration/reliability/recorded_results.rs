//! What was done elsewhere is recorded until Supabase takes it, what the database settles by itself is told of, and waking somebody
//! fails nothing.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::On;
use local_stack::supabase::{Canned, Fault};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};

// NAME: recorded: a ChatKit session that OpenAI opened, after an outage of Supabase
#[tokio::test]
async fn opened() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    // More answers than the tries of one call.
    let fault = Canned::html(522).at("/rest/v1/rpc/record_chatkit_session").times(8);
    stack.supabase().fault(Fault::Canned(fault)).await;
    let session = caller.open().await?;
    ensure!(session["chatkit"]["clientSecret"].is_string(), "{session:#}");
    ensure!(stack.openai().calls(On::CreateSession).len() == 1, "OpenAI was asked again");
    Ok(())
}

/// A session whose agent pays, once.
async fn stage(stack: &LocalStack, policy: &str) -> Result<(TestClient, String)> {
    let caller = TestClient::new(stack).await?;
    let tool = json!({ "idempotent": false, "policy": policy, "risk": "low", "approver": "self" });
    stack.register_agent_tool(caller.user.org_id, AGENT, tool).await?;
    let session = caller.open_path().await?;
    Ok((caller, session))
}

async fn click(caller: &TestClient, session: &str) -> Result<()> {
    let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
    caller.record(session, "button_click", payload).await?.expect(201).map(drop)
}

fn without_webhook(stack: &LocalStack) -> Result<()> {
    stack.webhook().context("no webhook")?.cut(true);
    Ok(())
}

async fn states(stack: &LocalStack) -> Result<Vec<(String, Option<String>)>> {
    let query = "select status, error from public.deliveries order by id";
    Ok(sqlx::query_as(query).fetch_all(stack.database()).await?)
}

// NAME: recorded: what an agent did, whatever Supabase answers for a while
#[tokio::test]
async fn done() -> Result<()> {
    let stack = LocalStack::start().await?;
    without_webhook(&stack)?;
    let (caller, session) = stage(&stack, "auto").await?;
    for (number, canned) in [
        Canned::postgrest(401, "PGRST303", "JWT issued at future"),
        Canned::html(503),
        Canned::gateway(401, "Invalid API key"),
        Canned::postgrest(405, "25006", "cannot execute UPDATE in a read-only transaction"),
        Canned::postgrest(500, "57014", "canceling statement due to statement timeout"),
        Canned::html(200),
    ]
    .into_iter()
    .enumerate()
    {
        click(&caller, &session).await?;
        let fault = canned.clone().at("/rest/v1/rpc/finish_delivery").times(4);
        stack.supabase().fault(Fault::Canned(fault)).await;
        let report = stack.run_job("route-events").await?;
        ensure!(report["done"] == 1 && report["unknown"] == 0, "{canned:?}: {report}");
        let states = states(&stack).await?;
        ensure!(
            states.len() == number + 1 && states.iter().all(|(status, _)| status == "done"),
            "{states:?}"
        );
    }
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    ensure!(agent.calls().len() == 6, "{} payments", agent.calls().len());
    Ok(())
}

// NAME: recorded: what the database settles by itself is counted and logged
#[tokio::test]
async fn settled() -> Result<()> {
    let stack = LocalStack::start().await?;
    without_webhook(&stack)?;
    let (caller, session) = stage(&stack, "never").await?;
    click(&caller, &session).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["dead"] == 1 && report["called"] == 0, "a policy of never: {report}");

    let (caller, session) = stage(&stack, "ask").await?;
    click(&caller, &session).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["asked"] == 1 && report["called"] == 0, "a policy of ask: {report}");

    let (caller, session) = stage(&stack, "auto").await?;
    click(&caller, &session).await?;
    let lost = "update public.deliveries set status = 'running', attempts = 1, lease_until = now() - interval '1 second'
                where status = 'pending'";
    ensure!(sqlx::query(lost).execute(stack.database()).await?.rows_affected() == 1);
    let due = "update public.delivery_queues set due_at = now()";
    sqlx::query(due).execute(stack.database()).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["unknown"] == 1 && report["called"] == 0, "a lease that ran out: {report}");

    let lines: Vec<Value> =
        stack.final_logs().await.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (status, error) in
        [("dead", json!("policy_never")), ("asked", Value::Null), ("unknown", json!("lease_over"))]
    {
        let told = |line: &&Value| {
            line["message"] == "delivered"
                && line["status"] == status
                && line["error"] == error
                && line["delivery_id"].is_string()
                && line["session_id"].is_string()
                && line["agent_id"] == AGENT
        };
        ensure!(lines.iter().filter(told).count() == 1, "no line of {status}, {error}");
    }
    Ok(())
}

// NAME: recorded: an event, although nobody can be woken
#[tokio::test]
async fn woken() -> Result<()> {
    let stack = LocalStack::start().await?;
    let (caller, session) = stage(&stack, "auto").await?;
    for broken in [
        "create or replace function net.http_post(
           url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
           timeout_milliseconds integer default 5000
         ) returns bigint language plpgsql as $$ begin raise 'the worker is not running'; end $$",
        "drop function net.http_post",
        "drop schema net",
    ] {
        sqlx::raw_sql(broken).execute(stack.database()).await?;
        click(&caller, &session).await.context(broken)?;
        let report = stack.run_job("route-events").await?;
        ensure!(report["done"] == 1, "{broken}: {report}");
    }
    Ok(())
}
