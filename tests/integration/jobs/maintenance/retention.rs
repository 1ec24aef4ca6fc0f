//! Retention: what ended longer ago than its organisation keeps it goes with a run.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, On};
use serde_json::{Value, json};

use crate::jobs::erasure::{count, fixture, fixture_rows};
use crate::jobs::maintenance::idle_sessions::run_maintenance;
use crate::support::client::{TestClient, path};

async fn keep(stack: &LocalStack, org_of: &TestClient, days: i32) -> Result<()> {
    let (status, answer) =
        stack.rpc("set_retention", json!({ "p_org_id": org_of.user.org_id, "p_keep_days": days })).await?;
    ensure!(status.is_success() && answer["retention"]["keep_days"] == days, "{answer}");
    Ok(())
}

// NAME: retention: sessions that are overdue go, younger and active ones stay
#[tokio::test]
async fn overdue() -> Result<()> {
    let stack = LocalStack::start().await?;
    let (keeps, other) = (fixture::member(&stack).await?, fixture::member(&stack).await?);
    let young = fixture::colleague(&stack, &keeps).await?;
    for person in [&keeps, &other, &young] {
        fixture::live(&stack, person).await?;
        run_maintenance(&stack).await?;
    }
    fixture::ended_before(&stack, &keeps, 31).await?;
    fixture::ended_before(&stack, &other, 3100).await?;
    fixture::ended_before(&stack, &young, 29).await?;
    let before = fixture_rows::all(&stack).await?;
    ensure!(
        run_maintenance(&stack).await?["erasedSessions"] == 0,
        "nobody has said for how long to keep them"
    );
    keep(&stack, &keeps, 30).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 1 && report["sessionEraseFailures"] == 0, "{report}");
    ensure!(report["deletedThreads"] == 1, "{report}");

    let after = fixture_rows::all(&stack).await?;
    ensure!(count(&stack, "select count(*) from chat_sessions where status = 'ended'").await? == 2);
    for table in ["chat_events", "chat_messages", "deliveries", "chat_escalations", "chatkit_sessions"] {
        let rows = |of: &fixture_rows::Rows, whose: &TestClient| {
            fixture_rows::of(of, whose).get(table).map_or(0, Vec::len)
        };
        for stays in [&other, &young] {
            ensure!(rows(&after, stays) == rows(&before, stays), "something of another's {table} is gone");
        }
        ensure!(rows(&after, &keeps) < rows(&before, &keeps), "nothing of {table} is gone");
    }
    let left = fixture_rows::of(&before, &keeps)["chat_sessions"]
        .iter()
        .find(|row| row["status"] == "ended")
        .cloned();
    let left = left.context("nothing had ended")?["id"].as_str().map(str::to_owned);
    let said = fixture_rows::mentioning(&after, &left.into_iter().collect::<Vec<_>>());
    ensure!(said.is_empty(), "{said:#?}");
    let again = run_maintenance(&stack).await?;
    ensure!(again["erasedSessions"] == 0 && again["deletedThreads"] == 0, "{again}");
    Ok(())
}

// NAME: retention: a thread that a remaining session links stays, and so does another one's
#[tokio::test]
async fn threads() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let other = fixture::colleague(&stack, &person).await?;
    let said = async |caller: &TestClient, session: &Value| -> Result<String> {
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        let said = stack.openai().say(secret, None, "Hello").await?.thread_id;
        caller.record(&path(session), "thread_changed", json!({ "threadId": said })).await?.expect(201)?;
        Ok(said)
    };
    let (first, second, stays) = (person.open().await?, person.open().await?, person.open().await?);
    let foreign = said(&other, &other.open().await?).await?;
    let (own, both, shared) =
        (said(&person, &first).await?, said(&person, &first).await?, said(&person, &first).await?);
    for (session, thread) in
        [(&second, &both), (&stays, &shared), (&first, &foreign), (&other.open().await?, &own)]
    {
        let caller = if thread == &own { &other } else { &person };
        caller.record(&path(session), "thread_changed", json!({ "threadId": thread })).await?.expect(201)?;
    }
    for session in [&first, &second] {
        person.cancel(&path(session)).await?.expect(200)?;
    }
    fixture::ended_before(&stack, &person, 2).await?;
    keep(&stack, &person, 1).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 2 && report["deletedThreads"] == 2, "{report}");
    let name = fixture::chatkit_user(&stack, &person).await?;
    ensure!(stack.openai().threads_of(&name) == [shared], "{:?}", stack.openai().threads_of(&name));
    let others = fixture::chatkit_user(&stack, &other).await?;
    ensure!(stack.openai().threads_of(&others) == [foreign], "another one's thread is gone");
    Ok(())
}

// NAME: retention: who claimed too early erases nothing
/// What was overdue when it was claimed, and is kept longer now; and what never was.
#[tokio::test]
async fn still_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let (over, active) = (person.open().await?, person.open().await?);
    person.cancel(&path(&over)).await?.expect(200)?;
    fixture::ended_before(&stack, &person, 20).await?;
    let erase = async |session: &Value| {
        let of = json!({ "p_org_id": person.user.org_id, "p_session_id": session["id"] });
        Ok::<_, anyhow::Error>(stack.rpc("erase_overdue_session", of).await?.1)
    };
    let kept = json!({ "erased": false, "overdue": false, "wait_seconds": 0 });
    for days in [None, Some(21)] {
        if let Some(days) = days {
            keep(&stack, &person, days).await?;
        }
        ensure!(erase(&over).await? == kept && erase(&active).await? == kept, "kept for {days:?} days");
    }
    keep(&stack, &person, 19).await?;
    ensure!(erase(&active).await? == kept && erase(&over).await?["erased"] == true);
    for days in [0, -1, 40_000] {
        let (status, answer) = stack
            .rpc("set_retention", json!({ "p_org_id": person.user.org_id, "p_keep_days": days }))
            .await?;
        ensure!(status == 422 && answer["message"] == "invalid_retention", "{answer}");
    }
    Ok(())
}

// NAME: retention: with ChatKit down nothing goes, and later it does
#[tokio::test]
async fn chatkit_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    fixture::live(&stack, &person).await?;
    run_maintenance(&stack).await?;
    fixture::ended_before(&stack, &person, 2).await?;
    keep(&stack, &person, 1).await?;
    stack.openai().fault(Fault::new(On::DeleteThread).status(503).should_retry(false));
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 0 && report["sessionEraseFailures"] == 1, "{report}");
    ensure!(count(&stack, "select count(*) from chat_sessions where status = 'ended'").await? == 1);
    stack.openai().clear_faults();
    ensure!(run_maintenance(&stack).await?["erasedSessions"] == 0, "somebody is at it still");
    sqlx::query("update retention_leases set lease_until = now()").execute(stack.database()).await?;
    ensure!(run_maintenance(&stack).await?["erasedSessions"] == 1);
    Ok(())
}
