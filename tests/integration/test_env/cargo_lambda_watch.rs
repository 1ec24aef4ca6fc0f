//! `cargo lambda watch`, with the environment file that `cargo dev` writes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dev_tools::dev::{EnvFile, Watch};
use http_client::Method;
use local_stack::toolchain::CARGO_LAMBDA;
use local_stack::{LocalStack, http};

use crate::api::http_requests;
use crate::end_to_end::check_session_lifecycle;
use crate::support::client::TestClient;
use crate::support::skip;

#[tokio::test]
async fn watched_functions_pass_end_to_end_and_stop() -> Result<()> {
    skip::with_tools(async {
        let stack = LocalStack::start().await?;
        let cargo_lambda = CARGO_LAMBDA.install_async().await?;
        // Outside the project, because the watcher restarts the functions when a file in it
        // changes.
        let folder = tempfile::tempdir()?;
        let environment = EnvFile::write_to(&stack, folder.path().join(".env.local"))?;
        let watch = Watch::start(&cargo_lambda, &environment).await?;
        let output = || format!("the output of cargo lambda watch:\n{}", watch.output());

        let caller = TestClient::new(&stack).await?;
        check_session_lifecycle(&stack, &caller, |_| caller.with_base_url(watch.url().to_owned()))
            .await
            .with_context(output)?;
        let other = TestClient::new(&stack).await?;
        check_session_lifecycle(&stack, &other, |function| other.with_base_url(watch.function_url(function)))
            .await
            .with_context(output)?;
        let session = other.with_base_url(watch.url().to_owned()).open_session_path().await?;
        // The watcher passes only the last value of a repeated header.
        let url = |function: &str| watch.function_url(function);
        http_requests::check_over_http(url, &other, &session, false).await.with_context(output)?;
        ensure!(stack.logs().is_empty(), "expected no log of the functions of the stack");
        // The watcher itself would allow every origin.
        let preflight = [("origin", "https://elsewhere.example"), ("access-control-request-method", "POST")];
        let client = caller.with_base_url(watch.url().to_owned());
        client
            .send(Method::OPTIONS, "/chatkit/sessions", &preflight, None)
            .await?
            .problem(403, "origin_forbidden")?;

        // `cargo lambda invoke` sends these requests.
        for function in ["expire-sessions", "route-events", "doctor"] {
            let url = format!("{}/2015-03-31/functions/{function}/invocations", watch.url());
            let response = http::client().post(url).body("{}").send().await?;
            let (status, report) = (response.status(), response.text().await?);
            let is_done = status == 200
                && serde_json::from_str::<serde_json::Value>(&report).is_ok_and(|r| r.is_object());
            ensure!(
                is_done && !report.contains("errorType"),
                "expected a report of {function}, found {status} {report}; {}",
                output()
            );
        }

        let runtime_api = format!("AWS_LAMBDA_RUNTIME_API={}/", watch.url());
        let can_find_processes = Path::new("/proc/self/environ").exists();
        ensure!(
            !processes_with(&runtime_api).is_empty() || !can_find_processes,
            "expected processes with {runtime_api}"
        );
        watch.stop().await?;
        for _ in 0..100 {
            if processes_with(&runtime_api).is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("still running: {:?}", processes_with(&runtime_api));
    })
    .await
}

/// The ids of the processes whose environment contains a variable; empty if there is no `/proc`.
fn processes_with(variable: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let matching = processes.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(variable.as_bytes()))
    });
    matching.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}
