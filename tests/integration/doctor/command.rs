//! `cargo doctor` is the same binary: it finds the same, prints a table, and says by its exit code whether all is well.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use dev_tools::dev::EnvFile;
use local_stack::LocalStack;
use serde_json::Value;
use tokio::process::Command;

use super::{inhabit, judge, report};

/// Runs the command in an environment of nothing but this.
async fn doctor(
    stack: &LocalStack,
    arguments: &[&str],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Output> {
    let binary = stack.lambda().function("doctor")?.binary();
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().envs(variables);
    command.output().await.context("running the doctor")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

// NAME: doctor: the command and the function agree, by shell and by file
#[tokio::test]
async fn agree() -> Result<()> {
    let stack = LocalStack::start().await?;
    inhabit(&stack).await?;
    let by_lambda = report(&stack).await?;
    let folder = tempfile::tempdir()?;
    let file = EnvFile::write_to(&stack, folder.path().join(".env.local"))?;
    let path = file.path().to_str().context("a path")?;
    // In the shell are variables of another deployment, which the file's are not to be mixed with.
    let elsewhere =
        [("AWS_REGION".to_owned(), "eu-central-1".to_owned()), ("SUPABASE_URL".to_owned(), "x".to_owned())];
    let by_file = doctor(&stack, &["--json", "--env-file", path], elsewhere).await?;
    let by_shell = doctor(&stack, &["--json"], stack.environment().whole()).await?;
    for output in [&by_file, &by_shell] {
        ensure!(output.status.success(), "{}", text(output));
        let told: Value = serde_json::from_slice(&output.stdout).with_context(|| text(output))?;
        ensure!(told == by_lambda, "{told:#} instead of {by_lambda:#}");
        judge(&told, &[], &[])?;
    }
    let table = doctor(&stack, &["--env-file", path], []).await?;
    ensure!(table.status.success() && text(&table).ends_with("All is well.\n"), "{}", text(&table));
    Ok(())
}

// NAME: doctor: the command shows cause and remedy, and exits with 1
#[tokio::test]
async fn at_fault() -> Result<()> {
    let stack = LocalStack::start().await?;
    inhabit(&stack).await?;
    sqlx::query("alter table public.chat_sessions disable row level security")
        .execute(stack.database())
        .await?;
    let output = doctor(&stack, &[], stack.environment().whole()).await?;
    let said = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    for part in [
        "FAIL  schema",
        "public.chat_sessions  rls_off",
        "Row level security is disabled",
        "→ Enable it at once",
    ] {
        ensure!(said.contains(part), "no {part}: {said}");
    }
    ensure!(said.contains("1 wrong, 0 not looked at."), "{said}");
    Ok(())
}

// NAME: doctor: the command says how it is used
#[tokio::test]
async fn usage() -> Result<()> {
    let stack = LocalStack::start().await?;
    for wrong in [&["--help"][..], &["--env-file"], &["--env-file", "/nowhere/to/be/found"]] {
        let output = doctor(&stack, wrong, []).await?;
        ensure!(output.status.code() == Some(2), "{wrong:?}: {}", text(&output));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("env");
    std::fs::write(&file, "SUPABASE_URL='http://127.0.0.1:1'\nsb_secret_c4n4ry\n")?;
    let path = Path::to_str(&file).context("a path")?;
    let output = doctor(&stack, &["--env-file", path], []).await?;
    let said = text(&output);
    ensure!(output.status.code() == Some(2) && said.contains("line 2") && !said.contains("c4n4ry"), "{said}");
    Ok(())
}
