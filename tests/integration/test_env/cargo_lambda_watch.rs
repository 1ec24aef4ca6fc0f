//! `cargo lambda watch`, with the environment file that `cargo dev` writes.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dev_tools::dev::{EnvFile, Watch};
use http_client::Method;
use local_stack::lambda::{Profile, example};
use local_stack::toolchain::CARGO_LAMBDA;
use local_stack::{LocalStack, http};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::api::http_requests;
use crate::end_to_end::check_session_lifecycle;
use crate::support::client::TestClient;
use crate::support::skip;
use crate::support::streaming::{body_of_steps, post_steps, send, wait};

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

        // The webhook starts a function of the watcher.
        let secret = stack.environment().all_variables()["DATABASE_WEBHOOK_SECRET"].clone();
        let request = http::client().post(watch.function_url("receive-webhook"));
        let status = request.header("x-webhook-secret", secret).send().await?.status();
        ensure!(status == 202, "expected 202 from receive-webhook, found {status}; {}", output());

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

#[tokio::test]
async fn watched_function_streams_and_notices_that_its_client_left() -> Result<()> {
    // The watcher accepts only the names of the project's functions.
    const NAME: &str = "get-session";
    skip::with_tools(async {
        let stack = LocalStack::start().await?;
        let cargo_lambda = CARGO_LAMBDA.install_async().await?;
        let folder = tempfile::tempdir()?;
        let environment = EnvFile::write_to(&stack, folder.path().join(".env.local"))?;
        let watch = Watch::start_without_functions(&cargo_lambda, &environment).await?;
        let program = example("baseline-functions", "stream", "streaming", Profile::Dev).await?;
        // Dropping it ends it.
        let mut function = Command::new(program)
            .envs(stack.environment().all_variables())
            .env("AWS_LAMBDA_RUNTIME_API", watch.runtime_api(NAME))
            .env("AWS_LAMBDA_FUNCTION_NAME", NAME)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(function.stdout.take().context("no output")?).lines();
        let url = format!("{}/chatkit", watch.function_url(NAME));

        let mut response = post_steps(&url, &[send(1), wait(500), send(2)]).await?;
        let first = response.chunk().await?.context("no first part")?;
        ensure!(
            first == "data: 1\n\n",
            "expected the first event alone, found {first:?}; {}",
            watch.output()
        );
        ensure!(response.text().await? == "data: 2\n\n", "expected the second event");

        // The watcher notices that a client left when it cannot write.
        let steps = [send(1), wait(200), send(2), wait(200), send(3), json!({ "do": "wait until closed" })];
        let steps = [&steps[..], &[wait(100), json!({ "do": "print" })]].concat();
        let mut response = post_steps(&url, &steps).await?;
        ensure!(response.chunk().await?.is_some(), "expected the first event");
        drop(response);
        let printed = async {
            while let Some(line) = output.next_line().await? {
                if line.starts_with("printed") {
                    return Ok(line);
                }
            }
            bail!("the function ended")
        };
        let printed = tokio::time::timeout(Duration::from_secs(10), printed).await;
        let printed =
            printed.with_context(|| format!("the function did not notice it: {}", watch.output()))??;
        ensure!(printed == "printed, closed: true", "{printed}");
        // The next request is served.
        ensure!(body_of_steps(&url, &[send(4)]).await? == "data: 4\n\n", "expected another stream");
        watch.stop().await
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
