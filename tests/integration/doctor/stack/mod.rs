//! `cargo doctor --stack` against a fake of AWS, whose stack is made from `template.yaml` by SAM's
//! own translator.

mod faults;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use local_stack::aws::{FakeAws, Settings};
use serde_json::{Value, json};

use super::command::{run_command, text};

const STACK: &str = "chat";

/// Every check of a stack, in the order of a report.
const CHECKS: [&str; 12] = [
    "stack",
    "deployed_doctor",
    "lambda",
    "lambda_environment",
    "function_url",
    "http_api",
    "schedule",
    "dead_letter_queue",
    "alarm",
    "concurrency",
    "log_group",
    "secret",
];

/// The values of the secrets contain this, and no output does.
const CANARY: &str = "c4n4ry";

pub fn settings() -> Settings {
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Settings {
        stack: STACK.to_owned(),
        parameters: texts(&[
            ("SupabaseUrl", "https://project.supabase.co"),
            ("SupabasePublishableKey", "sb_publishable_0123456789"),
            ("AlarmsTopicArn", "arn:aws:sns:eu-central-1:111122223333:alarms"),
            ("AgentCredentialsName", "chat/agents"),
            ("ChatRestApi", "true"),
        ]),
        secrets: texts(&[
            ("chatkit-sessions/supabase-secret-key", "sb_secret_c4n4ry-0123456789-0123456789-0123456789"),
            ("chatkit-sessions/openai-chatkit-secret", "sk-c4n4ry-0123456789-0123456789-0123456789"),
            ("chatkit-sessions/sealing-keys", "k1:MDEyMzQ1Njc4OWMtYzRuNHJ5LTAxMjM0NTY3ODlhYmM="),
            ("chatkit-sessions/webhook-secret", "c4n4ry-0123456789-0123456789-0123"),
            (
                "chat/agents",
                r#"{"ap":{"origin":"https://agent.example","bearer":"c4n4ry-0123456789-0123456789-0123"}}"#,
            ),
        ]),
        report: json!({ "healthy": true, "faults": 0, "warnings": 0, "findings": [
            { "check": "configuration", "status": "ok" }, { "check": "migrations", "status": "ok" } ] }),
    }
}

/// Runs the command, and returns its report and its exit code.
async fn run(aws: &FakeAws, variables: &[(&str, &str)]) -> Result<(Value, Option<i32>)> {
    let mut environment = aws.environment();
    environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let output = run_command(&["--stack", STACK, "--json"], environment).await?;
    let all = text(&output);
    ensure!(!all.contains(CANARY), "the output contains a secret: {all}");
    let report = serde_json::from_slice(&output.stdout).with_context(|| all)?;
    Ok((report, output.status.code()))
}

fn findings(report: &Value) -> Result<&Vec<Value>> {
    report["findings"].as_array().with_context(|| format!("a report without findings: {report:#}"))
}

#[tokio::test]
async fn translated_template_has_no_finding() -> Result<()> {
    let aws = FakeAws::start(&settings()).await?;
    let (report, code) = run(&aws, &[]).await?;
    ensure!(code == Some(0), "expected the exit code 0, found {code:?}: {report:#}");
    let findings = findings(&report)?;
    ensure!(findings.iter().all(|finding| finding["status"] == "ok"), "{report:#}");
    let checks: Vec<&str> = findings.iter().filter_map(|finding| finding["check"].as_str()).collect();
    let expected: Vec<&str> = ["configuration", "migrations"].into_iter().chain(CHECKS).collect();
    ensure!(checks == expected, "expected {expected:?}, found {checks:?}");
    let mut arguments = vec!["--stack", STACK, "--region"];
    let table = run_command(&[&arguments[..], &["eu-central-1"]].concat(), aws.environment()).await?;
    ensure!(table.status.success() && text(&table).ends_with("All is well.\n"), "{}", text(&table));
    // Another region is another signature, and other endpoints of AWS.
    arguments.push("us-east-1");
    let elsewhere = run_command(&arguments, aws.environment()).await?;
    ensure!(elsewhere.status.code() == Some(1), "{}", text(&elsewhere));
    ensure!(text(&elsewhere).contains("aws_credentials_rejected"), "{}", text(&elsewhere));
    Ok(())
}

#[tokio::test]
async fn translated_template_with_secrets_at_run_time_has_no_finding() -> Result<()> {
    let mut settings = settings();
    settings.parameters.insert("Secrets".to_owned(), "runtime".to_owned());
    // The bearer is in a secret of its own, which `route-events` fetches.
    let agents = r#"{"ap":{"origin":"https://agent.example","bearer":"secretsmanager:chat/bearer"}}"#;
    settings.secrets.insert("chat/agents".to_owned(), agents.to_owned());
    let aws = FakeAws::start(&settings).await?;
    let (report, code) = run(&aws, &[]).await?;
    ensure!(code == Some(0), "expected the exit code 0, found {code:?}: {report:#}");
    let secret = json!({ "SecretId": "chatkit-sessions/sealing-keys" });
    let change = json!({ "path": ["SecretString"], "value": "c4n4ry" });
    let fault = json!({ "service": "secretsmanager", "operation": "GetSecretValue", "when": secret, "changes": [change] });
    aws.inject(&[fault]).await?;
    let (report, _) = run(&aws, &[]).await?;
    let codes: Vec<&str> = findings(&report)?.iter().filter_map(|finding| finding["code"].as_str()).collect();
    ensure!(codes == ["secret_invalid"], "expected secret_invalid, found {report:#}");
    Ok(())
}

#[tokio::test]
async fn missing_region_and_credentials_exit_with_2() -> Result<()> {
    let aws = FakeAws::start(&settings()).await?;
    let disabled = ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned());
    for (missing, message) in [("AWS_REGION", "no region"), ("AWS_ACCESS_KEY_ID", "no credentials")] {
        let mut environment = aws.environment();
        environment.extend([disabled.clone()]);
        environment.remove(missing);
        let output = run_command(&["--stack", STACK], environment).await?;
        let all = text(&output);
        ensure!(output.status.code() == Some(2) && all.contains(message), "{}: {all}", output.status);
        ensure!(!all.contains(CANARY), "the output contains a secret: {all}");
    }
    Ok(())
}

#[tokio::test]
async fn stack_without_description_skips_the_other_checks() -> Result<()> {
    let aws = FakeAws::start(&settings()).await?;
    let (wrong, code) = run(&aws, &[("AWS_SECRET_ACCESS_KEY", "another")]).await?;
    ensure!(code == Some(1) && findings(&wrong)?[0]["code"] == "aws_credentials_rejected", "{wrong:#}");
    let output = run_command(&["--stack", "another", "--json"], aws.environment()).await?;
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
    for report in [&wrong, &report] {
        let skipped = findings(report)?.iter().filter(|finding| finding["status"] == "skipped").count();
        ensure!(report["faults"] == 1 && skipped == CHECKS.len() - 1, "{report:#}");
    }
    ensure!(findings(&report)?[0]["code"] == "stack_missing", "{report:#}");
    Ok(())
}
