//! One run of Schemathesis.

use std::fmt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::summary::Tally;
use local_stack::LocalStack;
use local_stack::process_reaper;
use local_stack::toolchain::Installed;

/// What it writes down of every request and answer.
const REPORT: &str = "report.ndjson";

/// API Gateway knows the routes alone, and answers every other method itself, with 404.
const OF_FUNCTIONS: &str = "unsupported_method";

/// What to ask where.
pub(super) struct Run {
    url: String,
    /// The operation that is asked alone, where it is not all of them.
    operation: Option<String>,
    phases: &'static str,
    /// How many requests are made up for each operation in a phase that could go on for ever.
    examples: usize,
    seed: u64,
}

impl Run {
    /// Everything that follows from the description of one function, at its own URL.
    pub fn at_function(stack: &LocalStack, name: &str, seed: u32) -> Self {
        Self {
            url: stack.function_url(name),
            operation: Some(name.to_owned()),
            phases: "coverage",
            examples: 1,
            seed: seed.into(),
        }
    }

    /// At the HTTP API: a little first, then once all there is, then what chance leads to, each time by another seed.
    pub fn at_api(stack: &LocalStack, run: u32, seed: u32) -> Self {
        let (phases, examples) = match run {
            0 => ("examples,fuzzing,stateful", 15),
            1 => ("examples,coverage,fuzzing,stateful", 120),
            _ => ("fuzzing,stateful", 120),
        };
        Self {
            url: stack.api_url(),
            operation: None,
            phases,
            examples,
            seed: u64::from(seed) + u64::from(run),
        }
    }

    /// Asks, and adds what was answered to the tally. Whatever is found is an error, with all that Schemathesis says of it.
    pub async fn start(
        &self,
        schemathesis: &Installed,
        folder: &Path,
        variables: &[(&'static str, String)],
        tally: &mut Tally,
    ) -> Result<()> {
        let mut command = Command::from(schemathesis.program("schemathesis"));
        command.args(["--config-file", "schemathesis.toml", "run", "openapi.yaml", "--no-color"]);
        command.args(["--url", &self.url, "--phases", self.phases, "--report-ndjson-path", REPORT]);
        command.args(["--max-examples", &self.examples.to_string(), "--seed", &self.seed.to_string()]);
        match &self.operation {
            Some(operation) => command.args(["--include-operation-id", operation]),
            None => command.args(["--exclude-checks", OF_FUNCTIONS]),
        };
        // Proxies of the person who runs this are not for the loopback.
        command.current_dir(folder).env("NO_PROXY", "*").env("PYTHONUTF8", "1");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().context("starting Schemathesis")?;
        let pid = child.id().context("a process without a number")?;
        process_reaper::watch(pid, process_reaper::End::Kill)?;
        let output = child.wait_with_output().await;
        process_reaper::forget(pid);
        let output = output.context("waiting for Schemathesis")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            bail!("{self} found something:\n{}", said.trim());
        }
        let report = std::fs::read_to_string(folder.join(REPORT)).context("Schemathesis left no report")?;
        let found = tally.add(&report)?;
        // Its own check says the same, unless it is switched off one day.
        ensure!(found.is_empty(), "{self} was answered with 5xx: {found:?}");
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            Some(operation) => write!(f, "{operation} at its URL, {}", self.phases),
            None => write!(f, "the HTTP API, {} by seed {}", self.phases, self.seed),
        }
    }
}
