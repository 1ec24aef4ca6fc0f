//! Calls of OpenAI's Python SDK, which is the reference client of ChatKit and of the Responses API.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use local_stack::process_reaper;
use local_stack::toolchain::{self, ToolError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// For a call with its retries, or for the start of Python.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The arguments of the SDK's client.
#[derive(Debug, Clone, Serialize)]
pub struct SdkSettings {
    /// Ends with `/v1`.
    pub base_url: String,
    pub api_key: String,
    /// The header `OpenAI-Project`.
    pub project: Option<String>,
    pub max_retries: u32,
    /// In seconds.
    pub timeout: f64,
}

/// A Python process with the SDK. It ends when this value is dropped, or the test's process ends.
#[derive(Debug)]
pub struct Sdk {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub version: String,
}

/// A response, as the SDK parsed it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Parsed {
    /// The fields of the response.
    pub ok: Value,
    pub class: String,
    /// Fields that the SDK's types do not have.
    pub unknown: Vec<String>,
    /// Fields of the SDK's types that the response does not have.
    pub missing: Vec<String>,
    /// Errors of strict validation.
    pub invalid: Vec<String>,
}

/// An exception of the SDK.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SdkError {
    /// For example `NotFoundError`.
    pub class: String,
    /// The HTTP status, if a response arrived.
    pub status: Option<u16>,
    pub code: Option<String>,
    pub param: Option<String>,
    pub r#type: Option<String>,
    pub message: Option<String>,
    /// The header `x-request-id`.
    pub request_id: Option<String>,
}

impl Sdk {
    /// Starts the SDK, and installs it before if it is missing.
    pub async fn start(settings: &SdkSettings) -> Result<Self, ToolError> {
        let installed = toolchain::OPENAI.install_async().await?;
        Ok(Self::spawn(Command::from(installed.python()), settings).await?)
    }

    async fn spawn(mut python: Command, settings: &SdkSettings) -> anyhow::Result<Self> {
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/openai_sdk.py"));
        // The settings of the developer's environment must not reach this client.
        let variables =
            ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"];
        for name in variables {
            python.env_remove(name);
        }
        python.env("NO_PROXY", "*").env("PYTHONUTF8", "1");
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = python.spawn().context("starting Python with OpenAI's SDK")?;
        // Without a call the end of its input ends Python. During a call the process reaper does.
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        }
        let input = process.stdin.take().context("Python has no standard input")?;
        let output = process.stdout.take().context("Python has no standard output")?;
        let output = BufReader::new(output).lines();
        let mut sdk = Self { process, input, output, version: String::new() };
        let hello = sdk.request(&serde_json::to_value(settings)?).await?;
        sdk.version = hello["version"].as_str().context("the SDK has no version")?.to_owned();
        Ok(sdk)
    }

    async fn request(&mut self, line: &Value) -> anyhow::Result<Value> {
        self.input.write_all(format!("{line}\n").as_bytes()).await.context("writing to the SDK")?;
        let line = timeout(TIMEOUT, self.output.next_line()).await.context("waiting for the SDK")??;
        let line = line.context("the SDK's process has ended")?;
        serde_json::from_str(&line).with_context(|| format!("expected JSON from the SDK, found {line}"))
    }

    /// Calls a method, for example `sessions.cancel`.
    pub async fn call(
        &mut self,
        name: &str,
        args: Value,
        kwargs: Value,
    ) -> anyhow::Result<Result<Parsed, SdkError>> {
        let mut answer = self.request(&json!({"call": name, "args": args, "kwargs": kwargs})).await?;
        match answer["error"].take() {
            Value::Null => Ok(Ok(serde_json::from_value(answer)?)),
            error => Ok(Err(serde_json::from_value(error)?)),
        }
    }

    /// The events of a stream, and the exception that ended it.
    pub async fn stream(
        &mut self,
        name: &str,
        kwargs: Value,
    ) -> anyhow::Result<(Vec<Parsed>, Option<SdkError>)> {
        let mut answer = self.request(&json!({"stream": name, "args": [], "kwargs": kwargs})).await?;
        let error = serde_json::from_value(answer["error"].take())?;
        let events: Option<_> = serde_json::from_value(answer["ok"].take())?;
        Ok((events.unwrap_or_default(), error))
    }

    /// The ids of all pages of a list.
    pub async fn pages(&mut self, name: &str, args: Value, kwargs: Value) -> anyhow::Result<Vec<String>> {
        let mut answer = self.request(&json!({"pages": name, "args": args, "kwargs": kwargs})).await?;
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
