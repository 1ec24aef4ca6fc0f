//! `cargo lambda watch` serves the same functions, configured by the file that `cargo local` writes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dev_tools::dev::{EnvFile, Watch};
use http_client::Method;
use local_stack::toolchain::CARGO_LAMBDA;
use local_stack::{LocalStack, http};

use crate::api::http_requests;
use crate::end_to_end::play;
use crate::support::client::TestClient;

// NAME: watch: the journey by route and by function URL, and nothing is left running
#[tokio::test]
async fn journeys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let cargo_lambda = CARGO_LAMBDA.ready().await?;
    // Not in the project: the watcher restarts the functions for whatever changes there.
    let folder = tempfile::tempdir()?;
    let environment = EnvFile::write_to(&stack, folder.path().join(".env.local"))?;
    let watch = Watch::start(&cargo_lambda, &environment).await?;
    let said = || format!("cargo lambda watch said:\n{}", watch.said());

    let caller = TestClient::new(&stack).await?;
    play(&stack, &caller, |_| caller.at(watch.url().to_owned())).await.with_context(said)?;
    let other = TestClient::new(&stack).await?;
    play(&stack, &other, |function| other.at(watch.function_url(function))).await.with_context(said)?;
    let session = other.at(watch.url().to_owned()).open_path().await?;
    // The watcher hands over only the last of a header that is given several times.
    let url = |function: &str| watch.function_url(function);
    http_requests::over_http(url, &other, &session, false).await.with_context(said)?;
    ensure!(stack.logs().is_empty(), "the functions of the stack answered instead");
    // The watcher's own answer would allow every origin.
    let from = [("origin", "https://elsewhere.example"), ("access-control-request-method", "POST")];
    let there = caller.at(watch.url().to_owned());
    there.send(Method::OPTIONS, "/chatkit/sessions", &from, None).await?.problem(403, "origin_forbidden")?;

    // What runs on a schedule or by order does so, as `cargo lambda invoke` asks for it.
    for function in ["expire-sessions", "route-events", "doctor"] {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", watch.url());
        let response = http::client().post(url).body("{}").send().await?;
        let (status, report) = (response.status(), response.text().await?);
        let done =
            status == 200 && serde_json::from_str::<serde_json::Value>(&report).is_ok_and(|r| r.is_object());
        ensure!(done && !report.contains("errorType"), "{function}: {status} {report}; {}", said());
    }

    let runtime_api = format!("AWS_LAMBDA_RUNTIME_API={}/", watch.url());
    ensure!(!told(&runtime_api).is_empty() || !Path::new("/proc/self/environ").exists(), "whose functions?");
    watch.stop().await?;
    for _ in 0..100 {
        if told(&runtime_api).is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("still running: {:?}", told(&runtime_api));
}

/// The processes whose environment has this, where the system shows it.
fn told(variable: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let told = processes.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(variable.as_bytes()))
    });
    told.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}
