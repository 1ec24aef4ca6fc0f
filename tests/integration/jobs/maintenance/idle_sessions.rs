//! Expiry: idle sessions end, used ones do not, and what was left behind is put right.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On, SessionStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, path};

/// One tick of the scheduler.
pub async fn run_maintenance(stack: &LocalStack) -> Result<Value> {
    stack.run_job("expire-sessions").await
}

/// Makes a session look as if nothing had happened for two days.
pub async fn forget(stack: &LocalStack, session: &Value) -> Result<()> {
    let id: Uuid = session["id"].as_str().context("no id")?.parse()?;
    sqlx::query("update chat_sessions set last_activity_at = now() - interval '2 days' where id = $1")
        .bind(id)
        .execute(stack.database())
        .await?;
    Ok(())
}

// NAME: expiry: an idle session ends with its secrets, a used one does not
#[tokio::test]
async fn idle() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (idle, used) = (caller.open().await?, caller.open().await?);
    forget(&stack, &idle).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 1 && report["cancelledChatkit"] == 1, "{report}");
    let shown = caller.get(&path(&idle)).await?.expect(200)?;
    ensure!(shown["status"] == "ended" && shown["endReason"] == "expired", "{shown:#}");
    let last = &shown["events"][0];
    ensure!(
        last["type"] == "session_ended"
            && last["actorType"] == "system"
            && last["payload"]["reason"] == "expired"
    );
    ensure!(caller.get(&path(&used)).await?.expect(200)?["status"] == "active");
    let alive = stack
        .openai()
        .sessions()
        .into_iter()
        .filter(|session| session.status == SessionStatus::Active)
        .count();
    ensure!(alive == 1, "{alive} ChatKit sessions are alive");
    ensure!(run_maintenance(&stack).await?["expiredSessions"] == 0);
    Ok(())
}

// NAME: expiry: a session in use at ChatKit goes on
#[tokio::test]
async fn used_at_chatkit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let said = stack.openai().say(secret, None, "Still here").await?;
    caller
        .record(&path(&session), "thread_changed", json!({ "threadId": said.thread_id }))
        .await?
        .expect(201)?;
    forget(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["stillActive"] == 1 && report["expiredSessions"] == 0, "{report}");
    ensure!(caller.get(&path(&session)).await?.expect(200)?["status"] == "active");
    Ok(())
}

// NAME: expiry: with ChatKit down a session with threads is postponed
#[tokio::test]
async fn postponed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    caller.record(&path(&session), "thread_changed", json!({ "threadId": "cthr_x" })).await?.expect(201)?;
    forget(&stack, &session).await?;
    stack.openai().fault(Fault::everywhere().status(503));
    let report = run_maintenance(&stack).await?;
    ensure!(report["postponed"] == 1, "{report}");
    ensure!(caller.get(&path(&session)).await?.expect(200)?["status"] == "active");
    Ok(())
}

// NAME: expiry: an open escalation pauses it, until its own time is over
#[tokio::test]
async fn escalation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let ask = json!({ "reason": "Which account?", "decisions": ["respond"], "expiresInSeconds": 3600 });
    caller.record(&path(&session), "hitl_escalation", ask).await?.expect(201)?;
    forget(&stack, &session).await?;
    ensure!(
        run_maintenance(&stack).await?["expiredSessions"] == 0,
        "a session ended while a person was asked"
    );
    sqlx::query("update chat_escalations set created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'")
        .execute(stack.database())
        .await?;
    ensure!(run_maintenance(&stack).await?["expiredEscalations"] == 1);
    forget(&stack, &session).await?;
    ensure!(run_maintenance(&stack).await?["expiredSessions"] == 1);
    Ok(())
}

// NAME: expiry: what could not be cancelled at ChatKit is tried again
#[tokio::test]
async fn tried_again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    stack.openai().fault(Fault::new(On::CancelSession).status(503));
    caller.cancel(&session).await?.expect(200)?;
    stack.openai().clear_faults();
    let report = run_maintenance(&stack).await?;
    ensure!(report["cancelledChatkit"] == 1, "{report}");
    ensure!(stack.openai().sessions().iter().all(|session| session.status == SessionStatus::Cancelled));
    Ok(())
}

// NAME: expiry: a request whose process died is settled
#[tokio::test]
async fn settled() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    // As a process leaves it that dies while OpenAI is asked: opened and requested in one transaction, five minutes ago.
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
    ensure!(caller.get(&path(&session)).await?.expect(200)?["endReason"] == "failed");
    Ok(())
}

// NAME: expiry: Supabase down makes the run fail loudly
#[tokio::test]
async fn fails_loudly() -> Result<()> {
    let stack = LocalStack::start().await?;
    run_maintenance(&stack).await?;
    stack.supabase().fault(local_stack::supabase::Fault::Down).await;
    ensure!(run_maintenance(&stack).await.is_err(), "nobody would have noticed");
    Ok(())
}

// NAME: expiry: what was said at ChatKit is copied into the transcript, once
#[tokio::test]
async fn transcript() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let said = stack.openai().say(secret, None, "Is invoice 42 paid?").await?;
    let stranger = TestClient::new(&stack).await?;
    let theirs = stranger.open().await?;
    let their_secret = theirs["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let secretly = stack.openai().say(their_secret, None, "Our margins are thin").await?;
    for thread in [&said.thread_id, &secretly.thread_id] {
        caller.record(&path(&session), "thread_changed", json!({ "threadId": thread })).await?.expect(201)?;
    }
    // Wanted while it goes on, it is copied so far, and the rest when it has ended.
    let wanted = json!({ "p_org_id": caller.user.org_id, "p_session_id": session["id"] });
    ensure!(stack.rpc("request_transcript", wanted).await?.1["threads"] == 2);
    let report = run_maintenance(&stack).await?;
    ensure!(report["transcriptMessages"] == 2, "{report}");
    stack.openai().say(secret, Some(&said.thread_id), "And invoice 43?").await?;
    caller.cancel(&path(&session)).await?.expect(200)?;
    stack.openai().fault(Fault::new(On::ListItems).status(503).should_retry(false));
    ensure!(run_maintenance(&stack).await?["transcriptMessages"] == 0);
    stack.openai().clear_faults();
    sqlx::query("update transcripts_due set due_at = now()").execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["transcriptMessages"] == 2, "{report}");
    let messages = caller.get(&format!("{}/messages", path(&session))).await?.expect(200)?;
    let messages = messages["messages"].as_array().context("no messages")?;
    ensure!(messages.len() == 4 && messages[0]["content"] == "Is invoice 42 paid?", "{messages:#?}");
    ensure!(messages[0]["role"] == "user" && messages[1]["role"] == "agent", "{messages:#?}");
    ensure!(run_maintenance(&stack).await?["transcriptMessages"] == 0);
    Ok(())
}
