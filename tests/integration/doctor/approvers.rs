//! The doctor warns if an organisation has fewer than two approvers and its agents may need one.

use anyhow::{Result, bail, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{expect_report, start};
use crate::support::client::AGENT;

#[tokio::test]
async fn organisation_with_fewer_than_two_approvers_is_a_warning() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    expect_warnings(&stack, 0, "an organisation with two approvers").await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, AGENT, "Accounts payable").await?;

    // By the organisation's only tool, without an approver.
    let automatic = json!({ "policy": "auto", "risk": "low", "approver": "self" });
    for (fields, warnings) in [
        (json!({}), 0),
        (json!({ "policy": "confirm" }), 0),
        (json!({ "policy": "never", "approver": "other" }), 0),
        (json!({ "policy": "ask" }), 1),
        (json!({ "approver": "other" }), 1),
        (json!({ "risk": "medium" }), 1),
        (json!({ "amount_pointer": "/amount", "ask_above": 10 }), 1),
        (json!({ "amount_pointer": "/amount", "ask_above_total": 10 }), 1),
        (json!({ "amount_pointer": "/amount", "refuse_above": 10 }), 1),
    ] {
        let mut tool = automatic.clone();
        for (name, value) in fields.as_object().into_iter().flatten() {
            tool[name] = value.clone();
        }
        stack.register_agent_tool(org_id, AGENT, tool.clone()).await?;
        expect_warnings(&stack, warnings, &tool.to_string()).await?;
    }

    // By the organisation's users.
    let approver = stack.add_user(org_id, OrgRole::Approver).await?;
    expect_warnings(&stack, 1, "one approver").await?;
    stack.add_user(org_id, OrgRole::Member).await?;
    expect_warnings(&stack, 1, "one approver and a member").await?;
    stack.add_user(org_id, OrgRole::Owner).await?;
    expect_warnings(&stack, 0, "two approvers").await?;
    let ban = "update auth.users set banned_until = now() + interval '1 hour' where id = $1";
    sqlx::query(ban).bind(approver.id).execute(stack.database()).await?;
    expect_warnings(&stack, 1, "two approvers, one of them banned").await?;
    stack.upsert_user(&User { role: OrgRole::Admin, ..approver }).await?;
    stack.add_user(org_id, OrgRole::Admin).await?;
    expect_warnings(&stack, 0, "three approvers").await?;
    let delete_users = "delete from auth.users where raw_app_meta_data ->> 'org_id' = $1";
    sqlx::query(delete_users).bind(org_id.to_string()).execute(stack.database()).await?;
    expect_warnings(&stack, 1, "no approver").await?;
    let disable_agent = "update public.agents set enabled = false where org_id = $1";
    sqlx::query(disable_agent).bind(org_id).execute(stack.database()).await?;
    expect_warnings(&stack, 0, "no approver and no enabled agent").await
}

/// Compares the number of organisations in the warning. A warning is not a fault.
async fn expect_warnings(stack: &LocalStack, expected: u64, case: &str) -> Result<()> {
    let report = expect_report(stack, &[], &[]).await?;
    let findings = report["findings"].as_array().into_iter().flatten();
    let warnings: Vec<&Value> = findings.filter(|finding| finding["status"] == "warning").collect();
    let organisations = match &warnings[..] {
        [] => 0,
        [warning] => {
            ensure!(warning["check"] == "approvers" && warning["code"] == "approvers_too_few", "{warning:#}");
            let detail = warning["detail"].as_str().and_then(|detail| detail.split(' ').next());
            detail.unwrap_or_default().parse()?
        }
        several => bail!("{case}: expected one warning, found {several:#?}"),
    };
    ensure!(organisations == expected, "{case}: expected {expected} organisations, found {organisations}");
    Ok(())
}
