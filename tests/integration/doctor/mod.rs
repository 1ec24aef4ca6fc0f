//! The doctor reports each fault of a deployment with its cause, and no fault where there is none.

mod agents;
mod approvers;
mod chatkit;
mod command;
mod configuration;
mod documentation;
mod healthy;
mod manifest;
mod schema;
pub mod stack;
mod supabase;
mod webhook;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::supabase::OrgRole;
use local_stack::{Builder, LocalStack};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};

/// Every check, in the order of a report.
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

/// The checks that are skipped if the database does not return its state.
const DATABASE_CHECKS: [&str; 8] =
    ["clock", "migrations", "schema", "webhook", "workflow", "sealing_keys", "agent_server", "approvers"];

/// The check and the code of a fault, and a text that its subject or detail contains.
type ExpectedFault<'a> = (&'a str, &'a str, &'a str);

fn with_env(name: &str, value: &str) -> Builder {
    LocalStack::builder().env(name, value)
}

/// Starts a stack in which every check has something to check.
async fn start(builder: Builder) -> Result<LocalStack> {
    let stack = builder.start().await?;
    seed(&stack).await?;
    Ok(stack)
}

/// Adds an agent with a server, two approvers, and a session with an unexpired client secret.
async fn seed(stack: &LocalStack) -> Result<TestClient> {
    let caller = TestClient::new(stack).await?;
    stack.register_agent_tool(caller.user.org_id, AGENT, json!({ "policy": "auto" })).await?;
    for role in [OrgRole::Approver, OrgRole::Owner] {
        stack.add_user(caller.user.org_id, role).await?;
    }
    // Some tests configure the stack so that no session can be opened.
    caller.open_session().await.ok();
    Ok(caller)
}

/// Runs SQL and lets PostgREST read the schema again.
async fn execute(stack: &LocalStack, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(stack.database()).await?;
    stack.supabase().reload_schema().await
}

async fn run_doctor(stack: &LocalStack) -> Result<Value> {
    stack.invoke_admin("doctor", &json!({})).await
}

/// Runs the doctor, which reports these faults and no others, and skips these checks.
async fn expect_faults(stack: &LocalStack, faults: &[ExpectedFault<'_>], skipped: &[&str]) -> Result<()> {
    expect_report(stack, faults, skipped).await.map(drop)
}

/// The same, and returns the report.
async fn expect_report(stack: &LocalStack, faults: &[ExpectedFault<'_>], skipped: &[&str]) -> Result<Value> {
    let report = run_doctor(stack).await?;
    check_report(&report, faults, skipped)?;
    Ok(report)
}

fn check_report(report: &Value, faults: &[ExpectedFault<'_>], skipped: &[&str]) -> Result<()> {
    let findings = report["findings"].as_array().context("a report without findings")?;
    let with_status =
        |status: &'static str| findings.iter().filter(move |finding| finding["status"] == status);
    ensure!(
        report["healthy"] == faults.is_empty() && report["faults"] == faults.len(),
        "expected {} faults in the summary: {report:#}",
        faults.len()
    );
    ensure!(with_status("fault").count() == faults.len(), "expected {} faults: {report:#}", faults.len());
    for (check, code, text) in faults {
        let is_expected = |finding: &&Value| {
            let description = format!("{} {}", finding["about"], finding["detail"]);
            finding["check"] == *check && finding["code"] == *code && description.contains(text)
        };
        let fault = with_status("fault")
            .find(is_expected)
            .with_context(|| format!("expected {check}: {code} {text}, found {report:#}"))?;
        for member in ["cause", "remedy"] {
            let is_sentence = fault[member].as_str().is_some_and(|text| text.ends_with('.'));
            ensure!(is_sentence, "a fault without a {member}: {fault}");
        }
    }
    ensure!(report["warnings"] == with_status("warning").count(), "another number of warnings: {report:#}");

    let names = |findings: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        findings.filter_map(|finding| finding["check"].as_str()).map(str::to_owned).collect()
    };
    let expected_skipped: BTreeSet<String> = skipped.iter().map(|check| (*check).to_owned()).collect();
    let actual_skipped = names(&mut with_status("skipped"));
    ensure!(
        actual_skipped == expected_skipped,
        "expected {expected_skipped:?} to be skipped, found {actual_skipped:?}: {report:#}"
    );
    let all_have_causes = with_status("skipped").all(|finding| finding["cause"].is_string());
    ensure!(all_have_causes, "a check was skipped without a cause: {report:#}");
    let positions = findings.iter().map(|finding| CHECKS.iter().position(|check| finding["check"] == *check));
    ensure!(positions.is_sorted(), "the findings are in another order: {report:#}");
    let all = CHECKS.map(str::to_owned).into();
    ensure!(names(&mut findings.iter()) == all, "a check is missing in the report: {report:#}");
    Ok(())
}
