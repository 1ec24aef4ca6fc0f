//! Claims that cross tenants, with a mass of due rows of one user before those of all others.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::due_work;
use local_stack::due_work::{Amount, KINDS, Kind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::AGENT;

/// HTTP answers end at 4 MiB.
const MOST_BYTES: usize = 2 * 1024 * 1024;

const OTHERS: usize = 20;

// NAME: bounds: whatever one user has due, claims stay small and others' rows are among the first
#[tokio::test]
async fn shared() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    for kind in KINDS {
        let amount = match kind.duty {
            "resume_erasures" => Amount { hostile: 0, links: 0, others: 400 },
            _ => Amount { hostile: 12_000, links: 5, others: OTHERS },
        };
        due_work::fill(&stack, org_id, kind, amount).await?;
        let claimed = match kind.function {
            "claim_erasures" => claim(&stack, kind, 1000).await?,
            "purge_expired" => claim(&stack, kind, 1000).await?,
            // Nobody asks for more than a hundred; a hundred sessions with all that they link stay small.
            _ => claim(&stack, kind, 100).await?,
        };
        let bytes = claimed.to_string().len();
        ensure!(bytes < MOST_BYTES, "{} answers {bytes} bytes", kind.function);
        match kind.rows {
            Some(rows) => others_first(&stack, kind, claimed.pointer(rows).unwrap_or(&Value::Null)).await?,
            None if kind.function == "claim_erasures" => {}
            None => {
                let left = due_work::left(&stack, kind, false).await?;
                ensure!(left == 0, "{}: {left} of the others still wait", kind.function);
                let left = due_work::left(&stack, kind, true).await?;
                ensure!(left > 0, "{}: nothing was left to wait for", kind.function);
            }
        }
        due_work::clear(&stack).await?;
    }
    // As much as there can be in a session.
    for kind in KINDS.iter().filter(|kind| kind.rows.is_some()) {
        due_work::fill(&stack, org_id, kind, Amount { hostile: 400, links: 120, others: 1 }).await?;
        let bytes = claim(&stack, kind, 1000).await?.to_string().len();
        ensure!(bytes < MOST_BYTES, "{} answers {bytes} bytes", kind.function);
        let again = claim(&stack, kind, 1000).await?;
        let rows = kind.rows.and_then(|rows| again.pointer(rows)).and_then(Value::as_array);
        ensure!(rows.is_some_and(|rows| !rows.is_empty()), "{}: what did not fit is lost", kind.function);
        due_work::clear(&stack).await?;
    }
    Ok(())
}

async fn claim(stack: &LocalStack, kind: &Kind, limit: usize) -> Result<Value> {
    let mut arguments = json!({ "p_limit": limit });
    if kind.function.starts_with("claim_") {
        arguments["p_lease_seconds"] = json!(60);
    }
    let (status, answer) = stack.rpc(kind.function, arguments).await?;
    ensure!(status.is_success(), "{} answered {status}: {answer}", kind.function);
    Ok(answer)
}

/// Of an answer's rows the first are one of each user.
async fn others_first(stack: &LocalStack, kind: &Kind, rows: &Value) -> Result<()> {
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
    ensure!(hostile > 0 && hostile <= OTHERS, "{}: {hostile} of the one user", kind.function);
    Ok(())
}

// NAME: bounds: the person's ChatKit sessions in an erasure are told bit by bit
#[tokio::test]
async fn erased() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    let retired = KINDS.iter().find(|kind| kind.duty == "cancel_chatkit_sessions");
    let Some(retired) = retired else { anyhow::bail!("there is no such kind") };
    due_work::fill(&stack, org_id, retired, Amount { hostile: 12_000, links: 0, others: 0 }).await?;
    let user_id: Uuid =
        sqlx::query_scalar("select user_id from test.due limit 1").fetch_one(stack.database()).await?;
    let order =
        json!({ "p_org_id": org_id, "p_user_id": user_id, "p_requested_by": "ops", "p_reason": "asked" });
    stack.rpc("begin_erasure", order).await?;
    let of = json!({ "p_org_id": org_id, "p_user_id": user_id, "p_limit": 50 });
    let (_, answer) = stack.rpc("end_erased_sessions", of.clone()).await?;
    let sessions = answer["sessions"].as_array().map_or(0, Vec::len);
    ensure!(sessions == 200, "{sessions} sessions are told at once");
    // What OpenAI refuses makes room for the rest.
    let refused: Vec<&Value> = answer["sessions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| &one["chatkit_session_ids"][0])
        .collect();
    let mut without = of;
    without["p_refused_ids"] = json!(refused);
    let (_, next) = stack.rpc("end_erased_sessions", without).await?;
    ensure!(next["sessions"].as_array().map_or(0, Vec::len) == 200, "{next}");
    ensure!(next["sessions"][0] != answer["sessions"][0], "the same is told again");
    Ok(())
}

// NAME: bounds: what routers claim is bounded in bytes
#[tokio::test]
async fn deliveries() -> Result<()> {
    let stack = LocalStack::start().await?;
    // Nobody else claims.
    stack.webhook().context("no webhook")?.cut(true);
    // Each organisation may have sixteen calls under way.
    for _ in 0..8 {
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        stack.register_agent_tool(org_id, AGENT, json!({ "idempotent": true, "policy": "auto" })).await?;
        stack.raise_limits(org_id).await?;
        let user = stack.add_user(org_id, local_stack::supabase::OrgRole::Member).await?;
        for _ in 0..12 {
            let session_id = Uuid::now_v7();
            let opened = json!({
                "p_org_id": org_id, "p_user_id": user.id, "p_session_id": session_id,
                "p_agent_id": AGENT, "p_channel": "web", "p_metadata": { "x": "\u{1}".repeat(2000) },
            });
            let (status, answer) = stack.rpc("open_session", opened).await?;
            ensure!(status.is_success(), "open_session answered {status}: {answer}");
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
            ensure!(status.is_success(), "record_events answered {status}: {answer}");
        }
    }
    let mut claimed = 0;
    loop {
        let arguments = json!({ "p_limit": 100, "p_lease_seconds": 90, "p_claim_id": Uuid::new_v4() });
        let (status, answer) = stack.rpc("claim_deliveries", arguments).await?;
        ensure!(status.is_success(), "claim_deliveries answered {status}: {answer}");
        let bytes = answer.to_string().len();
        ensure!(bytes < MOST_BYTES, "claim_deliveries answers {bytes} bytes");
        let some = answer["deliveries"].as_array().map_or(0, Vec::len);
        claimed += some;
        if claimed == 96 {
            return Ok(());
        }
        ensure!(
            some > 0 && answer["next_due_in_seconds"] == 0,
            "{claimed} of 96 were claimed: {bytes} bytes"
        );
    }
}
