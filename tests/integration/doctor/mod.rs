//! The doctor finds what is wrong with a deployment, each fault with its cause and without another that is none.

mod agents;
mod approvers;
mod chatkit;
mod command;
mod configuration;
mod documentation;
mod healthy;
mod manifest;
mod schema;
mod supabase;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::supabase::OrgRole;
use local_stack::{Builder, LocalStack};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};

/// Everything that is looked at, in its order.
const CHECKS: [&str; 15] = [
    "configuration",
    "supabase",
    "publishable_key",
    "secret_key",
    "jwks",
    "issuer",
    "clock",
    "migrations",
    "schema",
    "webhook",
    "chatkit",
    "workflow",
    "sealing_keys",
    "agent_server",
    "approvers",
];

/// What cannot be looked at while the database says nothing of itself.
const OF_THE_DATABASE: [&str; 8] =
    ["clock", "migrations", "schema", "webhook", "workflow", "sealing_keys", "agent_server", "approvers"];

/// A fault: the check, its code, and something that it is to name.
type Fault<'a> = (&'a str, &'a str, &'a str);

/// A promise that the doctor finds this, in a stack of this kind in which somebody has been at work.
async fn finds(stack: Builder, test: impl AsyncFnOnce(&LocalStack) -> Result<()>) -> Result<()> {
    let stack = stack.start().await?;
    inhabit(&stack).await?;
    test(&stack).await
}

/// An agent with a server, two people who may approve what it does, and a session that has a living secret: something for every check.
async fn inhabit(stack: &LocalStack) -> Result<TestClient> {
    let caller = TestClient::new(stack).await?;
    stack.register_agent_tool(caller.user.org_id, AGENT, json!({ "policy": "auto" })).await?;
    for role in [OrgRole::Approver, OrgRole::Owner] {
        stack.add_user(caller.user.org_id, role).await?;
    }
    caller.open().await.ok();
    Ok(caller)
}

/// Has the doctor look.
async fn report(stack: &LocalStack) -> Result<Value> {
    stack.invoke_admin("doctor", &json!({})).await
}

/// The doctor finds these faults and no others, skips these checks, and says of all else that it is well.
async fn found(stack: &LocalStack, faults: &[Fault<'_>], skipped: &[&str]) -> Result<Value> {
    let report = report(stack).await?;
    judge(&report, faults, skipped)?;
    Ok(report)
}

/// The same of a report that is there already.
fn judge(report: &Value, faults: &[Fault<'_>], skipped: &[&str]) -> Result<()> {
    let findings = report["findings"].as_array().context("a report without findings")?;
    let of = |status: &'static str| findings.iter().filter(move |finding| finding["status"] == status);
    ensure!(report["healthy"] == faults.is_empty() && report["faults"] == faults.len(), "{report:#}");
    ensure!(of("fault").count() == faults.len(), "{} faults are to be found: {report:#}", faults.len());
    for (check, code, named) in faults {
        let is_it = |finding: &&Value| {
            let said = format!("{} {}", finding["about"], finding["detail"]);
            finding["check"] == *check && finding["code"] == *code && said.contains(named)
        };
        let fault =
            of("fault").find(is_it).with_context(|| format!("no {check}: {code} {named}: {report:#}"))?;
        for member in ["cause", "remedy"] {
            ensure!(fault[member].as_str().is_some_and(|text| text.ends_with('.')), "no {member}: {fault}");
        }
    }
    ensure!(report["warnings"] == of("warning").count(), "{report:#}");
    let names = |of: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        of.filter_map(|finding| finding["check"].as_str()).map(str::to_owned).collect()
    };
    let superseded: BTreeSet<String> = skipped.iter().map(|check| (*check).to_owned()).collect();
    let did_pass_over = names(&mut of("skipped"));
    ensure!(did_pass_over == superseded, "skipped: {did_pass_over:?}, expected: {superseded:?}; {report:#}");
    let whys = of("skipped").all(|finding| finding["cause"].is_string());
    ensure!(whys, "skipped without a reason: {report:#}");
    let places = findings.iter().map(|finding| CHECKS.iter().position(|check| finding["check"] == *check));
    ensure!(places.is_sorted(), "in another order: {report:#}");
    let all = CHECKS.map(str::to_owned).into();
    ensure!(names(&mut findings.iter()) == all, "not everything was looked at: {report:#}");
    Ok(())
}
