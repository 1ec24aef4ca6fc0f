//! The browser's side: what a client secret can do, and what it cannot.

use std::time::Duration;

use anyhow::{Context, Result};
use local_stack::openai::{On, ThreadStatus};
use serde_json::{Value, json};

use super::{Api, KEY, all_refused, ok, text};

// NAME: stand-in: a thread outlives the session that opened it
/// A message opens a thread, the next one continues it, and a later session of the same user finds it.
#[tokio::test]
async fn a_thread_outlives_the_session_that_opened_it() -> Result<()> {
    let api = Api::start().await?;
    let (first, second) = (api.session("u").await?, api.session("u").await?);
    let said = api.standin.say(text(&first, "client_secret")?, None, "Which invoices are due?").await?;
    api.standin.expire(text(&first, "id")?);
    let again = api.standin.say(text(&second, "client_secret")?, Some(&said.thread_id), "And paid?").await?;
    assert_eq!(again.thread_id, said.thread_id);

    let thread = ok(api.get(&format!("/chatkit/threads/{}", said.thread_id))).await?;
    assert_eq!((&thread["title"], &thread["user"]), (&json!("Which invoices are due?"), &json!("u")));
    let items = ok(api.get(&format!("/chatkit/threads/{}/items?order=asc", said.thread_id))).await?;
    let items = items["data"].as_array().context("no items")?;
    let ids: Vec<&Value> = items.iter().map(|item| &item["id"]).collect();
    assert_eq!(json!(ids), json!([said.item_ids.clone(), again.item_ids].concat()));
    let spoken: Vec<&Value> = items.iter().map(|item| &item["content"][0]["text"]).collect();
    let expected = [
        "Which invoices are due?",
        "Understood: Which invoices are due?",
        "And paid?",
        "Understood: And paid?",
    ];
    assert_eq!(json!(spoken), json!(expected));
    assert_eq!(items[0]["content"], json!([{"type": "input_text", "text": "Which invoices are due?"}]));
    Ok(())
}

// NAME: stand-in: a wrong message is refused
/// Secrets that are none, messages that are none, threads that are another's.
#[tokio::test]
async fn a_wrong_message_is_refused() -> Result<()> {
    let api = Api::start().await?;
    let (own, other) = (api.session("u").await?, api.session("v").await?);
    let (own, other) = (text(&own, "client_secret")?, text(&other, "client_secret")?);
    let theirs = api.standin.say(other, None, "hello").await?.thread_id;
    let closed = api.standin.put_thread_in("proj_1", "u", None, vec![]);
    api.standin.set_thread_status(&closed, ThreadStatus::Closed(None));

    let say = |secret: &str, body: Value| {
        api.bare(http_client::Method::POST, "/../stand-in/say").bearer_auth(secret).json(&body)
    };
    let unauthorized = (401, Some("invalid_client_secret"), None);
    let rows = vec![
        ("an unknown secret", say("ek_unknown", json!({"text": "hello"})), unauthorized),
        ("no secret", say("", json!({"text": "hello"})), unauthorized),
        ("an API key", say(KEY, json!({"text": "hello"})), unauthorized),
        ("no text", say(own, json!({})), (400, Some("missing_required_parameter"), Some("text"))),
        ("an empty text", say(own, json!({"text": ""})), (400, Some("empty_string"), Some("text"))),
        (
            "an unknown field",
            say(own, json!({"text": "t", "user": "v"})),
            (400, Some("unknown_parameter"), Some("user")),
        ),
        ("another user's thread", say(own, json!({"text": "t", "thread_id": theirs})), (404, None, None)),
        ("an unknown thread", say(own, json!({"text": "t", "thread_id": "cthr_9"})), (404, None, None)),
        (
            "a closed thread",
            say(own, json!({"text": "t", "thread_id": closed})),
            (400, Some("thread_not_active"), None),
        ),
    ];
    all_refused(rows).await?;
    let key = api.get("/chatkit/threads").send().await?.status();
    let secret = api.with_key(own, http_client::Method::GET, "/chatkit/threads").send().await?.status();
    assert_eq!((key.as_u16(), secret.as_u16()), (200, 401), "a client secret is no API key");
    Ok(())
}

// NAME: stand-in: the latest version fails at the first message
/// A version that is none is taken at creation and fails at the first message.
#[tokio::test]
async fn the_latest_version_fails_at_the_first_message() -> Result<()> {
    let api = Api::start().await?;
    for (version, status) in [("1", None), ("latest", Some(400)), ("3", Some(400))] {
        let workflow = json!({"id": "wf_1", "version": version});
        let session = api.session_with(json!({"user": "u", "workflow": workflow})).await?;
        let said = api.standin.say(text(&session, "client_secret")?, None, "hello").await;
        assert_eq!(said.err().and_then(|e| e.status), status, "{version}");
    }
    let threads = ok(api.get("/chatkit/threads")).await?;
    assert_eq!(threads["data"].as_array().map(Vec::len), Some(1), "what failed left no thread");
    Ok(())
}

// NAME: stand-in: messages above the limit wait
/// A session's messages a minute are counted, and free again after that minute.
#[tokio::test]
async fn messages_above_the_limit_wait() -> Result<()> {
    let api = Api::start().await?;
    let limits = json!({"max_requests_per_1_minute": 2});
    let body = json!({"user": "u", "workflow": {"id": "wf_1"}, "rate_limits": limits});
    let (session, other) = (api.session_with(body).await?, api.session("u").await?);
    let secret = text(&session, "client_secret")?;
    for _ in 0..2 {
        api.standin.say(secret, None, "hello").await?;
    }
    let third = api.bare(http_client::Method::POST, "/../stand-in/say").bearer_auth(secret);
    let third = third.json(&json!({"text": "hello"})).send().await?;
    let wait: u64 = third.headers()["retry-after"].to_str()?.parse()?;
    assert_eq!(third.status(), 429);
    assert!((55..=60).contains(&wait), "{wait}");
    api.standin.say(text(&other, "client_secret")?, None, "a session of its own").await?;

    api.standin.set_clock_offset(Duration::from_secs(wait));
    api.standin.say(secret, None, "hello").await?;
    assert_eq!(api.standin.calls(On::Say).iter().filter(|c| c.status == Some(200)).count(), 4);
    Ok(())
}
