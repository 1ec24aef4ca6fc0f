//! Responses, logs and processes of failing functions.

use std::time::{Duration, Instant};

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::lambda::InvocationFailure;
use serde_json::json;

use super::{get, start_with_echo};

#[tokio::test]
async fn crash_error_and_invalid_response_return_the_same_error() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    for failure in ["crash", "error", "nonsense"] {
        let url = format!("{}/{failure}", stack.function_url("get-session"));
        assert_eq!(get(&url).await?, (502, json!("Internal Server Error")), "{failure}");
        let api = format!("{}/chatkit/sessions/{failure}", stack.api_url());
        assert_eq!(get(&api).await?, (500, json!({ "message": "Internal Server Error" })), "{failure}");
    }
    let failures: Vec<_> = stack.lambda().failures().into_iter().map(|(_, failure)| failure).collect();
    assert!(matches!(
        failures.as_slice(),
        [
            InvocationFailure::Exited(_),
            _,
            InvocationFailure::Reported(_),
            _,
            InvocationFailure::InvalidResponse(_),
            _
        ]
    ));
    Ok(())
}

#[tokio::test]
async fn timeout_kills_the_function() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder().timeout(Duration::from_millis(300))).await?;
    let started = Instant::now();
    let response = get(&format!("{}/chatkit/sessions/hang", stack.api_url())).await?;
    assert_eq!(response, (503, json!({ "message": "Service Unavailable" })));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(get(&format!("{}/hang", stack.function_url("get-session"))).await?.0, 502);
    Ok(())
}

#[tokio::test]
async fn failed_start_is_logged() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder().env("REFUSES_TO_START", "yes")).await?;
    assert_eq!(get(&stack.function_url("get-session")).await?.0, 502);
    assert!(stack.final_logs().await.iter().any(|line| line.contains("configured not to start")));
    Ok(())
}

#[tokio::test]
async fn killed_process_is_replaced() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    let url = format!("{}/hang", stack.function_url("get-session"));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stack.lambda().function("get-session").map(|function| function.kill())
    };
    let (response, killed) = tokio::join!(get(&url), kill);
    assert_eq!((response?.0, killed?), (502, 1));
    assert_eq!(
        get(&stack.function_url("get-session")).await?.0,
        200,
        "expected that another process receives the next event"
    );
    Ok(())
}

#[tokio::test]
async fn logs_contain_output_of_crashed_process() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    get(&format!("{}/log", stack.function_url("get-session"))).await?;
    get(&format!("{}/crash", stack.function_url("get-session"))).await?;
    let mut lines = stack.final_logs().await;
    lines.retain(|line| line.starts_with("a line"));
    lines.sort();
    assert_eq!(lines, ["a line on standard error", "a line on standard output"]);
    Ok(())
}
