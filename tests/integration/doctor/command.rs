//! `cargo doctor` runs the same checks as the function, prints a table, and returns an exit code.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use dev_tools::dev::EnvFile;
use local_stack::LocalStack;
use local_stack::lambda;
use serde_json::Value;
use tokio::process::Command;

use super::{check_report, execute, run_doctor, start};

#[tokio::test]
async fn report_of_command_equals_report_of_function() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let from_lambda = run_doctor(&stack).await?;
    let folder = tempfile::tempdir()?;
    let file = EnvFile::write_to(&stack, folder.path().join(".env.local"))?;
    let path = file.path().to_str().context("the path is not UTF-8")?;
    // The shell has variables of another deployment, which the command must not mix with the
    // file's.
    let other_deployment =
        [("AWS_REGION".to_owned(), "eu-central-1".to_owned()), ("SUPABASE_URL".to_owned(), "x".to_owned())];
    let with_file = run_command(&["--json", "--env-file", path], other_deployment).await?;
    let with_shell = run_command(&["--json"], stack.environment().all_variables()).await?;
    for output in [&with_file, &with_shell] {
        ensure!(output.status.success(), "{}: {}", output.status, text(output));
        let report: Value = serde_json::from_slice(&output.stdout).with_context(|| text(output))?;
        ensure!(report == from_lambda, "expected {from_lambda:#}, found {report:#}");
        check_report(&report, &[], &[])?;
    }
    let table = run_command(&["--env-file", path], []).await?;
    ensure!(table.status.success() && text(&table).ends_with("All is well.\n"), "{}", text(&table));
    Ok(())
}

#[tokio::test]
async fn fault_is_printed_with_cause_and_remedy_and_exits_with_1() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    execute(&stack, "alter table public.chat_sessions disable row level security").await?;
    let output = run_command(&[], stack.environment().all_variables()).await?;
    let table = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {table}", output.status);
    for part in [
        "FAIL  schema",
        "public.chat_sessions  rls_off",
        "Row level security is disabled",
        "→ Enable it at once",
        "1 wrong, 0 skipped.",
    ] {
        ensure!(table.contains(part), "expected {part:?}, found {table}");
    }
    Ok(())
}

#[tokio::test]
async fn invalid_arguments_and_env_files_exit_with_2() -> Result<()> {
    for arguments in [
        &["--help"][..],
        &["--env-file"],
        &["--env-file", "/nowhere/to/be/found"],
        &["--stack"],
        &["--region", "eu-central-1"],
        &["--stack", "chat", "--env-file", "/nowhere/to/be/found"],
    ] {
        let output = run_command(arguments, []).await?;
        ensure!(output.status.code() == Some(2), "{arguments:?}: {}: {}", output.status, text(&output));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("env");
    std::fs::write(&file, "SUPABASE_URL='http://127.0.0.1:1'\nsb_secret_c4n4ry\n")?;
    let path = file.to_str().context("the path is not UTF-8")?;
    let output = run_command(&["--env-file", path], []).await?;
    let message = text(&output);
    ensure!(output.status.code() == Some(2), "{}: {message}", output.status);
    ensure!(message.contains("line 2") && !message.contains("c4n4ry"), "{message}");
    Ok(())
}

/// Runs the command with these variables only.
pub async fn run_command(
    arguments: &[&str],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Output> {
    let mut command = Command::new(lambda::workspace_example("doctor").await?);
    command.args(arguments).env_clear().envs(variables);
    command.output().await.context("running the doctor")
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
