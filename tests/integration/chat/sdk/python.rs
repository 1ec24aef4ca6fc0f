//! Python programs that answer each line of JSON with a line of JSON.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::process_reaper;
use local_stack::toolchain;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::VERSION;
use super::exchange::Exchange;

/// For an answer, or for the start of Python.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A Python process with openai-chatkit. It ends when this value is dropped, or the test's process
/// ends.
pub struct Python {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Python {
    /// Starts a program of `tests/scripts`, and installs openai-chatkit before if it is missing.
    /// `settings` is the first line of its input.
    pub async fn start(script: &str, settings: Option<Value>) -> Result<Self> {
        let installed = toolchain::OPENAI_CHATKIT.install_async().await?;
        let mut python = Command::from(installed.python());
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script));
        // The settings of the developer's environment must not reach the reference.
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"] {
            python.env_remove(name);
        }
        python.env("NO_PROXY", "*").env("PYTHONUTF8", "1");
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = python.spawn().with_context(|| format!("starting {script}"))?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        }
        let input = process.stdin.take().context("Python has no standard input")?;
        let output = process.stdout.take().context("Python has no standard output")?;
        let mut python = Self { process, input, output: BufReader::new(output).lines() };
        if let Some(settings) = settings {
            python.write(&settings).await?;
        }
        let hello = python.read().await?;
        ensure!(hello["version"] == VERSION, "expected openai-chatkit {VERSION}, found {hello}");
        Ok(python)
    }

    /// Writes a line and returns the answer.
    pub async fn request(&mut self, line: &Value) -> Result<Value> {
        self.write(line).await?;
        self.read().await
    }

    async fn write(&mut self, line: &Value) -> Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes()).await.context("writing to Python")
    }

    async fn read(&mut self) -> Result<Value> {
        let line = timeout(TIMEOUT, self.output.next_line()).await.context("waiting for Python")??;
        let line = line.context("the Python process has ended")?;
        serde_json::from_str(&line).with_context(|| format!("expected JSON from Python, found {line}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}

/// The types of openai-chatkit.
pub struct ProtocolTypes(Python);

impl ProtocolTypes {
    pub async fn start() -> Result<Self> {
        Ok(Self(Python::start("chatkit_types.py", None).await?))
    }

    /// Returns the problems of exchanges. Problem responses are not a part of the protocol, so
    /// their bodies are not compared.
    pub async fn problems(&mut self, exchanges: &[Exchange]) -> Result<Vec<String>> {
        let answered = exchanges.iter().filter(|exchange| exchange.status == 200);
        let lines = answered.map(|exchange| {
            json!({ "request": exchange.request, "streamed": exchange.is_streamed, "answer": exchange.answer })
        });
        let problems = self.0.request(&Value::Array(lines.collect())).await?;
        serde_json::from_value(problems).context("the types answer with a list of problems")
    }

    /// Fails if an exchange has a problem.
    pub async fn check(&mut self, exchanges: &[Exchange]) -> Result<()> {
        let problems = self.problems(exchanges).await?;
        ensure!(problems.is_empty(), "openai-chatkit's types: {problems:#?}");
        Ok(())
    }
}
