//! A function that fails is answered for as AWS does, and its caller is told nothing of why.

use std::time::{Duration, Instant};

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::lambda::Failure;
use serde_json::json;

use super::{echoing, get};

// NAME: failures: a crash, an error and nonsense are one to the caller
#[tokio::test]
async fn crash_error_nonsense() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    for wish in ["crash", "error", "nonsense"] {
        let url = format!("{}/{wish}", stack.function_url("get-session"));
        assert_eq!(get(&url).await?, (502, json!("Internal Server Error")), "{wish}");
        let api = format!("{}/chatkit/sessions/{wish}", stack.api_url());
        assert_eq!(get(&api).await?, (500, json!({ "message": "Internal Server Error" })), "{wish}");
    }
    let failures: Vec<_> = stack.lambda().failures().into_iter().map(|(_, failure)| failure).collect();
    assert!(matches!(
        failures.as_slice(),
        [Failure::Ended(_), _, Failure::Reported(_), _, Failure::Nonsense(_), _]
    ));
    Ok(())
}

// NAME: failures: a function that hangs is killed when its time is over
#[tokio::test]
async fn timeout() -> Result<()> {
    let stack = echoing(LocalStack::builder().timeout(Duration::from_millis(300))).await?;
    let started = Instant::now();
    let answer = get(&format!("{}/chatkit/sessions/hang", stack.api_url())).await?;
    assert_eq!(answer, (503, json!({ "message": "Service Unavailable" })));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(get(&format!("{}/hang", stack.function_url("get-session"))).await?.0, 502);
    Ok(())
}

// NAME: failures: a function that does not start says why in the log
#[tokio::test]
async fn no_start() -> Result<()> {
    let stack = echoing(LocalStack::builder().env("REFUSES_TO_START", "yes")).await?;
    assert_eq!(get(&stack.function_url("get-session")).await?.0, 502);
    assert!(stack.final_logs().await.iter().any(|line| line.contains("it was told not to start")));
    Ok(())
}

// NAME: failures: a process can be killed in the middle of an event
#[tokio::test]
async fn killed() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    let url = format!("{}/hang", stack.function_url("get-session"));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stack.lambda().function("get-session").map(|function| function.kill())
    };
    let (answer, killed) = tokio::join!(get(&url), kill);
    assert_eq!((answer?.0, killed?), (502, 1));
    assert_eq!(get(&stack.function_url("get-session")).await?.0, 200, "another process takes the next event");
    Ok(())
}

// NAME: failures: what was written is in the logs, also by one that crashed
#[tokio::test]
async fn logs() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    get(&format!("{}/log", stack.function_url("get-session"))).await?;
    get(&format!("{}/crash", stack.function_url("get-session"))).await?;
    let mut lines = stack.final_logs().await;
    lines.retain(|line| line.starts_with("a line"));
    lines.sort();
    assert_eq!(lines, ["a line on standard error", "a line on standard output"]);
    Ok(())
}
