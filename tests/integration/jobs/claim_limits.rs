//! Claims across tenants while one user has thousands of due rows that are older than those of
//! others.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::due_work::{ALL, DueWork, WorkAmount};
use local_stack::supabase::OrgRole;
use local_stack::{LocalStack, due_work};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::AGENT;

/// Half of the 4 MiB at which the HTTP client rejects a response.
const MAX_BYTES: usize = 2 * 1024 * 1024;

const OTHERS: usize = 20;

#[tokio::test]
async fn claims_return_rows_of_other_users_first() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    for kind in ALL {
        let amount = match kind.job {
            "resume_erasures" => WorkAmount { hostile: 0, links: 0, others: 400 },
            _ => WorkAmount { hostile: 12_000, links: 5, others: OTHERS },
        };
        due_work::insert(&stack, org_id, kind, amount).await?;
        let claimed = match kind.function {
            "claim_erasures" => claim(&stack, kind, 1000).await?,
            "purge_expired" => claim(&stack, kind, 1000).await?,
            // A run claims at most 100 rows at once.
            _ => claim(&stack, kind, 100).await?,
        };
        let bytes = claimed.to_string().len();
        ensure!(bytes < MAX_BYTES, "{} returned {bytes} bytes", kind.function);
        match kind.rows {
            Some(rows) => check_order(&stack, kind, claimed.pointer(rows).unwrap_or(&Value::Null)).await?,
            None if kind.function == "claim_erasures" => {}
            None => {
                let left = due_work::pending(&stack, kind, false).await?;
                ensure!(left == 0, "{}: {left} rows of other users are left", kind.function);
                let left = due_work::pending(&stack, kind, true).await?;
                ensure!(left > 0, "{}: no row of the one user is left", kind.function);
            }
        }
        due_work::clear(&stack).await?;
    }
    // The most threads that a session can have.
    for kind in ALL.iter().filter(|kind| kind.rows.is_some()) {
        due_work::insert(&stack, org_id, kind, WorkAmount { hostile: 400, links: 120, others: 1 }).await?;
        let bytes = claim(&stack, kind, 1000).await?.to_string().len();
        ensure!(bytes < MAX_BYTES, "{} returned {bytes} bytes", kind.function);
        let second = claim(&stack, kind, 1000).await?;
        let rows = kind.rows.and_then(|rows| second.pointer(rows)).and_then(Value::as_array);
        ensure!(
            rows.is_some_and(|rows| !rows.is_empty()),
            "{}: the second claim returned no rows",
            kind.function
        );
        due_work::clear(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn end_erased_sessions_returns_at_most_200_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    let stale = ALL.iter().find(|kind| kind.job == "cancel_chatkit_sessions");
    let stale = stale.context("no kind of stale ChatKit sessions")?;
    due_work::insert(&stack, org_id, stale, WorkAmount { hostile: 12_000, links: 0, others: 0 }).await?;
    let user_id: Uuid =
        sqlx::query_scalar("select user_id from test.due limit 1").fetch_one(stack.database()).await?;
    let request =
        json!({ "p_org_id": org_id, "p_user_id": user_id, "p_requested_by": "ops", "p_reason": "a test" });
    stack.rpc("begin_erasure", request).await?;
    let arguments = json!({ "p_org_id": org_id, "p_user_id": user_id, "p_limit": 50 });
    let (_, answer) = stack.rpc("end_erased_sessions", arguments.clone()).await?;
    let sessions = answer["sessions"].as_array().map_or(0, Vec::len);
    ensure!(sessions == 200, "expected 200 sessions, found {sessions}");
    // Sessions that OpenAI rejects are excluded from the next call, which returns others.
    let rejected: Vec<&Value> = answer["sessions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|session| &session["chatkit_session_ids"][0])
        .collect();
    let mut arguments = arguments;
    arguments["p_refused_ids"] = json!(rejected);
    let (_, next) = stack.rpc("end_erased_sessions", arguments).await?;
    ensure!(next["sessions"].as_array().map_or(0, Vec::len) == 200, "{next}");
    ensure!(next["sessions"][0] != answer["sessions"][0], "the second call returned the same session");
    Ok(())
}

#[tokio::test]
async fn claim_deliveries_response_size_is_limited() -> Result<()> {
    let stack = LocalStack::start().await?;
    // The dispatcher must not claim the deliveries.
    stack.webhook().context("no webhook")?.set_disconnected(true);
    // One agent of an organisation may have eight running calls.
    for _ in 0..12 {
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        stack.register_agent_tool(org_id, AGENT, json!({ "idempotent": true, "policy": "auto" })).await?;
        stack.raise_limits(org_id).await?;
        let user = stack.add_user(org_id, OrgRole::Member).await?;
        for _ in 0..8 {
            let session_id = Uuid::now_v7();
            let arguments = json!({
                "p_org_id": org_id, "p_user_id": user.id, "p_session_id": session_id,
                "p_agent_id": AGENT, "p_channel": "web", "p_metadata": { "x": "\u{1}".repeat(2000) },
            });
            let (status, answer) = stack.rpc("open_session", arguments).await?;
            ensure!(status.is_success(), "open_session returned {status}: {answer}");
            let payload = json!({ "action": "\u{1}".repeat(2500) });
            let (status, answer) = stack
                .rpc(
                    "record_events",
                    json!({
                        "p_org_id": org_id, "p_user_id": user.id, "p_session_id": session_id,
                        "p_actor_type": "user", "p_actor_id": user.id,
                        "p_events": [{ "id": Uuid::new_v4(), "type": "button_click", "payload": payload }],
                    }),
                )
                .await?;
            ensure!(status.is_success(), "record_events returned {status}: {answer}");
        }
    }
    let mut claimed = 0;
    loop {
        let arguments = json!({ "p_limit": 100, "p_lease_seconds": 90, "p_claim_id": Uuid::new_v4() });
        let (status, answer) = stack.rpc("claim_deliveries", arguments).await?;
        ensure!(status.is_success(), "claim_deliveries returned {status}: {answer}");
        let bytes = answer.to_string().len();
        ensure!(bytes < MAX_BYTES, "claim_deliveries returned {bytes} bytes");
        let count = answer["deliveries"].as_array().map_or(0, Vec::len);
        claimed += count;
        if claimed == 96 {
            return Ok(());
        }
        ensure!(
            count > 0 && answer["next_due_in_seconds"] == 0,
            "{claimed} of 96 deliveries were claimed, {bytes} bytes in the last response"
        );
    }
}

async fn claim(stack: &LocalStack, kind: &DueWork, limit: usize) -> Result<Value> {
    let mut arguments = json!({ "p_limit": limit });
    if kind.function.starts_with("claim_") {
        arguments["p_lease_seconds"] = json!(60);
    }
    let (status, answer) = stack.rpc(kind.function, arguments).await?;
    ensure!(status.is_success(), "{} returned {status}: {answer}", kind.function);
    Ok(answer)
}

/// Checks that the first rows of a response contain one row of every other user.
async fn check_order(stack: &LocalStack, kind: &DueWork, rows: &Value) -> Result<()> {
    let query = "select id from test.due where not hostile";
    let others: BTreeSet<Uuid> =
        sqlx::query_scalar(query).fetch_all(stack.database()).await?.into_iter().collect();
    let ids: Vec<Uuid> = serde_json::from_value(
        rows.as_array().into_iter().flatten().map(|row| row["session_id"].clone()).collect(),
    )?;
    let first: BTreeSet<Uuid> = ids.iter().copied().take(OTHERS + 1).collect();
    let found = first.intersection(&others).count();
    ensure!(
        found == OTHERS,
        "{}: {found} of {OTHERS} others are among the first {}",
        kind.function,
        first.len()
    );
    let hostile = ids.iter().filter(|id| !others.contains(id)).count();
    ensure!(hostile > 0 && hostile <= OTHERS, "{}: {hostile} rows of the one user", kind.function);
    Ok(())
}
