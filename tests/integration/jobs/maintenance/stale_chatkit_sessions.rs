//! Cancellation of ChatKit sessions whose session has ended or whose request has failed.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation, SessionStatus};

use crate::jobs::maintenance::run_maintenance;
use crate::support::client::TestClient;

#[tokio::test]
async fn failed_cancellation_is_retried() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    stack.openai().add_fault(Fault::new(Operation::CancelSession).status(503));
    caller.cancel(&session).await?.expect(200)?;
    stack.openai().clear_faults();
    let report = run_maintenance(&stack).await?;
    ensure!(report["cancelledChatkit"] == 1, "{report}");
    ensure!(stack.openai().sessions().iter().all(|session| session.status == SessionStatus::Cancelled));
    Ok(())
}

/// The session is active. OpenAI's clock may be up to a minute slow.
#[tokio::test]
async fn failed_request_is_cancelled_until_a_minute_after_its_expiry() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.open_session().await?;
    let discard_secret = "update chatkit_sessions set sealed_secret = null, sealing_key_id = null";
    sqlx::query(discard_secret).execute(stack.database()).await?;
    for (failed, expired_seconds_ago, cancelled) in [(false, 30, 0), (true, 90, 0), (true, 30, 1)] {
        let update = "update chatkit_sessions set failed_at = case when $1 then now() end,
            expires_at = now() - make_interval(secs => $2)";
        sqlx::query(update)
            .bind(failed)
            .bind(f64::from(expired_seconds_ago))
            .execute(stack.database())
            .await?;
        let report = run_maintenance(&stack).await?;
        ensure!(
            report["cancelledChatkit"] == cancelled,
            "failed: {failed}, expired {expired_seconds_ago} s ago: expected {cancelled}, found {report}"
        );
    }
    let sessions = stack.openai().sessions();
    ensure!(sessions.iter().all(|session| session.status == SessionStatus::Cancelled), "{sessions:?}");
    Ok(())
}
