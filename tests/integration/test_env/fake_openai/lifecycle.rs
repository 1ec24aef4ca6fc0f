//! The end of a session: cancellation or expiry.

use std::time::Duration;

use anyhow::Result;
use http_client::Method;
use local_stack::openai::SessionStatus;
use serde_json::json;

use super::{Api, OTHER_KEY, check_rejections, ok, text};

#[tokio::test]
async fn cancelled_session_rejects_its_secret() -> Result<()> {
    let api = Api::start().await?;
    let session = api.session("u").await?;
    let (id, secret) = (text(&session, "id")?, text(&session, "client_secret")?);
    let path = format!("/chatkit/sessions/{id}/cancel");
    let not_found = (404, None, None);
    check_rejections(vec![(
        "another project's cancel",
        api.with_key(OTHER_KEY, Method::POST, &path),
        not_found,
    )])
    .await?;
    api.fake.post_message(secret, None, "still alive").await?;

    let mut expected = session.clone();
    expected["status"] = json!("cancelled");
    assert_eq!(ok(api.post(&path)).await?, expected);
    assert_eq!(api.fake.sessions()[0].status, SessionStatus::Cancelled);
    let rejected = api.fake.post_message(secret, None, "hello?").await.err().and_then(|e| e.status);
    assert_eq!(rejected, Some(401));

    let rows = vec![
        ("cancelling again", api.post(&path), not_found),
        ("cancelling an unknown session", api.post("/chatkit/sessions/cksess_9/cancel"), not_found),
    ];
    check_rejections(rows).await
}

#[tokio::test]
async fn session_expires_after_requested_seconds() -> Result<()> {
    let api = Api::start().await?;
    let expiry = json!({"anchor": "created_at", "seconds": 60});
    let body = json!({"user": "u", "workflow": {"id": "wf_1"}, "expires_after": expiry});
    let session = api.session_with(body).await?;
    let (id, secret) = (text(&session, "id")?, text(&session, "client_secret")?);

    api.fake.set_clock_offset(Duration::from_secs(50));
    api.fake.post_message(secret, None, "still alive").await?;
    api.fake.set_clock_offset(Duration::from_secs(60));
    let rejected = api.fake.post_message(secret, None, "hello?").await.err();
    assert_eq!(rejected.as_ref().and_then(|e| e.status), Some(401));
    assert_eq!(rejected.map(|e| e.body["error"]["code"].clone()), Some(json!("invalid_client_secret")));
    assert_eq!(api.fake.sessions()[0].status, SessionStatus::Expired);
    let cancel = api.post(&format!("/chatkit/sessions/{id}/cancel"));
    check_rejections(vec![("cancelling an expired session", cancel, (404, None, None))]).await
}

#[tokio::test]
async fn expire_ends_only_the_given_session() -> Result<()> {
    let api = Api::start().await?;
    let (first, second) = (api.session("u").await?, api.session("u").await?);
    assert!(api.fake.expire(text(&first, "id")?));
    assert!(!api.fake.expire("cksess_9"));
    let statuses: Vec<SessionStatus> = api.fake.sessions().iter().map(|s| s.status).collect();
    assert_eq!(statuses, [SessionStatus::Expired, SessionStatus::Active]);
    api.fake.post_message(text(&second, "client_secret")?, None, "hello").await?;
    Ok(())
}
