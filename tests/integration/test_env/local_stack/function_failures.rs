//! A function that fails is answered for as AWS does, and its caller is told nothing of why.

use std::time::{Duration, Instant};

use anyhow::Result;
use local_stack::World;
use local_stack::lambda::Failure;
use serde_json::json;

use super::{echoing, get};

// NAME: failures: a crash, an error and nonsense are one to the caller
#[tokio::test]
async fn crash_error_nonsense() -> Result<()> {
    let world = echoing(World::builder()).await?;
    for wish in ["crash", "error", "nonsense"] {
        let url = format!("{}/{wish}", world.function_url("get-session"));
        assert_eq!(get(&url).await?, (502, json!("Internal Server Error")), "{wish}");
        let api = format!("{}/chatkit/sessions/{wish}", world.api_url());
        assert_eq!(get(&api).await?, (500, json!({ "message": "Internal Server Error" })), "{wish}");
    }
    let failures: Vec<_> = world.lambda().failures().into_iter().map(|(_, failure)| failure).collect();
    assert!(matches!(
        failures.as_slice(),
        [Failure::Ended(_), _, Failure::Reported(_), _, Failure::Nonsense(_), _]
    ));
    Ok(())
}

// NAME: failures: a function that hangs is killed when its time is over
#[tokio::test]
async fn timeout() -> Result<()> {
    let world = echoing(World::builder().timeout(Duration::from_millis(300))).await?;
    let started = Instant::now();
    let answer = get(&format!("{}/chatkit/sessions/hang", world.api_url())).await?;
    assert_eq!(answer, (503, json!({ "message": "Service Unavailable" })));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(get(&format!("{}/hang", world.function_url("get-session"))).await?.0, 502);
    Ok(())
}

// NAME: failures: a function that does not start says why in the log
#[tokio::test]
async fn no_start() -> Result<()> {
    let world = echoing(World::builder().env("REFUSES_TO_START", "yes")).await?;
    assert_eq!(get(&world.function_url("get-session")).await?.0, 502);
    assert!(world.final_logs().await.iter().any(|line| line.contains("it was told not to start")));
    Ok(())
}

// NAME: failures: a process can be killed in the middle of an event
#[tokio::test]
async fn killed() -> Result<()> {
    let world = echoing(World::builder()).await?;
    let url = format!("{}/hang", world.function_url("get-session"));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.lambda().function("get-session").map(|function| function.kill())
    };
    let (answer, killed) = tokio::join!(get(&url), kill);
    assert_eq!((answer?.0, killed?), (502, 1));
    assert_eq!(get(&world.function_url("get-session")).await?.0, 200, "another process takes the next event");
    Ok(())
}

// NAME: failures: what was written is in the logs, also by one that crashed
#[tokio::test]
async fn logs() -> Result<()> {
    let world = echoing(World::builder()).await?;
    get(&format!("{}/log", world.function_url("get-session"))).await?;
    get(&format!("{}/crash", world.function_url("get-session"))).await?;
    let mut lines = world.final_logs().await;
    lines.retain(|line| line.starts_with("a line"));
    lines.sort();
    assert_eq!(lines, ["a line on standard error", "a line on standard output"]);
    Ok(())
}
