//! Messages from the browser, with client secrets.

use std::time::Duration;

use anyhow::{Context, Result};
use local_stack::openai::{Operation, ThreadStatus};
use serde_json::{Value, json};

use super::{Api, KEY, check_rejections, ok, text};

#[tokio::test]
async fn thread_outlives_its_session() -> Result<()> {
    let api = Api::start().await?;
    let (first, second) = (api.session("u").await?, api.session("u").await?);
    let message =
        api.fake.post_message(text(&first, "client_secret")?, None, "Which invoices are due?").await?;
    api.fake.expire(text(&first, "id")?);
    let second_message =
        api.fake.post_message(text(&second, "client_secret")?, Some(&message.thread_id), "And paid?").await?;
    assert_eq!(second_message.thread_id, message.thread_id);

    let thread = ok(api.get(&format!("/chatkit/threads/{}", message.thread_id))).await?;
    assert_eq!((&thread["title"], &thread["user"]), (&json!("Which invoices are due?"), &json!("u")));
    let items = ok(api.get(&format!("/chatkit/threads/{}/items?order=asc", message.thread_id))).await?;
    let items = items["data"].as_array().context("the list has no items")?;
    let ids: Vec<&Value> = items.iter().map(|item| &item["id"]).collect();
    assert_eq!(json!(ids), json!([message.item_ids.clone(), second_message.item_ids].concat()));
    let texts: Vec<&Value> = items.iter().map(|item| &item["content"][0]["text"]).collect();
    let expected = [
        "Which invoices are due?",
        "Understood: Which invoices are due?",
        "And paid?",
        "Understood: And paid?",
    ];
    assert_eq!(json!(texts), json!(expected));
    assert_eq!(items[0]["content"], json!([{"type": "input_text", "text": "Which invoices are due?"}]));
    Ok(())
}

#[tokio::test]
async fn invalid_messages_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let (own, other) = (api.session("u").await?, api.session("v").await?);
    let (own, other) = (text(&own, "client_secret")?, text(&other, "client_secret")?);
    let theirs = api.fake.post_message(other, None, "hello").await?.thread_id;
    let closed = api.fake.put_thread_in("proj_1", "u", None, vec![]);
    api.fake.set_thread_status(&closed, ThreadStatus::Closed(None));

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
    check_rejections(rows).await?;
    let key = api.get("/chatkit/threads").send().await?.status();
    let secret = api.with_key(own, http_client::Method::GET, "/chatkit/threads").send().await?.status();
    assert_eq!((key.as_u16(), secret.as_u16()), (200, 401), "a client secret is not an API key");
    Ok(())
}

#[tokio::test]
async fn unknown_workflow_version_fails_at_first_message() -> Result<()> {
    let api = Api::start().await?;
    for (version, status) in [("1", None), ("latest", Some(400)), ("3", Some(400))] {
        let workflow = json!({"id": "wf_1", "version": version});
        let session = api.session_with(json!({"user": "u", "workflow": workflow})).await?;
        let message = api.fake.post_message(text(&session, "client_secret")?, None, "hello").await;
        assert_eq!(message.err().and_then(|e| e.status), status, "{version}");
    }
    let threads = ok(api.get("/chatkit/threads")).await?;
    assert_eq!(
        threads["data"].as_array().map(Vec::len),
        Some(1),
        "expected no thread of the failed messages"
    );
    Ok(())
}

#[tokio::test]
async fn messages_above_rate_limit_return_429() -> Result<()> {
    let api = Api::start().await?;
    let limits = json!({"max_requests_per_1_minute": 2});
    let body = json!({"user": "u", "workflow": {"id": "wf_1"}, "rate_limits": limits});
    let (session, other) = (api.session_with(body).await?, api.session("u").await?);
    let secret = text(&session, "client_secret")?;
    for _ in 0..2 {
        api.fake.post_message(secret, None, "hello").await?;
    }
    let third = api.bare(http_client::Method::POST, "/../stand-in/say").bearer_auth(secret);
    let third = third.json(&json!({"text": "hello"})).send().await?;
    let wait: u64 = third.headers()["retry-after"].to_str()?.parse()?;
    assert_eq!(third.status(), 429);
    assert!((55..=60).contains(&wait), "{wait}");
    api.fake.post_message(text(&other, "client_secret")?, None, "a session of its own").await?;

    api.fake.set_clock_offset(Duration::from_secs(wait));
    api.fake.post_message(secret, None, "hello").await?;
    assert_eq!(api.fake.calls(Operation::PostMessage).iter().filter(|c| c.status == Some(200)).count(), 4);
    Ok(())
}
