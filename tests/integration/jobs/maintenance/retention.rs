//! Retention: what ended longer ago than its organisation keeps it goes with a run.

use anyhow::{Context, Result, ensure};
use local_stack::World;
use local_stack::openai::{Fault, On};
use serde_json::{Value, json};

use crate::jobs::erasure::{count, fixture, fixture_rows};
use crate::jobs::maintenance::idle_sessions::tick;
use crate::support::client::{Caller, path};

async fn keep(world: &World, org_of: &Caller, days: i32) -> Result<()> {
    let (status, answer) =
        world.rpc("set_retention", json!({ "p_org_id": org_of.user.org_id, "p_keep_days": days })).await?;
    ensure!(status.is_success() && answer["retention"]["keep_days"] == days, "{answer}");
    Ok(())
}

// NAME: retention: sessions that are overdue go, younger and active ones stay
#[tokio::test]
async fn overdue() -> Result<()> {
    let world = World::start().await?;
    let (keeps, other) = (fixture::member(&world).await?, fixture::member(&world).await?);
    let young = fixture::colleague(&world, &keeps).await?;
    for person in [&keeps, &other, &young] {
        fixture::live(&world, person).await?;
        tick(&world).await?;
    }
    fixture::ended_before(&world, &keeps, 31).await?;
    fixture::ended_before(&world, &other, 3100).await?;
    fixture::ended_before(&world, &young, 29).await?;
    let before = fixture_rows::all(&world).await?;
    ensure!(tick(&world).await?["erasedSessions"] == 0, "nobody has said for how long to keep them");
    keep(&world, &keeps, 30).await?;
    let report = tick(&world).await?;
    ensure!(report["erasedSessions"] == 1 && report["sessionEraseFailures"] == 0, "{report}");
    ensure!(report["deletedThreads"] == 1, "{report}");

    let after = fixture_rows::all(&world).await?;
    ensure!(count(&world, "select count(*) from chat_sessions where status = 'ended'").await? == 2);
    for table in ["chat_events", "chat_messages", "deliveries", "chat_escalations", "chatkit_sessions"] {
        let rows = |of: &fixture_rows::Rows, whose: &Caller| {
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
    let again = tick(&world).await?;
    ensure!(again["erasedSessions"] == 0 && again["deletedThreads"] == 0, "{again}");
    Ok(())
}

// NAME: retention: a thread that a remaining session links stays, and so does another one's
#[tokio::test]
async fn threads() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    let other = fixture::colleague(&world, &person).await?;
    let said = async |caller: &Caller, session: &Value| -> Result<String> {
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        let said = world.chatkit().say(secret, None, "Hello").await?.thread_id;
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
    fixture::ended_before(&world, &person, 2).await?;
    keep(&world, &person, 1).await?;
    let report = tick(&world).await?;
    ensure!(report["erasedSessions"] == 2 && report["deletedThreads"] == 2, "{report}");
    let name = fixture::chatkit_user(&world, &person).await?;
    ensure!(world.chatkit().threads_of(&name) == [shared], "{:?}", world.chatkit().threads_of(&name));
    let others = fixture::chatkit_user(&world, &other).await?;
    ensure!(world.chatkit().threads_of(&others) == [foreign], "another one's thread is gone");
    Ok(())
}

// NAME: retention: who claimed too early erases nothing
/// What was overdue when it was claimed, and is kept longer now; and what never was.
#[tokio::test]
async fn still_kept() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    let (over, active) = (person.open().await?, person.open().await?);
    person.cancel(&path(&over)).await?.expect(200)?;
    fixture::ended_before(&world, &person, 20).await?;
    let erase = async |session: &Value| {
        let of = json!({ "p_org_id": person.user.org_id, "p_session_id": session["id"] });
        Ok::<_, anyhow::Error>(world.rpc("erase_overdue_session", of).await?.1)
    };
    let kept = json!({ "erased": false, "overdue": false, "wait_seconds": 0 });
    for days in [None, Some(21)] {
        if let Some(days) = days {
            keep(&world, &person, days).await?;
        }
        ensure!(erase(&over).await? == kept && erase(&active).await? == kept, "kept for {days:?} days");
    }
    keep(&world, &person, 19).await?;
    ensure!(erase(&active).await? == kept && erase(&over).await?["erased"] == true);
    for days in [0, -1, 40_000] {
        let (status, answer) = world
            .rpc("set_retention", json!({ "p_org_id": person.user.org_id, "p_keep_days": days }))
            .await?;
        ensure!(status == 422 && answer["message"] == "invalid_retention", "{answer}");
    }
    Ok(())
}

// NAME: retention: with ChatKit down nothing goes, and later it does
#[tokio::test]
async fn chatkit_down() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    fixture::live(&world, &person).await?;
    tick(&world).await?;
    fixture::ended_before(&world, &person, 2).await?;
    keep(&world, &person, 1).await?;
    world.chatkit().fault(Fault::new(On::DeleteThread).status(503).should_retry(false));
    let report = tick(&world).await?;
    ensure!(report["erasedSessions"] == 0 && report["sessionEraseFailures"] == 1, "{report}");
    ensure!(count(&world, "select count(*) from chat_sessions where status = 'ended'").await? == 1);
    world.chatkit().clear_faults();
    ensure!(tick(&world).await?["erasedSessions"] == 0, "somebody is at it still");
    sqlx::query("update retention_leases set lease_until = now()").execute(world.database()).await?;
    ensure!(tick(&world).await?["erasedSessions"] == 1);
    Ok(())
}
