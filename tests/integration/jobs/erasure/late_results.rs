//! Results that arrive while a user is erased, or afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Operation};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{count, erase, fixture, table_rows};
use crate::jobs::maintenance::{backdate_activity, run_maintenance};
use crate::support::client::{AGENT, session_path};

#[tokio::test]
async fn erasure_waits_for_a_running_call_and_erases_its_result() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let (_, call) = fixture::open_with_running_call(&stack, &member).await?;
    let finishing = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let running: i64 = count(&stack, "select count(*) from deliveries where status = 'running'").await?;
        ensure!(running == 1, "the erasure did not wait for the running call");
        stack.finish_delivery(&call, json!({ "kind": "completed", "message": "Paid" })).await
    };
    let (erased, finished) = tokio::join!(erase(&stack, &member), finishing);
    finished?;
    let erased = erased?;
    ensure!(erased["counts"]["messages"] == 1 && erased["counts"]["deliveries"] == 1, "{erased}");
    ensure!(table_rows::of_user(&table_rows::read_all(&stack).await?, &member).is_empty());
    Ok(())
}

/// One ChatKit session is not cancelled, and the result of one request is not recorded.
#[tokio::test]
async fn erase_batch_keeps_rows_with_live_chatkit_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let session = member.open_session().await?;
    let user_arguments = json!({ "p_org_id": member.user.org_id, "p_user_id": member.user.id });
    let with = |more: Value| with_fields(&user_arguments, &more);
    let request = json!({
        "p_session_id": session["id"], "p_purpose": "resume", "p_min_life_seconds": 3600,
        "p_chatkit_request_id": Uuid::now_v7(), "p_providers": ["openai_hosted"],
    });
    ensure!(stack.rpc("renew_chatkit_session", with(request)).await?.0.is_success());
    stack.rpc("begin_erasure", with(json!({ "p_requested_by": "ops", "p_reason": "a test" }))).await?;
    let batch = async || Ok::<_, anyhow::Error>(stack.rpc("erase_batch", user_arguments.clone()).await?.1);
    let (_, ended) = stack.rpc("end_erased_sessions", with(json!({ "p_limit": 10 }))).await?;
    ensure!(ended["sessions"][0]["chatkit_session_ids"].as_array().map(Vec::len) == Some(1), "{ended}");
    let waits_longer_than = |batch: &Value, seconds: u64| {
        batch["rows"] == 0
            && batch["left"] == true
            && batch["wait_seconds"].as_u64().is_some_and(|wait| wait > seconds)
    };
    // A ChatKit session that is not cancelled lives for ten minutes; the erasure adds one.
    let pending = batch().await?;
    ensure!(waits_longer_than(&pending, 500), "{pending}");
    let cancelled = "update chatkit_sessions set cancelled_at = now() where recorded_at is not null";
    sqlx::query(cancelled).execute(stack.database()).await?;
    let pending = batch().await?;
    ensure!(waits_longer_than(&pending, 0) && !waits_longer_than(&pending, 60), "{pending}");
    let (status, early) = stack.rpc("finish_erasure", user_arguments.clone()).await?;
    ensure!(status == 409 && early["message"] == "erasure_unfinished", "{early}");
    let failed = "update chatkit_sessions set failed_at = now() where recorded_at is null";
    sqlx::query(failed).execute(stack.database()).await?;
    ensure!(batch().await?["left"] == false);
    erase(&stack, &member).await?;
    Ok(())
}

/// OpenAI responds while the erasure waits. The requesting process ends before it cancels the
/// secret.
#[tokio::test]
async fn secret_recorded_during_erasure_is_cancelled() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let session = member.open_session().await?;
    let request = Uuid::now_v7();
    let session_arguments = json!({ "p_org_id": member.user.org_id, "p_session_id": session["id"] });
    let with = |more: Value| with_fields(&session_arguments, &more);
    let renewal = with(json!({
        "p_user_id": member.user.id, "p_purpose": "resume", "p_min_life_seconds": 3600,
        "p_chatkit_request_id": request, "p_providers": ["openai_hosted"],
    }));
    ensure!(stack.rpc("renew_chatkit_session", renewal).await?.0.is_success());
    let result = with(json!({
        "p_chatkit_request_id": request, "p_chatkit_session_id": "cksess_late",
        "p_expires_at": Timestamp::now() + SignedDuration::from_mins(10), "p_sealed_secret": "s", "p_sealing_key_id": "k1",
    }));
    let recording = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let (status, recorded) = stack.rpc("record_chatkit_session", result).await?;
        ensure!(status == 200 && recorded["recorded"] == false, "{status} {recorded}");
        Ok(())
    };
    let erasing = tokio::time::timeout(Duration::from_secs(60), erase(&stack, &member));
    let (erased, recorded) = tokio::join!(erasing, recording);
    recorded?;
    erased.context("the erasure did not end within 60 seconds")??;
    let cancelled = stack.openai().calls(Operation::CancelSession);
    ensure!(cancelled.iter().any(|call| call.path.contains("cksess_late")), "{cancelled:?}");
    Ok(())
}

