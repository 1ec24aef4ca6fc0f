//! A fake of the APIs of AWS that `cargo doctor --stack` reads. Its stack is made from
//! `template.yaml` by SAM's own translator, and botocore's models validate each request and answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::toolchain::AWS_SAM_CLI;
use crate::{http, process_reaper, project};

/// Time for Python to start, and for SAM to transform the template, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

const REGION: &str = "eu-central-1";

/// The id of a key, the key and a session token.
const CREDENTIALS: [&str; 3] = ["AKIDFAKE", "c4n4ry/secret-access-key", "c4n4ry/session-token"];

/// What a stack is made from.
#[derive(Debug, Default)]
pub struct Settings {
    pub stack: String,
    /// The values of the template's parameters without a default, and others that differ from theirs.
    pub parameters: BTreeMap<String, String>,
    /// The values in AWS Secrets Manager, by name.
    pub secrets: BTreeMap<String, String>,
    /// What the deployed doctor returns.
    pub report: Value,
}

/// The running fake. The process ends when this value is dropped, or when this process ends.
#[derive(Debug)]
pub struct FakeAws {
    process: Child,
    started: Started,
}

#[derive(Debug, Deserialize)]
struct Started {
    port: u16,
    physical_ids: BTreeMap<String, String>,
}

impl FakeAws {
    /// Starts the fake with a deployed stack, and installs SAM first if necessary.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let mut python = Command::from(AWS_SAM_CLI.install_async().await?.python());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/aws/server.py");
        python.arg(script).env("PYTHONUTF8", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = python.spawn().context("starting the fake of AWS")?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        }
        let Settings { stack, parameters, secrets, report } = settings;
        let settings = json!({
            "template": project::root().join("template.yaml"), "region": REGION, "credentials": CREDENTIALS,
            "stack": stack, "parameters": parameters, "secrets": secrets, "report": report,
        });
        let mut input = process.stdin.take().context("the fake of AWS has no standard input")?;
        input.write_all(settings.to_string().as_bytes()).await?;
        drop(input);
        let output = process.stdout.take().context("the fake of AWS has no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line =
            timeout(START_TIMEOUT, lines.next_line()).await.context("the fake of AWS did not start")??;
        let started = serde_json::from_str(&line.context("the fake of AWS ended")?)?;
        Ok(Self { process, started })
    }

    /// The variables with which AWS's SDKs find the fake.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let [key_id, key, token] = CREDENTIALS;
        let endpoint = format!("http://127.0.0.1:{}", self.started.port);
        let variables = [
            ("AWS_ACCESS_KEY_ID", key_id),
            ("AWS_SECRET_ACCESS_KEY", key),
            ("AWS_SESSION_TOKEN", token),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &endpoint),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// The physical id of a resource of the template.
    pub fn physical_id(&self, id: &str) -> Result<&str> {
        self.started
            .physical_ids
            .get(id)
            .map(String::as_str)
            .with_context(|| format!("the stack has no {id}"))
    }

    /// Replaces the injected faults. `scripts/aws/faults.py` describes their form.
    pub async fn inject(&self, faults: &[Value]) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/_faults", self.started.port);
        let response = http::client().post(url).json(faults).send().await?;
        ensure!(response.status() == 204, "the fake of AWS rejects the faults: {}", response.status());
        Ok(())
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}
