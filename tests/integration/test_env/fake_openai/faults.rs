//! Each fault is, to a client, what it says it is; and the work behind it is done or not, as it says.

use std::error::Error;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use local_stack::openai::{Fault, On};
use serde_json::{Value, json};

use super::{Api, has_headers, text};

pub fn wanted(user: &str) -> Value {
    json!({"user": user, "workflow": {"id": "wf_1"}})
}

/// The kind of the I/O error at the bottom of a client's error.
pub fn io_kind(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let here = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    here.or_else(|| error.source().and_then(io_kind))
}

/// The status that was answered and the one that the work came to.
pub type Ends = (Option<u16>, Option<u16>);

/// How many sessions were made, and what the ledger says of the last call: answered, and worked on.
pub fn after(api: &Api) -> (usize, Option<Ends>) {
    let last = api.standin.requests().last().map(|call| (call.status, call.worked));
    (api.standin.sessions().len(), last)
}

// NAME: stand-in: a status is answered as often as ordered
/// A status comes in the envelope, with the headers that were ordered, as often as was ordered.
#[tokio::test]
async fn a_status_is_answered_as_often_as_ordered() -> Result<()> {
    let api = Api::start().await?;
    let fault =
        Fault::new(On::CreateSession).status(503).retry_after("1").retry_after_ms("20").should_retry(false);
    let fault = api.standin.fault(fault.times(2));
    for _ in 0..2 {
        let response = api.create(&wanted("u")).send().await?;
        assert_eq!(response.status(), 503);
        has_headers(&response)?;
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok().map(str::to_owned));
        let got = (header("retry-after"), header("retry-after-ms"), header("x-should-retry"));
        assert_eq!(got, (Some("1".to_owned()), Some("20".to_owned()), Some("false".to_owned())));
        let body: Value = response.json().await?;
        assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&json!("server_error"), &Value::Null));
        assert_eq!(after(&api), (0, Some((Some(503), None))));
    }
    api.session("u").await?;
    assert_eq!((api.standin.hits(fault), after(&api)), (2, (1, Some((Some(200), Some(200))))));
    Ok(())
}

// NAME: stand-in: a fault lasts until it is cleared
/// Without a number it lasts until it is cleared; a code of one's choice; other operations go on.
#[tokio::test]
async fn a_fault_lasts_until_it_is_cleared() -> Result<()> {
    let api = Api::start().await?;
    let fault = api.standin.fault(Fault::new(On::CreateSession).status(429).code("insufficient_quota"));
    for _ in 0..3 {
        let response = api.create(&wanted("u")).send().await?;
        assert_eq!(response.status(), 429);
        assert_eq!(response.json::<Value>().await?["error"]["code"], "insufficient_quota");
        assert_eq!(api.get("/chatkit/threads").send().await?.status(), 200);
    }
    api.standin.clear(fault);
    api.session("u").await?;
    let everywhere = api.standin.fault(Fault::everywhere().status(500));
    assert_eq!(api.get("/chatkit/threads").send().await?.status(), 500);
    assert_eq!(api.get("/no/such/url").send().await?.status(), 500);
    api.standin.clear_faults();
    assert_eq!(
        (api.get("/chatkit/threads").send().await?.status().as_u16(), api.standin.hits(everywhere)),
        (200, 2)
    );
    Ok(())
}

// NAME: stand-in: a fault can be for one user
/// A fault for one user meets that user on every call, and nobody else.
#[tokio::test]
async fn a_fault_can_be_for_one_user() -> Result<()> {
    let api = Api::start().await?;
    let mut own = Vec::new();
    for user in ["u", "v"] {
        let session = api.session(user).await?;
        let secret = text(&session, "client_secret")?.to_owned();
        let thread = api.standin.say(&secret, None, "hello").await?.thread_id;
        own.push((user, text(&session, "id")?.to_owned(), secret, thread));
    }
    api.standin.fault(Fault::everywhere().user("u").status(500));
    for (user, session, secret, thread) in own {
        let expected = if user == "u" { 500 } else { 200 };
        let requests = [
            api.create(&wanted(user)),
            api.get(&format!("/chatkit/threads?user={user}")),
            api.get(&format!("/chatkit/threads/{thread}")),
            api.get(&format!("/chatkit/threads/{thread}/items")),
            api.post(&format!("/chatkit/sessions/{session}/cancel")),
            api.delete(&format!("/chatkit/threads/{thread}")),
        ];
        let said = api.standin.say(&secret, None, "hello").await;
        assert_eq!(said.err().and_then(|e| e.status), (user == "u").then_some(500));
        for request in requests {
            assert_eq!(request.send().await?.status(), expected, "{user}");
        }
    }
    Ok(())
}

// NAME: stand-in: a reset is a reset
/// A reset is a reset of the TCP connection, before the work or after it.
#[tokio::test]
async fn a_reset_is_a_reset() -> Result<()> {
    let api = Api::start().await?;
    for (fault, made) in [
        (Fault::new(On::CreateSession).reset_before(), false),
        (Fault::new(On::CreateSession).reset_after(), true),
    ] {
        let before = api.standin.sessions().len();
        // Also on a connection that was in use before.
        api.get("/chatkit/threads").send().await?.bytes().await?;
        api.standin.fault(fault.times(1));
        let error = api.create(&wanted("u")).send().await.err().context("an answer came")?;
        assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset), "{error:?}");
        let sessions = before + usize::from(made);
        assert_eq!(after(&api), (sessions, Some((None, made.then_some(200)))));
    }
    api.session("u").await?;
    Ok(())
}

// NAME: stand-in: a cut body is half a body
/// The head and half of the body arrive, then the connection ends.
#[tokio::test]
async fn a_cut_body_is_half_a_body() -> Result<()> {
    let api = Api::start().await?;
    api.standin.fault(Fault::new(On::CreateSession).cut_body().times(1));
    let mut response = api.create(&wanted("u")).send().await?;
    let promised = response.content_length().context("no length")?;
    assert_eq!(response.status(), 200);
    let half = response.chunk().await?.context("nothing arrived")?;
    assert_eq!(half.len() as u64, promised / 2);
    assert!(serde_json::from_slice::<Value>(&half).is_err());
    assert!(response.chunk().await.is_err(), "the body ended as if it were whole");
    assert_eq!(after(&api), (1, Some((Some(200), Some(200)))));
    Ok(())
}

// NAME: stand-in: nonsense is nonsense
/// Nonsense is no JSON; a body of one's choice is that body; the work is done.
#[tokio::test]
async fn nonsense_is_nonsense() -> Result<()> {
    let api = Api::start().await?;
    api.standin.fault(Fault::new(On::CreateSession).nonsense().times(1));
    api.standin.fault(Fault::new(On::CreateSession).body(json!({"id": 7})).times(1));
    let html = api.create(&wanted("u")).send().await?;
    assert_eq!((html.status().as_u16(), &html.headers()["content-type"]), (200, &"text/html".parse()?));
    assert!(serde_json::from_str::<Value>(&html.text().await?).is_err());
    let chosen: Value = api.create(&wanted("u")).send().await?.json().await?;
    assert_eq!((chosen, api.standin.sessions().len()), (json!({"id": 7}), 2));
    Ok(())
}
