//! How a session ends: cancelled, or by its time.

use std::time::Duration;

use anyhow::Result;
use http_client::Method;
use local_stack::openai::SessionStatus;
use serde_json::json;

use super::{Api, OTHER_KEY, all_refused, ok, text};

// NAME: stand-in: a cancelled session is dead
/// Cancelling answers the session, kills its secret, and works once.
#[tokio::test]
async fn a_cancelled_session_is_dead() -> Result<()> {
    let api = Api::start().await?;
    let session = api.session("u").await?;
    let (id, secret) = (text(&session, "id")?, text(&session, "client_secret")?);
    let path = format!("/chatkit/sessions/{id}/cancel");
    let gone = (404, None, None);
    all_refused(vec![("another project's cancel", api.with_key(OTHER_KEY, Method::POST, &path), gone)])
        .await?;
    api.standin.say(secret, None, "still alive").await?;

    let mut expected = session.clone();
    expected["status"] = json!("cancelled");
    assert_eq!(ok(api.post(&path)).await?, expected);
    assert_eq!(api.standin.sessions()[0].status, SessionStatus::Cancelled);
    let refused = api.standin.say(secret, None, "hello?").await.err().and_then(|e| e.status);
    assert_eq!(refused, Some(401));

    let rows = vec![
        ("cancelling again", api.post(&path), gone),
        ("cancelling what never was", api.post("/chatkit/sessions/cksess_9/cancel"), gone),
    ];
    all_refused(rows).await
}

// NAME: stand-in: a session expires
/// A session lives as long as was asked for, to the second.
#[tokio::test]
async fn a_session_expires() -> Result<()> {
    let api = Api::start().await?;
    let body = json!({"user": "u", "workflow": {"id": "wf_1"}, "expires_after": {"anchor": "created_at", "seconds": 60}});
    let session = api.session_with(body).await?;
    let (id, secret) = (text(&session, "id")?, text(&session, "client_secret")?);

    api.standin.set_clock_offset(Duration::from_secs(50));
    api.standin.say(secret, None, "still alive").await?;
    api.standin.set_clock_offset(Duration::from_secs(60));
    let refused = api.standin.say(secret, None, "hello?").await.err();
    assert_eq!(refused.as_ref().and_then(|e| e.status), Some(401));
    assert_eq!(refused.map(|e| e.body["error"]["code"].clone()), Some(json!("invalid_client_secret")));
    assert_eq!(api.standin.sessions()[0].status, SessionStatus::Expired);
    let cancel = api.post(&format!("/chatkit/sessions/{id}/cancel"));
    all_refused(vec![("cancelling what expired", cancel, (404, None, None))]).await
}

// NAME: stand-in: a session expires on order
/// A test need not wait: it ends a session's time itself.
#[tokio::test]
async fn a_session_expires_on_order() -> Result<()> {
    let api = Api::start().await?;
    let (first, second) = (api.session("u").await?, api.session("u").await?);
    assert!(api.standin.expire(text(&first, "id")?));
    assert!(!api.standin.expire("cksess_9"));
    let statuses: Vec<SessionStatus> = api.standin.sessions().iter().map(|s| s.status).collect();
    assert_eq!(statuses, [SessionStatus::Expired, SessionStatus::Active]);
    api.standin.say(text(&second, "client_secret")?, None, "hello").await?;
    Ok(())
}
