//! Requests to OpenAI whose result was never recorded.

use anyhow::{Result, ensure};
use local_stack::LocalStack;

use crate::jobs::maintenance::run_maintenance;
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn abandoned_request_ends_its_new_session_as_failed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    // The state that a process leaves if it ends while it waits for OpenAI: the session and its
    // request have the same time.
    for statement in [
        "alter table chat_sessions disable trigger user",
        "update chat_sessions set created_at = timestamptz '2026-01-01', last_activity_at = now()",
        "update chatkit_sessions set chatkit_session_id = null, recorded_at = null, expires_at = null,
             sealed_secret = null, sealing_key_id = null, requested_at = timestamptz '2026-01-01'",
        "alter table chat_sessions enable trigger user",
    ] {
        sqlx::query(statement).execute(stack.database()).await?;
    }
    let report = run_maintenance(&stack).await?;
    ensure!(report["abandonedRequests"] == 1 && report["failedSessions"] == 1, "{report}");
    ensure!(caller.get(&session_path(&session)).await?.expect(200)?["endReason"] == "failed");
    Ok(())
}
