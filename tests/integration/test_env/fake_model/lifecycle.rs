//! Streams over time: pauses, gates, clients that leave, connections that break.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::model::{Delta, End, Gate, Progress, RecordedRequest, Script};
use serde_json::json;
use tokio::time::timeout;

use super::{Api, body};

/// Longer than any step takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until the last request satisfies a condition.
async fn wait_until(api: &Api, condition: impl Fn(&RecordedRequest) -> bool) -> Result<RecordedRequest> {
    let waiting = async {
        loop {
            match api.fake.requests().pop() {
                Some(request) if condition(&request) => return request,
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    timeout(TIMEOUT, waiting)
        .await
        .with_context(|| format!("the last request is {:?}", api.fake.requests().last()))
}

fn streamed(text: &str) -> serde_json::Value {
    let mut body = body(text);
    body["stream"] = json!(true);
    body
}

/// Reads until the text contains `part`.
async fn read_until(response: &mut http_client::Response, part: &str) -> Result<String> {
    let mut text = String::new();
    while !text.contains(part) {
        let chunk = timeout(TIMEOUT, response.chunk()).await??.context("the stream has ended")?;
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    Ok(text)
}

#[tokio::test]
async fn gate_holds_the_answer_between_deltas() -> Result<()> {
    let api = Api::start().await?;
    let gate = Gate::new();
    api.fake.script(Script::new().deltas([
        Delta::from("You "),
        Delta::Wait(gate.clone()),
        Delta::from("owe"),
    ]));
    let mut response = api.post(&streamed("a")).send().await?;
    let text = read_until(&mut response, r#""delta":"You ""#).await?;
    assert!(!text.contains("owe"), "{text}");
    let request = wait_until(&api, |request| request.events == 5).await?;
    assert_eq!((request.status, request.progress, api.fake.running()), (Some(200), Progress::Running, 1));
    assert!(request.response_id.is_some_and(|id| text.contains(&id)));
    gate.open();
    read_until(&mut response, "response.completed").await?;
    let request = wait_until(&api, |request| request.progress == Progress::Finished).await?;
    assert_eq!((request.events, request.ended_at.is_some(), api.fake.running()), (10, true, 0));
    Ok(())
}

#[tokio::test]
async fn client_that_leaves_is_noticed_while_the_answer_waits() -> Result<()> {
    let api = Api::start().await?;
    let gate = Gate::new();
    api.fake.script(Script::new().text("a").wait(&gate).text("never"));
    let client = http_client::Client::builder().no_proxy().build()?;
    let url = format!("{}/responses", api.fake.base_url());
    let mut response = client.post(url).bearer_auth(api.fake.api_key()).json(&streamed("a")).send().await?;
    read_until(&mut response, "output_item.done").await?;
    drop((response, client));
    let request = wait_until(&api, |request| request.progress == Progress::ClientLeft).await?;
    assert_eq!(request.events, 8);
    gate.open();
    assert_eq!((api.last_request()?.events, api.fake.running()), (8, 0));
    Ok(())
}

#[tokio::test]
async fn pauses_take_their_time_in_both_forms() -> Result<()> {
    let api = Api::start().await?;
    let pause = Duration::from_millis(40);
    for stream in [false, true] {
        let script =
            Script::new().deltas([Delta::from("a"), Delta::Pause(pause), Delta::from("b")]).pace(pause);
        api.fake.script(script);
        let mut body = body("a");
        body["stream"] = json!(stream);
        let started = Instant::now();
        api.post(&body).send().await?.bytes().await?;
        ensure!(started.elapsed() >= 3 * pause, "{:?}", started.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn broken_connections_break_after_the_last_delta() -> Result<()> {
    let api = Api::start().await?;
    for end in [End::Reset, End::Disconnect] {
        api.fake.script(Script::new().deltas(["You ", "owe"]).end(end.clone()));
        let mut response = api.post(&streamed("a")).send().await?;
        read_until(&mut response, r#""delta":"owe""#).await?;
        let error = loop {
            match timeout(TIMEOUT, response.chunk()).await? {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("{end:?}: the stream has ended in order"),
                Err(error) => break error,
            }
        };
        let cause = format!("{error:?}");
        let is_reset = cause.contains("ConnectionReset");
        assert_eq!(is_reset, end == End::Reset, "{end:?}: {cause}");
        wait_until(&api, |request| request.progress == Progress::Finished).await?;
        // A response that is not streamed does not arrive at all.
        api.fake.script(Script::new().text("a").end(end));
        assert!(api.post(&body("a")).send().await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn hanging_answer_sends_nothing_more() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(Script::new().text("a").end(End::Hang));
    let mut response = api.post(&streamed("a")).send().await?;
    read_until(&mut response, "output_text.delta").await?;
    let more = timeout(Duration::from_millis(100), response.chunk()).await;
    assert!(more.is_err(), "{more:?}");
    drop(response);
    Ok(())
}

#[tokio::test]
async fn dropped_fake_closes_its_connections() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(Script::new().text("a").end(End::Hang));
    let mut response = api.post(&streamed("a")).send().await?;
    read_until(&mut response, "output_text.delta").await?;
    let request = api.post(&body("a"));
    drop(api);
    assert!(timeout(TIMEOUT, response.chunk()).await?.is_err());
    assert!(request.send().await.is_err());
    Ok(())
}
