//! Cancellation of ChatKit sessions whose session has ended.

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
