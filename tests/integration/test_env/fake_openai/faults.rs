//! Faults, as clients observe them, and whether the request takes effect.

use std::error::Error;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use local_stack::openai::{Fault, Operation};
use serde_json::{Value, json};

use super::{Api, check_headers, text};

#[tokio::test]
async fn status_fault_applies_the_given_number_of_times() -> Result<()> {
    let api = Api::start().await?;
    let fault = Fault::new(Operation::CreateSession)
        .status(503)
        .retry_after("1")
        .retry_after_ms("20")
        .should_retry(false);
    let fault = api.fake.add_fault(fault.times(2));
    for _ in 0..2 {
        let response = api.create(&session_body("u")).send().await?;
        assert_eq!(response.status(), 503);
        check_headers(&response)?;
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok().map(str::to_owned));
        let found = (header("retry-after"), header("retry-after-ms"), header("x-should-retry"));
        assert_eq!(found, (Some("1".to_owned()), Some("20".to_owned()), Some("false".to_owned())));
        let body: Value = response.json().await?;
        assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&json!("server_error"), &Value::Null));
        assert_eq!(outcome(&api), (0, Some((Some(503), None))));
    }
    api.session("u").await?;
    assert_eq!((api.fake.hits(fault), outcome(&api)), (2, (1, Some((Some(200), Some(200))))));
    Ok(())
}

#[tokio::test]
async fn fault_without_count_lasts_until_cleared() -> Result<()> {
    let api = Api::start().await?;
    let fault =
        api.fake.add_fault(Fault::new(Operation::CreateSession).status(429).code("insufficient_quota"));
    for _ in 0..3 {
        let response = api.create(&session_body("u")).send().await?;
        assert_eq!(response.status(), 429);
        assert_eq!(response.json::<Value>().await?["error"]["code"], "insufficient_quota");
        assert_eq!(api.get("/chatkit/threads").send().await?.status(), 200);
    }
    api.fake.clear(fault);
    api.session("u").await?;
    let everywhere = api.fake.add_fault(Fault::everywhere().status(500));
    assert_eq!(api.get("/chatkit/threads").send().await?.status(), 500);
    assert_eq!(api.get("/no/such/url").send().await?.status(), 500);
    api.fake.clear_faults();
    assert_eq!(
        (api.get("/chatkit/threads").send().await?.status().as_u16(), api.fake.hits(everywhere)),
        (200, 2)
    );
    Ok(())
}

#[tokio::test]
async fn fault_for_user_affects_only_that_user() -> Result<()> {
    let api = Api::start().await?;
    let mut users = Vec::new();
    for user in ["u", "v"] {
        let session = api.session(user).await?;
        let secret = text(&session, "client_secret")?.to_owned();
        let thread = api.fake.post_message(&secret, None, "hello").await?.thread_id;
        users.push((user, text(&session, "id")?.to_owned(), secret, thread));
    }
    api.fake.add_fault(Fault::everywhere().user("u").status(500));
    for (user, session, secret, thread) in users {
        let expected = if user == "u" { 500 } else { 200 };
        let requests = [
            api.create(&session_body(user)),
            api.get(&format!("/chatkit/threads?user={user}")),
            api.get(&format!("/chatkit/threads/{thread}")),
            api.get(&format!("/chatkit/threads/{thread}/items")),
            api.post(&format!("/chatkit/sessions/{session}/cancel")),
            api.delete(&format!("/chatkit/threads/{thread}")),
        ];
        let message = api.fake.post_message(&secret, None, "hello").await;
        assert_eq!(message.err().and_then(|e| e.status), (user == "u").then_some(500));
        for request in requests {
            assert_eq!(request.send().await?.status(), expected, "{user}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn reset_fault_resets_the_connection() -> Result<()> {
    let api = Api::start().await?;
    for (fault, takes_effect) in [
        (Fault::new(Operation::CreateSession).reset_before(), false),
        (Fault::new(Operation::CreateSession).reset_after(), true),
    ] {
        let before = api.fake.sessions().len();
        // The reset also affects a connection that was used before.
        api.get("/chatkit/threads").send().await?.bytes().await?;
        api.fake.add_fault(fault.times(1));
        let error = api
            .create(&session_body("u"))
            .send()
            .await
            .err()
            .context("expected an error, found a response")?;
        assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset), "{error:?}");
        let sessions = before + usize::from(takes_effect);
        assert_eq!(outcome(&api), (sessions, Some((None, takes_effect.then_some(200)))));
    }
    api.session("u").await?;
    Ok(())
}

#[tokio::test]
async fn cut_body_fault_sends_half_the_body() -> Result<()> {
    let api = Api::start().await?;
    api.fake.add_fault(Fault::new(Operation::CreateSession).cut_body().times(1));
    let mut response = api.create(&session_body("u")).send().await?;
    let length = response.content_length().context("the response has no length")?;
    assert_eq!(response.status(), 200);
    let half = response.chunk().await?.context("the response has no body")?;
    assert_eq!(half.len() as u64, length / 2);
    assert!(serde_json::from_slice::<Value>(&half).is_err());
    assert!(response.chunk().await.is_err(), "expected an error at the end of the body");
    assert_eq!(outcome(&api), (1, Some((Some(200), Some(200)))));
    Ok(())
}

#[tokio::test]
async fn body_fault_replaces_the_response_body() -> Result<()> {
    let api = Api::start().await?;
    api.fake.add_fault(Fault::new(Operation::CreateSession).html_body().times(1));
    api.fake.add_fault(Fault::new(Operation::CreateSession).body(json!({"id": 7})).times(1));
    let html = api.create(&session_body("u")).send().await?;
    assert_eq!((html.status().as_u16(), &html.headers()["content-type"]), (200, &"text/html".parse()?));
    assert!(serde_json::from_str::<Value>(&html.text().await?).is_err());
    let chosen: Value = api.create(&session_body("u")).send().await?.json().await?;
    assert_eq!((chosen, api.fake.sessions().len()), (json!({"id": 7}), 2));
    Ok(())
}

pub fn session_body(user: &str) -> Value {
    json!({"user": user, "workflow": {"id": "wf_1"}})
}

/// The kind of the I/O error that caused a client's error.
pub fn io_kind(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let here = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    here.or_else(|| error.source().and_then(io_kind))
}

/// The status that the client received, and the status of the operation.
pub type Statuses = (Option<u16>, Option<u16>);

/// The number of sessions, and the statuses of the last call in the log.
pub fn outcome(api: &Api) -> (usize, Option<Statuses>) {
    let last = api.fake.requests().last().map(|call| (call.status, call.work_status));
    (api.fake.sessions().len(), last)
}