#[tokio::test]
async fn results_recorded_after_erasure_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let (session, call) = fixture::open_with_running_call(&stack, &member).await?;
    let request = Uuid::now_v7();
    let (org, user) = (member.user.org_id, member.user.id);
    let renewal = json!({
        "p_org_id": org, "p_user_id": user, "p_session_id": session, "p_purpose": "resume",
        "p_min_life_seconds": 3600, "p_chatkit_request_id": request, "p_providers": ["openai_hosted"],
    });
    ensure!(stack.rpc("renew_chatkit_session", renewal).await?.0.is_success());
    // The call's lease and the minute of the request have passed, so the erasure waits for neither.
    sqlx::query("update deliveries set lease_until = now()").execute(stack.database()).await?;
    sqlx::query("update chatkit_sessions set requested_at = now() - interval '2 minutes'")
        .execute(stack.database())
        .await?;
    erase(&stack, &member).await?;
    let before = table_rows::read_all(&stack).await?;

    let session_arguments = json!({ "p_org_id": org, "p_session_id": session });
    let with = |more: Value| with_fields(&session_arguments, &more);
    let outcome = json!({ "kind": "completed", "message": "Paid" });
    for (rpc, arguments, error) in [
        (
            "finish_delivery",
            json!({ "p_delivery_id": call["id"], "p_fence": call["fence"], "p_outcome": outcome }),
            "delivery_not_found",
        ),
        (
            "record_chatkit_session",
            with(json!({
                "p_chatkit_request_id": request, "p_chatkit_session_id": "cksess_late",
                "p_expires_at": "2030-01-01T00:00:00Z", "p_sealed_secret": "s", "p_sealing_key_id": "k1",
            })),
            "session_not_found",
        ),
        (
            "fail_chatkit_session",
            with(json!({ "p_chatkit_request_id": request, "p_end_session": true })),
            "session_not_found",
        ),
        ("record_messages", with(json!({ "p_messages": [] })), "session_not_found"),
        ("record_tasks", with(json!({ "p_tasks": [] })), "session_not_found"),
        ("record_thread_items", with(json!({ "p_thread_id": "cthr_1", "p_items": [] })), "session_not_found"),
        ("finish_transcript", with(json!({ "p_retry_after_seconds": 60 })), "session_not_found"),
        ("request_transcript", session_arguments.clone(), "session_not_found"),
        ("release_idle_session", with(json!({ "p_retry_after_seconds": 60 })), "session_not_found"),
        ("confirm_chatkit_cancelled", with(json!({ "p_chatkit_session_ids": [] })), "session_not_found"),
        (
            "cancel_session",
            with(json!({ "p_user_id": user, "p_idempotency_key": "late", "p_request_hash": "0".repeat(64) })),
            "session_not_found",
        ),
    ] {
        let (status, answer) = stack.rpc(rpc, arguments).await?;
        ensure!(status == 404 && answer["message"] == error, "{rpc}: {status} {answer}");
    }
    ensure!(table_rows::read_all(&stack).await? == before, "the late results changed rows");
    Ok(())
}

#[tokio::test]
async fn maintenance_continues_after_its_session_is_erased() -> Result<()> {
    let stack = LocalStack::start().await?;
    for ended in [false, true] {
        let member = fixture::member(&stack).await?;
        let session = member.open_session().await?;
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        let thread = stack.openai().post_message(secret, None, "Hello").await?.thread_id;
        member
            .record_event(&session_path(&session), "thread_changed", json!({ "threadId": thread }))
            .await?
            .expect(201)?;
        if ended {
            member.cancel(&session_path(&session)).await?.expect(200)?;
        } else {
            backdate_activity(&stack, &session).await?;
        }
        // The run lists the thread's items, either to check for activity or to copy the transcript.
        stack.openai().clear_faults();
        let slow = stack.openai().add_fault(Fault::new(Operation::ListItems).delay(Duration::from_secs(2)));
        let (run, erased) = tokio::join!(run_maintenance(&stack), after_delay(erase(&stack, &member)));
        let (run, _) = (run?, erased?);
        ensure!(stack.openai().hits(slow) == 1, "the run did not list the thread's items");
        let counters = ["transcriptMessages", "expiredSessions", "stillActive", "postponed"];
        ensure!(counters.iter().all(|counter| run[counter] == 0), "the session was still processed: {run}");
        ensure!(table_rows::of_user(&table_rows::read_all(&stack).await?, &member).is_empty());
    }
    Ok(())
}

/// The call takes longer than its lease, and its session is erased meanwhile.
#[tokio::test]
async fn dispatcher_continues_after_its_delivery_is_erased() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    stack
        .register_agent_tool(member.user.org_id, AGENT, json!({ "policy": "auto", "idempotent": true }))
        .await?;
    agent.add_fault(local_stack::agents::Fault::on_calls().delay(Duration::from_millis(4500)));
    let session = member.open_session().await?;
    fixture::record_click(&member, &session_path(&session)).await?;
    let erasing = async {
        let expire_lease = "update deliveries set lease_until = now() where status = 'running'";
        while sqlx::query(expire_lease).execute(stack.database()).await?.rows_affected() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        erase(&stack, &member).await
    };
    let (run, erased) = tokio::join!(stack.run_job("route-events"), erasing);
    let (run, erased) = (run?, erased?);
    ensure!(erased["counts"]["deliveries"] == 1 && agent.calls().len() == 1, "{erased}");
    ensure!(run["called"] == 1 && run["superseded"] == 1, "{run}");
    ensure!(table_rows::of_user(&table_rows::read_all(&stack).await?, &member).is_empty());
    Ok(())
}

/// Starts `work` once the other futures have made their first request.
async fn after_delay<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::sleep(Duration::from_millis(700)).await;
    work.await
}

/// Returns `arguments` with additional fields.
fn with_fields(arguments: &Value, fields: &Value) -> Value {
    let mut arguments = arguments.clone();
    if let (Some(arguments), Some(fields)) = (arguments.as_object_mut(), fields.as_object()) {
        arguments.extend(fields.clone());
    }
    arguments
}
