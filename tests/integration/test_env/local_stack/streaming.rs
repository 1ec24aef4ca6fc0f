//! Functions that stream: their URLs and the REST API, compared with Lambda and API Gateway.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::http::client;
use local_stack::lambda::{DeployedFunction, InvocationFailure, Profile, example};
use serde_json::{Value, json};

use super::get;
use crate::support::streaming::{self, FUNCTION, body_of_steps, post_steps, send, wait, wait_until};

const TIMEOUT: Duration = Duration::from_secs(15);

/// Starts a stack in which this example is deployed as a function that streams.
async fn start_example(name: &str, function: &str) -> Result<LocalStack> {
    let program = example("baseline-functions", name, "", Profile::Dev).await?;
    let stack = LocalStack::builder().binaries([(function.to_owned(), program)].into());
    stack.deployment(function, streaming::deployment(TIMEOUT)).start().await
}

/// Returns the failures of a stack, without the names of the functions.
fn failures(stack: &LocalStack) -> Vec<InvocationFailure> {
    stack.lambda().failures().into_iter().map(|(_, failure)| failure).collect()
}

#[tokio::test]
async fn parts_arrive_while_the_function_runs() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    for url in streaming::urls(&stack) {
        let printed = || stack.logs().iter().filter(|line| line.starts_with("printed")).count();
        let before = printed();
        let steps = [send(1), wait(2000), json!({ "do": "print" }), send(2)];
        let mut response = post_steps(&url, &steps).await?;
        ensure!(response.status() == 200, "{url}: {response:?}");
        let first = response.chunk().await?.context("no first part")?;
        ensure!(first == "data: 1\n\n", "{url}: expected the first event alone, found {first:?}");
        ensure!(printed() == before, "{url}: expected the first event before the function went on");
        ensure!(response.text().await? == "data: 2\n\n", "{url}: expected the second event");
        // The line arrives on its own way. It must not be counted for the next URL.
        let deadline = Instant::now() + Duration::from_secs(10);
        while printed() == before {
            ensure!(Instant::now() < deadline, "{url}: the function printed nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn streaming_function_has_no_route_of_the_http_api() -> Result<()> {
    let stack = start_example("echo", "get-session").await?;
    let (status, body) = get(&format!("{}/chatkit/sessions/7", stack.api_url())).await?;
    ensure!((status, &body) == (404, &json!({ "message": "Not Found" })), "{status} {body}");
    Ok(())
}

#[tokio::test]
async fn rest_api_has_only_its_routes() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    let [_, url] = streaming::urls(&stack);
    let missing = json!({ "message": "Missing Authentication Token" });
    let others = [format!("{url}/"), url.replace("/local/", "/"), url.replace("/local/", "/localx/")];
    let others = others.iter().map(|other| (Method::POST, other)).chain([(Method::GET, &url)]);
    for (method, other) in others {
        let response = client().request(method.clone(), other).send().await?;
        let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await?);
        ensure!((status, &body) == (403, &missing), "{method} {other}: {status} {body}");
    }
    let answer: Value = streaming::post(&url, &json!({ "a": "b" })).await?.json().await?;
    let expected = json!({ "bearer": "a-client-secret", "body": { "a": "b" }, "frame": "frame-1" });
    ensure!(answer == expected, "expected {expected}, found {answer}");
    Ok(())
}

