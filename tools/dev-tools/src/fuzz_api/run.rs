use std::fmt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::summary::ResponseCounts;
use local_stack::LocalStack;
use local_stack::process_reaper;
use local_stack::toolchain::Installed;

/// The report of all requests and responses.
const REPORT: &str = "report.ndjson";

/// Checks that only hold at function URLs: API Gateway answers unknown methods itself with 404.
const FUNCTION_ONLY_CHECKS: &str = "unsupported_method";

pub(super) struct Run {
    url: String,
    /// The only tested operation; `None` for all.
    operation: Option<String>,
    phases: &'static str,
    /// Number of generated requests for each operation in an unbounded phase.
    examples: usize,
    seed: u64,
}

impl Run {
    /// All requests that follow from the document for one function, at its own URL.
    pub fn at_function(stack: &LocalStack, name: &str, seed: u32) -> Self {
        Self {
            url: stack.function_url(name),
            operation: Some(name.to_owned()),
            phases: "coverage",
            examples: 1,
            seed: seed.into(),
        }
    }

    /// At the HTTP API: a short run, then one with every phase, then random ones, each with another
    /// seed.
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

    /// Runs Schemathesis and adds the responses to the counts. Faults are errors with its output.
    pub async fn start(
        &self,
        schemathesis: &Installed,
        folder: &Path,
        variables: &[(&'static str, String)],
        counts: &mut ResponseCounts,
    ) -> Result<()> {
        let mut command = Command::from(schemathesis.program("schemathesis"));
        command.args(["--config-file", "schemathesis.toml", "run", "openapi.yaml", "--no-color"]);
        command.args(["--url", &self.url, "--phases", self.phases, "--report-ndjson-path", REPORT]);
        command.args(["--max-examples", &self.examples.to_string(), "--seed", &self.seed.to_string()]);
        match &self.operation {
            Some(operation) => command.args(["--include-operation-id", operation]),
            None => command.args(["--exclude-checks", FUNCTION_ONLY_CHECKS]),
        };
        // A proxy of the user must not be used for loopback.
        command.current_dir(folder).env("NO_PROXY", "*").env("PYTHONUTF8", "1");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().context("starting Schemathesis")?;
        let pid = child.id().context("the process has no id")?;
        process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        let output = child.wait_with_output().await;
        process_reaper::forget(pid);
        let output = output.context("waiting for Schemathesis")?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            bail!("{self} found faults:\n{}", output.trim());
        }
        let report = std::fs::read_to_string(folder.join(REPORT)).context("reading Schemathesis' report")?;
        let found = counts.add(&report)?;
        // Schemathesis checks this too, unless the check is disabled.
        ensure!(found.is_empty(), "{self} returned 5xx: {found:?}");
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
