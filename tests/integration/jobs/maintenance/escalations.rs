//! Expiry of escalations, and sessions with an open one.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::json;

use crate::jobs::maintenance::{backdate_activity, run_maintenance};
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn open_escalation_keeps_idle_session_active_until_it_expires() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let escalation =
        json!({ "reason": "Which account?", "decisions": ["respond"], "expiresInSeconds": 3600 });
    caller.record_event(&session_path(&session), "hitl_escalation", escalation).await?.expect(201)?;
    backdate_activity(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 0, "the session ended during the escalation: {report}");
    sqlx::query("update chat_escalations set created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'")
        .execute(stack.database())
        .await?;
    ensure!(run_maintenance(&stack).await?["expiredEscalations"] == 1);
    backdate_activity(&stack, &session).await?;
    ensure!(run_maintenance(&stack).await?["expiredSessions"] == 1);
    Ok(())
}
