//! The findings of `docs/operations/doctor.md`, from the code, and the policy for `--stack`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use local_stack::project;
use serde_json::Value;
use shared::doctor::FaultCode;

use crate::support::generated_docs::check_generated;
use crate::support::markdown;
use crate::support::project_files::read_text;

/// The headings of the page, each with the first code below it.
const HEADINGS: [(&str, FaultCode); 17] = [
    ("Configuration", FaultCode::VariableMissing),
    ("Supabase", FaultCode::SupabaseUnreachable),
    ("Keys, tokens, clocks", FaultCode::PublishableKeyRejected),
    ("Migrations", FaultCode::DeploymentStateMissing),
    ("Schema", FaultCode::SchemaOpen),
    ("ChatKit", FaultCode::ChatkitKeyRejected),
    ("Agents", FaultCode::AgentUrlRefused),
    ("Approvers", FaultCode::ApproversTooFew),
    ("AWS and the stack", FaultCode::AwsCredentialsRejected),
    ("Lambda functions", FaultCode::LambdaMissing),
    ("Function URLs", FaultCode::FunctionUrlMissing),
    ("HTTP API", FaultCode::HttpApiMissing),
    ("Schedules and queues", FaultCode::ScheduleMissing),
    ("Alarms", FaultCode::AlarmMissing),
    ("Concurrency", FaultCode::ReservedConcurrencyDiffers),
    ("Log groups", FaultCode::LogGroupMissing),
    ("Secrets", FaultCode::SecretMissing),
];

#[tokio::test]
async fn list_of_findings_is_generated() -> Result<()> {
    let mut sections: Vec<(&str, Vec<Vec<String>>)> = Vec::new();
    for code in FaultCode::ALL {
        if let Some((heading, _)) = HEADINGS.iter().find(|(_, first)| first == code) {
            let titles = ["code", "likely cause", "what to do"].map(str::to_owned).to_vec();
            sections.push((heading, vec![titles]));
        }
        let (cause, remedy) = (markdown::escape(code.cause()), markdown::escape(code.remedy()));
        if let Some((_, rows)) = sections.last_mut() {
            rows.push(vec![format!("`{code}`"), cause, remedy]);
        }
    }
    let rows: usize = sections.iter().map(|(_, rows)| rows.len() - 1).sum();
    ensure!(rows == FaultCode::ALL.len(), "expected {} rows, found {rows}", FaultCode::ALL.len());
    let sections =
        sections.iter().map(|(title, rows)| format!("### {title}\n\n{}", markdown::render_table(rows)));
    check_generated("docs/operations/doctor.md", "findings", &sections.collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn policy_permits_the_actions_of_the_command_and_no_others() -> Result<()> {
    let page = read_text("docs/operations/doctor.md")?;
    let block = page.split("```json\n").find(|block| block.contains("\"Statement\""));
    let json = block.and_then(|block| block.split("```").next()).context("the page has no policy")?;
    let policy: Value = serde_json::from_str(json)?;
    let statements = policy["Statement"].as_array().context("no statements")?.iter();
    let actions = statements.filter_map(|statement| statement["Action"].as_array()).flatten();
    let permitted: BTreeSet<&str> = actions.filter_map(Value::as_str).collect();
    let mut code = String::new();
    for folder in ["aws", "checks"] {
        for file in fs::read_dir(project::root().join("tools/doctor/src").join(folder))? {
            let path = file?.path();
            if path.is_file() {
                code += &fs::read_to_string(path)?;
            }
        }
    }
    // The actions in the policies of functions are not those of the command.
    let of_others = ["lambda:InvokeFunctionUrl"];
    let is_action = |text: &&str| {
        let parts = text.split_once(':');
        let is_name =
            |name: &str| name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphanumeric);
        parts.is_some_and(|(service, name)| {
            service.chars().all(|character| character.is_ascii_lowercase()) && is_name(name)
        })
    };
    let used: BTreeSet<&str> =
        code.split('"').filter(is_action).filter(|action| !of_others.contains(action)).collect();
    ensure!(used == permitted, "expected {used:?}, found {permitted:?}");
    Ok(())
}
