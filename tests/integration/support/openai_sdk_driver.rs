//! OpenAI's own Python SDK at work: the reference client of ChatKit, driven call by call.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use local_stack::process_reaper;
use local_stack::toolchain;
use local_stack::toolchain::ToolError;

/// For one call with all its retries, or for Python to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the SDK's client is made.
#[derive(Debug, Clone, Serialize)]
pub struct SdkSettings {
    /// Ends with `/v1`.
    pub base_url: String,
    /// What goes after `Bearer`.
    pub api_key: String,
    /// Goes into `OpenAI-Project` where there is one.
    pub project: Option<String>,
    /// How often a failed call is tried again; the SDK's own default is 2.
    pub max_retries: u32,
    /// Seconds.
    pub timeout: f64,
}

/// A Python process with the SDK in it. It ends when this is dropped, and when our own process ends.
#[derive(Debug)]
pub struct Sdk {
    process: Child,
    calls: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The SDK's version.
    pub version: String,
}

/// An answer as the SDK's types hold it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Parsed {
    /// The fields that were sent.
    pub ok: Value,
    /// The SDK's type.
    pub class: String,
    /// Fields that the SDK's types do not have.
    pub surplus: Vec<String>,
    /// Fields that the SDK's types have and that were not sent.
    pub lacking: Vec<String>,
    /// What the SDK's types reject once they are strict.
    pub wrong: Vec<String>,
}

/// An exception of the SDK.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Raised {
    /// The exception's class, such as `NotFoundError`.
    pub class: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// `error.code` of the answer.
    pub code: Option<String>,
    /// `error.param` of the answer.
    pub param: Option<String>,
    /// `error.type` of the answer.
    pub r#type: Option<String>,
    /// What the exception says.
    pub message: Option<String>,
    /// The answer's `x-request-id`.
    pub request_id: Option<String>,
}

impl Sdk {
    /// Installs the SDK if need be, and starts it.
    pub async fn start(settings: &SdkSettings) -> Result<Self, ToolError> {
        let installed = toolchain::OPENAI.ready().await?;
        Ok(Self::spawn(Command::from(installed.python()), settings).await?)
    }

    async fn spawn(mut python: Command, settings: &SdkSettings) -> anyhow::Result<Self> {
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/openai_sdk.py"));
        // Keys, base URLs and proxies of the person who runs this are not for this client.
        let ours = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"];
        for name in ours {
            python.env_remove(name);
        }
        python.env("NO_PROXY", "*").env("PYTHONUTF8", "1");
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = python.spawn().context("starting Python with OpenAI's SDK")?;
        // Between two calls it ends with its standard input; this is for the time within one.
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::End::Kill)?;
        }
        let calls = process.stdin.take().context("no pipe to Python")?;
        let answers = BufReader::new(process.stdout.take().context("no pipe from Python")?).lines();
        let mut sdk = Self { process, calls, answers, version: String::new() };
        let hello = sdk.ask(&serde_json::to_value(settings)?).await?;
        sdk.version = hello["version"].as_str().context("the SDK has no version")?.to_owned();
        Ok(sdk)
    }

    async fn ask(&mut self, line: &Value) -> anyhow::Result<Value> {
        self.calls.write_all(format!("{line}\n").as_bytes()).await.context("writing to the SDK")?;
        let answer =
            timeout(PATIENCE, self.answers.next_line()).await.context("the SDK does not answer")??;
        let answer = answer.context("the SDK's process ended")?;
        serde_json::from_str(&answer).with_context(|| format!("the SDK's process said {answer}"))
    }

    /// Makes a call, such as `sessions.cancel`, with positional and named arguments.
    pub async fn call(
        &mut self,
        name: &str,
        args: Value,
        named: Value,
    ) -> anyhow::Result<Result<Parsed, Raised>> {
        let mut answer = self.ask(&json!({"call": name, "args": args, "kwargs": named})).await?;
        match answer["error"].take() {
            Value::Null => Ok(Ok(serde_json::from_value(answer)?)),
            error => Ok(Err(serde_json::from_value(error)?)),
        }
    }

    /// The ids on all pages of a list, turned by the SDK.
    pub async fn pages(&mut self, name: &str, args: Value, named: Value) -> anyhow::Result<Vec<String>> {
        let mut answer = self.ask(&json!({"pages": name, "args": args, "kwargs": named})).await?;
        match answer["error"].take() {
            Value::Null => Ok(serde_json::from_value(answer["ok"].take())?),
            error => bail!("{name}: {error}"),
        }
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}
