//! AWS Secrets Manager and the Parameter Store, played by moto: <https://docs.getmoto.org>.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use uuid::Uuid;

use crate::http;
use crate::process_reaper;
use crate::toolchain::{MOTO, ToolError};

/// Time for Python to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The region of the local functions.
const REGION: &str = "local";

/// A process with moto's server. It ends when this value is dropped, or when this process ends.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    url: String,
}

impl Moto {
    /// Starts the server without secrets, and installs moto first if necessary.
    pub async fn start() -> Result<Self, ToolError> {
        let mut python = Command::from(MOTO.install_async().await?.python());
        python.args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        Ok(Self::spawn(python).await?)
    }

    async fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("starting moto")?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        }
        let mut output = BufReader::new(process.stderr.take().context("moto has no standard error")?).lines();
        let url =
            timeout(START_TIMEOUT, listening(&mut output)).await.context("moto did not start in time")?;
        let moto = Self { process, url: url? };
        // Moto writes a line for each request, and would block if nothing read them.
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        Ok(moto)
    }

    /// The environment variables of a function that uses this server.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ]
    }

    /// Stores a value of a secret, and creates the secret first if necessary.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<()> {
        let version = Uuid::new_v4();
        let body = json!({ "SecretId": name, "SecretString": value, "ClientRequestToken": version });
        if self.call("secretsmanager", "PutSecretValue", &body).await.is_err() {
            let body = json!({ "Name": name, "SecretString": value, "ClientRequestToken": version });
            self.call("secretsmanager", "CreateSecret", &body).await?;
        }
        // Moto imports modules for the first request of a kind, which can take longer than the
        // functions wait.
        self.call("secretsmanager", "GetSecretValue", &json!({ "SecretId": name })).await
    }

    /// Stores a value of a SecureString.
    pub async fn put_parameter(&self, name: &str, value: &str) -> Result<()> {
        let body = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
        self.call("ssm", "PutParameter", &body).await?;
        self.call("ssm", "GetParameter", &json!({ "Name": name, "WithDecryption": true })).await
    }

    /// Ends the server and waits for it.
    pub async fn stop(mut self) -> Result<()> {
        self.process.kill().await.context("stopping moto")
    }

    async fn call(&self, service: &str, operation: &str, body: &Value) -> Result<()> {
        let target = if service == "ssm" { "AmazonSSM" } else { service };
        // Moto reads the service from the scope, and does not verify the signature.
        let scope = format!("local/20261127/{REGION}/{service}/aws4_request");
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let request = http::client().post(&self.url).header("authorization", authorization);
        let request = request.header("x-amz-target", format!("{target}.{operation}"));
        let request = request.header("content-type", "application/x-amz-json-1.1").body(body.to_string());
        let response = request.send().await.with_context(|| format!("calling {operation}"))?;
        let status = response.status();
        ensure!(status.is_success(), "{operation} returned {status}: {}", response.text().await?);
        Ok(())
    }
}

/// Reads the output until the server listens, and returns its URL.
async fn listening(output: &mut Lines<BufReader<ChildStderr>>) -> Result<String> {
    while let Some(line) = output.next_line().await? {
        if let Some((_, url)) = line.split_once("Running on ") {
            return Ok(url.trim().to_owned());
        }
    }
    anyhow::bail!("moto ended")
}

impl Drop for Moto {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}
