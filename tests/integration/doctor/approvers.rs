//! Whether organisations have two people who may approve, where their agents may need one.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{found, inhabit};
use crate::support::client::AGENT;

/// How many organisations it warns of. That alone makes a deployment neither faulty nor unhealthy.
async fn warned_of(stack: &LocalStack) -> Result<u64> {
    let report = found(stack, &[], &[]).await?;
    let findings = report["findings"].as_array().into_iter().flatten();
    let warnings: Vec<&Value> = findings.filter(|finding| finding["status"] == "warning").collect();
    match &warnings[..] {
        [] => Ok(0),
        [warning] => {
            ensure!(warning["check"] == "approvers" && warning["code"] == "approvers_too_few", "{warning:#}");
            let detail = warning["detail"].as_str().and_then(|detail| detail.split(' ').next());
            Ok(detail.unwrap_or_default().parse()?)
        }
        more => anyhow::bail!("{more:#?}"),
    }
}

// NAME: doctor: it warns of an organisation with fewer than two approvers
#[tokio::test]
async fn few() -> Result<()> {
    let stack = LocalStack::start().await?;
    inhabit(&stack).await?;
    ensure!(warned_of(&stack).await? == 0, "an organisation with two approvers");
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;
    let free = json!({ "policy": "auto", "risk": "low", "approver": "self" });
    let with = |fields: Value| {
        let mut tool = free.clone();
        for (name, value) in fields.as_object().into_iter().flatten() {
            tool[name] = value.clone();
        }
        tool
    };
    // Without an approver, by what its only tool is.
    for (tool, warnings) in [
        (free.clone(), 0),
        (with(json!({ "policy": "confirm" })), 0),
        (with(json!({ "policy": "never", "approver": "other" })), 0),
        (with(json!({ "policy": "ask" })), 1),
        (with(json!({ "approver": "other" })), 1),
        (with(json!({ "risk": "medium" })), 1),
        (with(json!({ "amount_pointer": "/amount", "ask_above": 10 })), 1),
        (with(json!({ "amount_pointer": "/amount", "ask_above_total": 10 })), 1),
        (with(json!({ "amount_pointer": "/amount", "refuse_above": 10 })), 1),
    ] {
        stack.register_agent_tool(org_id, AGENT, tool.clone()).await?;
        ensure!(warned_of(&stack).await? == warnings, "{tool}");
    }

    // By who is there to approve.
    let approver = stack.add_user(org_id, OrgRole::Approver).await?;
    ensure!(warned_of(&stack).await? == 1, "one approver");
    stack.add_user(org_id, OrgRole::Member).await?;
    ensure!(warned_of(&stack).await? == 1, "one approver and a member");
    stack.add_user(org_id, OrgRole::Owner).await?;
    ensure!(warned_of(&stack).await? == 0, "two approvers");
    let banned = "update auth.users set banned_until = now() + interval '1 hour' where id = $1";
    sqlx::query(banned).bind(approver.id).execute(stack.database()).await?;
    ensure!(warned_of(&stack).await? == 1, "one of two is banned");
    stack.put_user(&User { role: OrgRole::Admin, ..approver }).await?;
    stack.add_user(org_id, OrgRole::Admin).await?;
    ensure!(warned_of(&stack).await? == 0, "three approvers");
    let off = "update public.agents set enabled = false where org_id = $1";
    sqlx::query("delete from auth.users where raw_app_meta_data ->> 'org_id' = $1")
        .bind(org_id.to_string())
        .execute(stack.database())
        .await?;
    ensure!(warned_of(&stack).await? == 1, "no approver is left");
    sqlx::query(off).bind(org_id).execute(stack.database()).await?;
    ensure!(warned_of(&stack).await? == 0, "its agent is switched off");
    Ok(())
}
