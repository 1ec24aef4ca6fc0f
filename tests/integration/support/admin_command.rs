//! Runs `cargo admin` against a stack.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use dev_tools::dev::EnvFile;
use local_stack::LocalStack;
use local_stack::lambda;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// The name of the file with the configuration in the documentation.
const ENV_FILE: &str = "production.env";

/// Runs a shell command in a pseudo-terminal. What it gets on standard input, the user types.
const TERMINAL: &str = "import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-euc', sys.argv[1]])))";

/// The command, with a folder in which it runs. The folder has the configuration of the stack.
pub struct AdminCommand {
    folder: TempDir,
    program: std::path::PathBuf,
    _env_file: EnvFile,
}

impl AdminCommand {
    pub async fn new(stack: &LocalStack) -> Result<Self> {
        let program = lambda::workspace_example("admin").await?;
        let folder = tempfile::tempdir()?;
        let env_file = EnvFile::write_to(stack, folder.path().join(ENV_FILE))?;
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin)?;
        // Cargo itself would be asked for the same program, and would wait for other builds.
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = admin ] || exit 127\nshift\nexec '{}' \"$@\"\n",
            program.display()
        );
        std::fs::write(bin.join("cargo"), script)?;
        set_executable(&bin.join("cargo"))?;
        Ok(Self { folder, program, _env_file: env_file })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the command without a terminal. Arguments are separated by spaces.
    pub async fn run(&self, arguments: &str) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(arguments.split(' ')).args(["--env-file", ENV_FILE]).env_clear();
        command.current_dir(self.folder()).stdin(Stdio::null());
        command.output().await.context("running the command")
    }

    /// Runs the command with variables of the environment, and without a file.
    pub async fn run_with(&self, arguments: &str, environment: BTreeMap<String, String>) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(arguments.split(' ')).env_clear().envs(environment);
        command.current_dir(self.folder()).stdin(Stdio::null());
        command.output().await.context("running the command")
    }

    /// Runs the command with `--json`, and returns its result.
    pub async fn json(&self, arguments: &str) -> Result<Value> {
        let output = self.run(&format!("{arguments} --json")).await?;
        ensure!(output.status.success(), "{arguments}: {}: {}", output.status, text(&output));
        serde_json::from_slice(&output.stdout).with_context(|| text(&output))
    }

    /// Runs shell commands in a terminal, in which the user agrees to every question. Returns what
    /// the terminal shows.
    pub async fn run_in_terminal(&self, commands: &str, variables: &[(&str, String)]) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("python3");
        command.args(["-c", TERMINAL, commands]).current_dir(self.folder()).env_clear();
        command.env("PATH", format!("{}:{path}", self.folder().join("bin").display()));
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("starting the terminal")?;
        let mut input = process.stdin.take().context("the terminal has no input")?;
        tokio::io::AsyncWriteExt::write_all(&mut input, b"y\ny\n").await?;
        let output = process.wait_with_output().await?;
        drop(input);
        ensure!(output.status.success(), "{commands}\n{}: {}", output.status, text(&output));
        Ok(text(&output))
    }
}

/// The text on standard output and standard error.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn set_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}