#[tokio::test]
async fn whole_response_of_streaming_function_is_an_error() -> Result<()> {
    let stack = start_example("echo", FUNCTION).await?;
    let (status, body) = get(&stack.function_url(FUNCTION)).await?;
    ensure!((status, &body) == (502, &json!("Internal Server Error")), "{status} {body}");
    let response = client().post(format!("{}/chatkit", stack.rest_api_url())).body("{}").send().await?;
    ensure!(response.status() == 502, "{response:?}");
    let found = failures(&stack);
    let is_expected = |failure: &InvocationFailure| matches!(failure, InvocationFailure::InvalidResponse(why) if why.contains("whole"));
    ensure!(found.len() == 2 && found.iter().all(is_expected), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn invalid_streams_are_errors() -> Result<()> {
    let stack = start_example("raw_stream", FUNCTION).await?;
    let url = stack.function_url(FUNCTION);
    let (status, body) = get(&format!("{url}/whole")).await?;
    ensure!((status, &body) == (200, &json!("whole")), "a valid stream: {status} {body}");
    for (name, reason) in [
        ("no-prelude", "no delimiter"),
        ("invalid-prelude", "expected value"),
        ("unknown-mode", "response mode"),
        ("not-chunked", "not chunked"),
    ] {
        let (status, body) = get(&format!("{url}/{name}")).await?;
        ensure!((status, &body) == (502, &json!("Internal Server Error")), "{name}: {status} {body}");
        let found = failures(&stack).pop();
        ensure!(
            matches!(&found, Some(InvocationFailure::InvalidResponse(why)) if why.contains(reason)),
            "{name}: {found:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn failure_after_the_head_cuts_the_connection() -> Result<()> {
    let stack = start_example("raw_stream", FUNCTION).await?;
    for (name, reason) in [("trailers", "Runtime.StreamError: the cause"), ("too-large", "209715200 bytes")] {
        let response = client().get(format!("{}/{name}", stack.function_url(FUNCTION))).send().await?;
        ensure!(response.status() == 200, "{name}: {response:?}");
        let read = response.bytes().await.map(|body| body.len());
        ensure!(read.is_err(), "{name}: expected a cut connection, found {read:?} bytes");
        wait_until("the failure is recorded", || !failures(&stack).is_empty()).await?;
        let found = failures(&stack).pop();
        let text = format!("{found:?}");
        ensure!(text.contains(reason), "{name}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn process_that_ends_cuts_the_connection_and_is_replaced() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    let [url, _] = streaming::urls(&stack);
    let mut response = post_steps(&url, &[send(1), wait(100), json!({ "do": "exit" })]).await?;
    ensure!(response.chunk().await?.is_some_and(|first| first == "data: 1\n\n"), "expected the first event");
    ensure!(response.chunk().await.is_err(), "expected a cut connection");
    wait_until("the failure is recorded", || !failures(&stack).is_empty()).await?;
    ensure!(matches!(failures(&stack)[..], [InvocationFailure::Exited(_)]), "{:?}", failures(&stack));
    ensure!(body_of_steps(&url, &[send(1)]).await? == "data: 1\n\n", "expected another process");
    Ok(())
}

/// A function that does not respond to the deadline, unlike the edge of this project.
#[tokio::test]
async fn timeout_kills_a_function_that_streams() -> Result<()> {
    let program = example("baseline-functions", "echo", "", Profile::Dev).await?;
    let stack = LocalStack::builder().binaries([(FUNCTION.to_owned(), program)].into());
    let deployed = DeployedFunction { ..streaming::deployment(Duration::from_millis(300)) };
    let stack = stack.deployment(FUNCTION, deployed).start().await?;
    let (status, _) = get(&format!("{}/hang", stack.function_url(FUNCTION))).await?;
    ensure!(status == 502, "{status}");
    let request = client().request(Method::POST, format!("{}/chatkit", stack.rest_api_url()));
    ensure!(request.body("{}").send().await?.status() == 502, "expected that echo answers at once");
    ensure!(matches!(failures(&stack)[0], InvocationFailure::TimedOut), "{:?}", failures(&stack));
    Ok(())
}

#[tokio::test]
async fn function_does_not_notice_that_its_client_left() -> Result<()> {
    let stack = streaming::start(LocalStack::builder(), TIMEOUT).await?;
    for url in streaming::urls(&stack) {
        let printed = || stack.logs().iter().filter(|line| line.starts_with("printed")).count();
        let before = printed();
        // More than the buffers of the connections hold.
        let fill = json!({ "do": "fill", "kilobytes": 3000 });
        let steps = [send(1), wait(100), fill, json!({ "do": "print" })];
        let mut response = post_steps(&url, &steps).await?;
        ensure!(response.chunk().await?.is_some(), "expected the first event");
        drop(response);
        wait_until("the function has finished", || printed() > before).await?;
    }
    ensure!(failures(&stack).is_empty(), "{:?}", failures(&stack));
    let logs = stack.logs();
    let printed: Vec<_> = logs.iter().filter(|line| line.starts_with("printed")).collect();
    ensure!(printed == ["printed, closed: false", "printed, closed: false"], "{printed:?}");
    Ok(())
}
