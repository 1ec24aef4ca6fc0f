//! Copies of ChatKit's messages in the transcript.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation};
use serde_json::json;

use crate::jobs::maintenance::run_maintenance;
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn messages_of_chatkit_are_copied_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let message = stack.openai().post_message(secret, None, "Is invoice 42 paid?").await?;
    let other = TestClient::new(&stack).await?;
    let other_session = other.open_session().await?;
    let other_secret = other_session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let foreign_message = stack.openai().post_message(other_secret, None, "Our margins are thin").await?;
    for thread in [&message.thread_id, &foreign_message.thread_id] {
        caller
            .record_event(&session_path(&session), "thread_changed", json!({ "threadId": thread }))
            .await?
            .expect(201)?;
    }
    // A requested copy contains the messages so far. The rest is copied when the session has ended.
    let arguments = json!({ "p_org_id": caller.user.org_id, "p_session_id": session["id"] });
    ensure!(stack.rpc("request_transcript", arguments).await?.1["threads"] == 2);
    let report = run_maintenance(&stack).await?;
    ensure!(report["transcriptMessages"] == 2, "{report}");
    stack.openai().post_message(secret, Some(&message.thread_id), "And invoice 43?").await?;
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    stack.openai().add_fault(Fault::new(Operation::ListItems).status(503).should_retry(false));
    ensure!(run_maintenance(&stack).await?["transcriptMessages"] == 0);
    stack.openai().clear_faults();
    sqlx::query("update transcripts_due set due_at = now()").execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["transcriptMessages"] == 2, "{report}");
    let messages = caller.get(&format!("{}/messages", session_path(&session))).await?.expect(200)?;
    let messages = messages["messages"].as_array().context("no messages")?;
    ensure!(messages.len() == 4 && messages[0]["content"] == "Is invoice 42 paid?", "{messages:#?}");
    ensure!(messages[0]["role"] == "user" && messages[1]["role"] == "agent", "{messages:#?}");
    ensure!(run_maintenance(&stack).await?["transcriptMessages"] == 0);
    Ok(())
}
