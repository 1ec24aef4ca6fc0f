//! What comes late: a call under way is waited for, and what is said after the end finds nothing to be said to.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{erase, fixture, fixture_rows};
use crate::jobs::maintenance::idle_sessions::run_maintenance;
use crate::support::client::{AGENT, path};

// NAME: erasure: a call under way comes to its end, and is erased then
#[tokio::test]
async fn waited_for() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let (_, call) = fixture::calling(&stack, &person).await?;
    let finishing = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let running: i64 =
            super::count(&stack, "select count(*) from deliveries where status = 'running'").await?;
        ensure!(running == 1, "the call was not waited for");
        stack.finish(&call, json!({ "kind": "completed", "message": "Paid" })).await
    };
    let (erased, finished) = tokio::join!(erase(&stack, &person), finishing);
    finished?;
    let erased = erased?;
    ensure!(erased["counts"]["messages"] == 1 && erased["counts"]["deliveries"] == 1, "{erased}");
    ensure!(fixture_rows::of(&fixture_rows::all(&stack).await?, &person).is_empty());
    Ok(())
}

// NAME: erasure: no row goes that knows of something alive at OpenAI
/// A ChatKit session that is not cancelled, and a request of which nobody has said yet what became of it.
#[tokio::test]
async fn alive() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let session = person.open().await?;
    let of_person = json!({ "p_org_id": person.user.org_id, "p_user_id": person.user.id });
    let with = |more: Value| {
        let mut arguments = of_person.clone();
        if let (Some(all), Some(more)) = (arguments.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        arguments
    };
    let request = json!({
        "p_session_id": session["id"], "p_purpose": "resume", "p_min_life_seconds": 3600,
        "p_chatkit_request_id": Uuid::now_v7(),
    });
    ensure!(stack.rpc("renew_chatkit_session", with(request)).await?.0.is_success());
    stack.rpc("begin_erasure", with(json!({ "p_requested_by": "ops", "p_reason": "a test" }))).await?;
    let batch = async || Ok::<_, anyhow::Error>(stack.rpc("erase_batch", of_person.clone()).await?.1);
    let (_, ended) = stack.rpc("end_erased_sessions", with(json!({ "p_limit": 10 }))).await?;
    ensure!(ended["sessions"][0]["chatkit_session_ids"].as_array().map(Vec::len) == Some(1), "{ended}");
    let waits = |batch: &Value, most: u64| {
        batch["rows"] == 0
            && batch["left"] == true
            && batch["wait_seconds"].as_u64().is_some_and(|s| s > most)
    };
    // Ten minutes and one, unless it is cancelled.
    ensure!(waits(&batch().await?, 500));
    let cancelled = "update chatkit_sessions set cancelled_at = now() where recorded_at is not null";
    sqlx::query(cancelled).execute(stack.database()).await?;
    let pending = batch().await?;
    ensure!(waits(&pending, 0) && !waits(&pending, 60), "{pending}");
    let (status, early) = stack.rpc("finish_erasure", of_person.clone()).await?;
    ensure!(status == 409 && early["message"] == "erasure_unfinished", "{early}");
    let settled = "update chatkit_sessions set failed_at = now() where recorded_at is null";
    sqlx::query(settled).execute(stack.database()).await?;
    ensure!(batch().await?["left"] == false);
    erase(&stack, &person).await?;
    Ok(())
}

// NAME: erasure: a secret that comes of it all the same is cancelled
/// OpenAI answers while the erasure waits for that, and whoever asked dies before cancelling.
#[tokio::test]
async fn secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let session = person.open().await?;
    let request = Uuid::now_v7();
    let of_session = |more: Value| {
        let mut arguments = json!({ "p_org_id": person.user.org_id, "p_session_id": session["id"] });
        if let (Some(all), Some(more)) = (arguments.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        arguments
    };
    let asked = of_session(json!({
        "p_user_id": person.user.id, "p_purpose": "resume", "p_min_life_seconds": 3600,
        "p_chatkit_request_id": request,
    }));
    ensure!(stack.rpc("renew_chatkit_session", asked).await?.0.is_success());
    let answer = of_session(json!({
        "p_chatkit_request_id": request, "p_chatkit_session_id": "cksess_late",
        "p_expires_at": Timestamp::now() + SignedDuration::from_mins(10), "p_sealed_secret": "s", "p_sealing_key_id": "k1",
    }));
    let answering = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let (status, recorded) = stack.rpc("record_chatkit_session", answer).await?;
        ensure!(status == 200 && recorded["recorded"] == false, "{status} {recorded}");
        Ok(())
    };
    let patient = tokio::time::timeout(Duration::from_secs(60), erase(&stack, &person));
    let (erased, answered) = tokio::join!(patient, answering);
    answered?;
    erased.context("nobody cancels it")??;
    let cancelled = stack.openai().calls(On::CancelSession);
    ensure!(cancelled.iter().any(|call| call.path.contains("cksess_late")), "{cancelled:?}");
    Ok(())
}

