use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, SessionStatus};
use serde_json::json;

use crate::jobs::maintenance::{backdate_activity, run_maintenance};
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn idle_session_is_expired_and_used_session_is_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (idle, used) = (caller.open_session().await?, caller.open_session().await?);
    backdate_activity(&stack, &idle).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 1 && report["cancelledChatkit"] == 1, "{report}");
    let shown = caller.get(&session_path(&idle)).await?.expect(200)?;
    ensure!(shown["status"] == "ended" && shown["endReason"] == "expired", "{shown:#}");
    let last = &shown["events"][0];
    ensure!(
        last["type"] == "session_ended"
            && last["actorType"] == "system"
            && last["payload"]["reason"] == "expired"
    );
    ensure!(caller.get(&session_path(&used)).await?.expect(200)?["status"] == "active");
    let active = stack
        .openai()
        .sessions()
        .into_iter()
        .filter(|session| session.status == SessionStatus::Active)
        .count();
    ensure!(active == 1, "expected 1 active ChatKit session, found {active}");
    ensure!(run_maintenance(&stack).await?["expiredSessions"] == 0);
    Ok(())
}

#[tokio::test]
async fn session_used_at_chatkit_stays_active() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let message = stack.openai().post_message(secret, None, "Still here").await?;
    caller
        .record_event(&session_path(&session), "thread_changed", json!({ "threadId": message.thread_id }))
        .await?
        .expect(201)?;
    backdate_activity(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["stillActive"] == 1 && report["expiredSessions"] == 0, "{report}");
    ensure!(caller.get(&session_path(&session)).await?.expect(200)?["status"] == "active");
    Ok(())
}

#[tokio::test]
async fn session_with_threads_is_postponed_while_openai_is_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    caller
        .record_event(&session_path(&session), "thread_changed", json!({ "threadId": "cthr_x" }))
        .await?
        .expect(201)?;
    backdate_activity(&stack, &session).await?;
    stack.openai().add_fault(Fault::everywhere().status(503));
    let report = run_maintenance(&stack).await?;
    ensure!(report["postponed"] == 1, "{report}");
    ensure!(caller.get(&session_path(&session)).await?.expect(200)?["status"] == "active");
    Ok(())
}
