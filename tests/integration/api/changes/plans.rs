//! A poll that finds nothing reads no more blocks than `GET /chatkit/sessions/{id}`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::restores::RESTORED_XID;
use crate::support::client::{AGENT, TestClient};

/// The sessions of the organisation; one in a hundred is the caller's. Half of them were restored
/// from a dump.
const ROWS: i32 = 20_000;

#[tokio::test]
async fn poll_without_changes_reads_as_much_as_one_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let insert = "
        with new_user as (
          insert into chatkit_users (org_id, user_id)
          select $1, gen_random_uuid() from generate_series(1, 100) returning *
        )
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider, change_xid)
        select gen_random_uuid(), $1, u.user_id, 'web', $3, 'openai_hosted',
          case when n.n % 2 = 0 then $5::xid8 else pg_current_xact_id() end
        from (
          select user_id, row_number() over () - 1 as n from new_user
          union all select $2, 100
        ) as u
        join generate_series(1, $4::integer) as n (n) on n.n % 101 = u.n";
    let insert = sqlx::query(insert).bind(caller.user.org_id).bind(caller.user.id).bind(AGENT);
    insert.bind(ROWS).bind(RESTORED_XID).execute(stack.database()).await?;
    wait_for_older_transactions(&stack).await?;
    sqlx::query("vacuum analyze").execute(stack.database()).await?;
    let since: String =
        sqlx::query_scalar("select pg_current_snapshot()::text").fetch_one(stack.database()).await?;
    let id = session["id"].as_str().context("no id")?;
    // The two queries of `GET /chatkit/sessions/{id}`: the row, and what belongs to it.
    let details = format!("public.session_details('{id}')");
    let row = format!(
        "(select to_jsonb(s) || to_jsonb(u) from public.chat_sessions as s
          left join lateral (
            select c.chatkit_user from public.chatkit_users as c
            where c.org_id = s.org_id and c.user_id = s.user_id
          ) as u on true
          where s.id = '{id}')"
    );
    let mut failures = Vec::new();
    for role in ["member", "approver"] {
        let session =
            blocks(&stack, &caller, role, &row).await? + blocks(&stack, &caller, role, &details).await?;
        for scope in ["false", "true"] {
            let poll = format!("public.list_changes('{since}', {scope})");
            let found = blocks(&stack, &caller, role, &poll).await?;
            if found > session {
                failures.push(format!(
                    "{role}, whole organisation {scope}: {found} blocks, {session} for a session"
                ));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Waits for the transactions of other tests that began before the rows were inserted: a poll reads
/// the rows that changed since the oldest transaction that was running.
async fn wait_for_older_transactions(stack: &LocalStack) -> Result<()> {
    let inserted: String = sqlx::query_scalar("select pg_snapshot_xmax(pg_current_snapshot())::text")
        .fetch_one(stack.database())
        .await?;
    let wait = async {
        loop {
            let query = "select pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8";
            let is_oldest = sqlx::query_scalar(query).bind(&inserted).fetch_one(stack.database()).await?;
            if is_oldest {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(120), wait).await;
    done.context("an older transaction has been running for two minutes")?
}

/// The number of blocks that an expression reads, as the caller with this role in the token.
async fn blocks(stack: &LocalStack, caller: &TestClient, role: &str, expression: &str) -> Result<u64> {
    let mut transaction = stack.database().begin().await?;
    let claims = json!({ "sub": caller.user.id, "role": "authenticated",
        "app_metadata": { "org_id": caller.user.org_id, "org_role": role } });
    sqlx::query(
        "select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)",
    )
    .bind(claims.to_string())
    .execute(&mut *transaction)
    .await?;
    let explain = format!("explain (analyze, buffers, timing off, format json) select {expression}");
    let mut plan = Value::Null;
    // The first call of a connection also reads the catalogue.
    for _ in 0..2 {
        plan = sqlx::query_scalar(AssertSqlSafe(explain.clone())).fetch_one(&mut *transaction).await?;
    }
    let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"))
}
