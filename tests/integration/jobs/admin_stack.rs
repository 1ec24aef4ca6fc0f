//! `cargo admin --stack`: the configuration of a deployed stack.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::aws::{FakeAws, Settings};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::admin_command::{AdminCommand, text};

const STACK: &str = "chat";

/// A stack of AWS that has the URL and the keys of a local stack.
async fn deploy(stack: &LocalStack) -> Result<FakeAws> {
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let url = stack.environment().all_variables()["SUPABASE_URL"].clone();
    FakeAws::start(&Settings {
        stack: STACK.to_owned(),
        parameters: texts(&[
            ("SupabaseUrl", &url),
            ("SupabasePublishableKey", stack.supabase().publishable_key()),
            ("AlarmsTopicArn", "arn:aws:sns:eu-central-1:111122223333:alarms"),
        ]),
        secrets: texts(&[
            ("chatkit-sessions/supabase-secret-key", stack.supabase().secret_key()),
            ("chatkit-sessions/openai-chatkit-secret", "sk-c4n4ry-0123456789"),
            ("chatkit-sessions/sealing-keys", "k1:MDEyMzQ1Njc4OWMtYzRuNHJ5LTAxMjM0NTY3ODlhYmM="),
            ("chatkit-sessions/webhook-secret", "c4n4ry-0123456789-0123456789-0123"),
        ]),
        report: json!({}),
    })
    .await
}

#[tokio::test]
async fn command_acts_on_the_deployed_stack() -> Result<()> {
    let stack = LocalStack::start().await?;
    let aws = deploy(&stack).await?;
    let admin = AdminCommand::new(&stack).await?;
    let org = Uuid::new_v4();
    let command = format!("limits set keys_per_day_user=500 --org {org} --stack {STACK} --json");
    let output = admin.run_with(&command, aws.environment()).await?;
    ensure!(output.status.success(), "{}", text(&output));
    let limits: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(limits["limits"]["keys_per_day_user"] == 500, "{limits}");
    ensure!(!text(&output).contains("sb_secret"), "the output contains the key: {}", text(&output));
    let shown = admin.json(&format!("limits show --org {org}")).await?;
    ensure!(shown == limits, "the command acted on another database: {shown}");
    Ok(())
}

#[tokio::test]
async fn unreadable_stack_is_reported_and_exits_with_2() -> Result<()> {
    let stack = LocalStack::start().await?;
    let aws = deploy(&stack).await?;
    let admin = AdminCommand::new(&stack).await?;
    let org = Uuid::new_v4();
    let show = format!("limits show --org {org}");
    let mut wrong = aws.environment();
    wrong.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "another".to_owned());
    for (arguments, environment, message) in [
        (format!("{show} --stack another"), aws.environment(), "There is no stack another"),
        (format!("{show} --stack {STACK}"), wrong, "AWS rejects the credentials"),
        (format!("{show} --stack {STACK} --env-file production.env"), aws.environment(), "either --env-file"),
        (format!("{show} --region eu-central-1"), aws.environment(), "--region requires --stack"),
    ] {
        let output = admin.run_with(&arguments, environment).await?;
        ensure!(output.status.code() == Some(2), "{arguments}: {} {}", output.status, text(&output));
        ensure!(text(&output).contains(message), "{arguments}: {}", text(&output));
    }
    Ok(())
}