// NAME: erasure: nothing that comes late brings anything back
#[tokio::test]
async fn late() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let (session, call) = fixture::calling(&stack, &person).await?;
    let request = Uuid::now_v7();
    let (org, user) = (person.user.org_id, person.user.id);
    let asked = json!({
        "p_org_id": org, "p_user_id": user, "p_session_id": session, "p_purpose": "resume",
        "p_min_life_seconds": 3600, "p_chatkit_request_id": request,
    });
    ensure!(stack.rpc("renew_chatkit_session", asked).await?.0.is_success());
    // Neither will ever be told of: the call's lease is over, and so is the minute of the request.
    sqlx::query("update deliveries set lease_until = now()").execute(stack.database()).await?;
    sqlx::query("update chatkit_sessions set requested_at = now() - interval '2 minutes'")
        .execute(stack.database())
        .await?;
    erase(&stack, &person).await?;
    let before = fixture_rows::all(&stack).await?;

    let of_session = json!({ "p_org_id": org, "p_session_id": session });
    let with = |more: Value| {
        let mut arguments = of_session.clone();
        if let (Some(all), Some(more)) = (arguments.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        arguments
    };
    let outcome = json!({ "kind": "completed", "message": "Paid" });
    for (rpc, arguments, refusal) in [
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
        ("request_transcript", of_session.clone(), "session_not_found"),
        ("release_idle_session", with(json!({ "p_retry_after_seconds": 60 })), "session_not_found"),
        ("confirm_chatkit_cancelled", with(json!({ "p_chatkit_session_ids": [] })), "session_not_found"),
        (
            "cancel_session",
            with(json!({ "p_user_id": user, "p_idempotency_key": "late", "p_request_hash": "0".repeat(64) })),
            "session_not_found",
        ),
    ] {
        let (status, answer) = stack.rpc(rpc, arguments).await?;
        ensure!(status == 404 && answer["message"] == refusal, "{rpc}: {status} {answer}");
    }
    ensure!(fixture_rows::all(&stack).await? == before, "something came back");
    Ok(())
}

// NAME: erasure: runs go on though what they were about is gone
/// The runs that had something in hand hear that it is gone, and go on with the rest.
#[tokio::test]
async fn runs() -> Result<()> {
    let stack = LocalStack::start().await?;
    for ended in [false, true] {
        let person = fixture::member(&stack).await?;
        let session = person.open().await?;
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        let thread = stack.openai().say(secret, None, "Hello").await?.thread_id;
        person.record(&path(&session), "thread_changed", json!({ "threadId": thread })).await?.expect(201)?;
        if ended {
            person.cancel(&path(&session)).await?.expect(200)?;
        } else {
            crate::jobs::maintenance::idle_sessions::forget(&stack, &session).await?;
        }
        // It is looked at for being idle, or its transcript is fetched, and OpenAI takes its time.
        stack.openai().clear_faults();
        let slow = stack.openai().fault(Fault::new(On::ListItems).delay(Duration::from_secs(2)));
        let (run, erased) = tokio::join!(run_maintenance(&stack), soon(erase(&stack, &person)));
        let (run, _) = (run?, erased?);
        ensure!(stack.openai().hits(slow) == 1, "nothing was in hand");
        let done = ["transcriptMessages", "expiredSessions", "stillActive", "postponed"];
        ensure!(done.iter().all(|what| run[what] == 0), "nothing was cut short: {run}");
        ensure!(fixture_rows::of(&fixture_rows::all(&stack).await?, &person).is_empty());
    }
    Ok(())
}

// NAME: erasure: a router goes on though what it called for is gone
/// A router that took longer than its lease, and whose call's session is gone meanwhile.
#[tokio::test]
async fn router() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    stack
        .register_agent_tool(person.user.org_id, AGENT, json!({ "policy": "auto", "idempotent": true }))
        .await?;
    agent.fault(local_stack::agents::Fault::on_calls().delay(Duration::from_millis(4500)));
    let session = person.open().await?;
    fixture::click(&person, &path(&session)).await?;
    let erasing = async {
        let over = "update deliveries set lease_until = now() where status = 'running'";
        while sqlx::query(over).execute(stack.database()).await?.rows_affected() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        erase(&stack, &person).await
    };
    let (run, erased) = tokio::join!(stack.run_job("route-events"), erasing);
    let (run, erased) = (run?, erased?);
    ensure!(erased["counts"]["deliveries"] == 1 && agent.calls().len() == 1, "{erased}");
    ensure!(run["called"] == 1 && run["superseded"] == 1, "{run}");
    ensure!(fixture_rows::of(&fixture_rows::all(&stack).await?, &person).is_empty());
    Ok(())
}

/// When others have begun.
async fn soon<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::sleep(Duration::from_millis(700)).await;
    what.await
}
