//! Sessions that the SDK creates and cancels.

use anyhow::Result;
use serde_json::{Value, json};

use super::{KEY, exact, sdk, start_fake};
use crate::support::skip;

#[tokio::test]
async fn create_and_cancel_return_every_field() -> Result<()> {
    skip::with_tools(async {
        let fake = start_fake().await?;
        let mut sdk = sdk(&fake, KEY, 0).await?;
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
        let request = json!({
            "user": "a user",
            "workflow": workflow,
            "expires_after": {"anchor": "created_at", "seconds": 300},
            "rate_limits": {"max_requests_per_1_minute": 6},
            "chatkit_configuration": configuration,
        });
        let full = exact(sdk.call("sessions.create", json!([]), request).await?, "ChatSession")?;
        let minimal = json!({"user": "a user", "workflow": {"id": "wf_1"}});
        let minimal = exact(sdk.call("sessions.create", json!([]), minimal).await?, "ChatSession")?;

        let sessions = fake.sessions();
        let expected = json!({
            "id": sessions[0].id,
            "object": "chatkit.session",
            "client_secret": sessions[0].client_secret.reveal(),
            "expires_at": sessions[0].expires_at,
            "status": "active",
            "user": "a user",
            "workflow": workflow,
            "rate_limits": {"max_requests_per_1_minute": 6},
            "max_requests_per_1_minute": 6,
            "chatkit_configuration": configuration,
        });
        assert_eq!(full, expected);
        assert_eq!((&minimal["id"], &minimal["workflow"]["version"]), (&json!(sessions[1].id), &Value::Null));

        let mut cancelled = expected;
        cancelled["status"] = json!("cancelled");
        let response = sdk.call("sessions.cancel", json!([sessions[0].id]), json!({})).await?;
        assert_eq!(exact(response, "ChatSession")?, cancelled);
        let again = sdk.call("sessions.cancel", json!([sessions[0].id]), json!({})).await?;
        assert_eq!(again.err().map(|error| error.class).as_deref(), Some("NotFoundError"));
        Ok(())
    })
    .await
}
