//! Sessions, as the SDK makes and cancels them.

use anyhow::Result;
use serde_json::{Value, json};

use super::{KEY, exact, sdk, standin};

// NAME: SDK: the SDK makes and cancels sessions
/// Sessions are made and cancelled, and every value comes back as it was put in.
#[tokio::test]
async fn the_sdk_makes_and_cancels_sessions() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 0).await?;
    let workflow = json!({
        "id": "wf_1",
        "version": "1",
        "state_variables": {"text": "ä", "whole": 7, "part": 0.5, "yes": true},
        "tracing": {"enabled": false},
    });
    let configuration = json!({
        "automatic_thread_titling": {"enabled": false},
        "file_upload": {"enabled": true, "max_file_size": 16, "max_files": 3},
        "history": {"enabled": true, "recent_threads": 4},
    });
    let wanted = json!({
        "user": "a user",
        "workflow": workflow,
        "expires_after": {"anchor": "created_at", "seconds": 300},
        "rate_limits": {"max_requests_per_1_minute": 6},
        "chatkit_configuration": configuration,
    });
    let full = exact(sdk.call("sessions.create", json!([]), wanted).await?, "ChatSession")?;
    let plain = json!({"user": "a user", "workflow": {"id": "wf_1"}});
    let plain = exact(sdk.call("sessions.create", json!([]), plain).await?, "ChatSession")?;

    let known = standin.sessions();
    let expected = json!({
        "id": known[0].id,
        "object": "chatkit.session",
        "client_secret": known[0].client_secret.reveal(),
        "expires_at": known[0].expires_at,
        "status": "active",
        "user": "a user",
        "workflow": workflow,
        "rate_limits": {"max_requests_per_1_minute": 6},
        "max_requests_per_1_minute": 6,
        "chatkit_configuration": configuration,
    });
    assert_eq!(full, expected);
    assert_eq!((&plain["id"], &plain["workflow"]["version"]), (&json!(known[1].id), &Value::Null));

    let mut cancelled = expected;
    cancelled["status"] = json!("cancelled");
    let answer = sdk.call("sessions.cancel", json!([known[0].id]), json!({})).await?;
    assert_eq!(exact(answer, "ChatSession")?, cancelled);
    let again = sdk.call("sessions.cancel", json!([known[0].id]), json!({})).await?;
    assert_eq!(again.err().map(|raised| raised.class).as_deref(), Some("NotFoundError"));
    Ok(())
}
