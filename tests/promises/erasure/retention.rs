//! Retention: what ended longer ago than its organisation keeps it goes with a run.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use local_stack::{
    World,
    chatkit::{Fault, On},
};
use serde_json::{Value, json};

use super::{count, person, rows};
use crate::{
    caller::{Caller, path},
    expiry::tick,
    harness::trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("retention: sessions that are overdue go, younger and active ones stay", overdue),
        trial("retention: a thread that a remaining session links stays, and so does another one's", threads),
        trial("retention: who claimed too early erases nothing", still_kept),
        trial("retention: with ChatKit down nothing goes, and later it does", chatkit_down),
    ]
}

async fn keep(world: &World, org_of: &Caller, days: i32) -> Result<()> {
    let (status, answer) =
        world.rpc("set_retention", json!({ "p_org_id": org_of.user.org_id, "p_keep_days": days })).await?;
    ensure!(status.is_success() && answer["retention"]["keep_days"] == days, "{answer}");
    Ok(())
}

async fn overdue(world: World) -> Result<()> {
    let (keeps, other) = (person::member(&world).await?, person::member(&world).await?);
    let young = person::colleague(&world, &keeps).await?;
    for person in [&keeps, &other, &young] {
        person::live(&world, person).await?;
        tick(&world).await?;
    }
    person::ended_before(&world, &keeps, 31).await?;
    person::ended_before(&world, &other, 3100).await?;
    person::ended_before(&world, &young, 29).await?;
    let before = rows::all(&world).await?;
    ensure!(tick(&world).await?["erasedSessions"] == 0, "nobody has said for how long to keep them");
    keep(&world, &keeps, 30).await?;
    let report = tick(&world).await?;
    ensure!(report["erasedSessions"] == 1 && report["sessionEraseFailures"] == 0, "{report}");
    ensure!(report["deletedThreads"] == 1, "{report}");

    let after = rows::all(&world).await?;
    ensure!(count(&world, "select count(*) from chat_sessions where status = 'ended'").await? == 2);
    for table in ["chat_events", "chat_messages", "deliveries", "chat_escalations", "chatkit_sessions"] {
        let rows = |of: &rows::Rows, whose: &Caller| rows::of(of, whose).get(table).map_or(0, Vec::len);
        for stays in [&other, &young] {
            ensure!(rows(&after, stays) == rows(&before, stays), "something of another's {table} is gone");
        }
        ensure!(rows(&after, &keeps) < rows(&before, &keeps), "nothing of {table} is gone");
    }
    let left =
        rows::of(&before, &keeps)["chat_sessions"].iter().find(|row| row["status"] == "ended").cloned();
    let left = left.context("nothing had ended")?["id"].as_str().map(str::to_owned);
    let said = rows::mentioning(&after, &left.into_iter().collect::<Vec<_>>());
    ensure!(said.is_empty(), "{said:#?}");
    let again = tick(&world).await?;
    ensure!(again["erasedSessions"] == 0 && again["deletedThreads"] == 0, "{again}");
    Ok(())
}

async fn threads(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let other = person::colleague(&world, &person).await?;
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
    person::ended_before(&world, &person, 2).await?;
    keep(&world, &person, 1).await?;
    let report = tick(&world).await?;
    ensure!(report["erasedSessions"] == 2 && report["deletedThreads"] == 2, "{report}");
    let name = person::chatkit_user(&world, &person).await?;
    ensure!(world.chatkit().threads_of(&name) == [shared], "{:?}", world.chatkit().threads_of(&name));
    let others = person::chatkit_user(&world, &other).await?;
    ensure!(world.chatkit().threads_of(&others) == [foreign], "another one's thread is gone");
    Ok(())
}

/// What was overdue when it was claimed, and is kept longer now; and what never was.
async fn still_kept(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let (over, active) = (person.open().await?, person.open().await?);
    person.cancel(&path(&over)).await?.expect(200)?;
    person::ended_before(&world, &person, 20).await?;
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

async fn chatkit_down(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    person::live(&world, &person).await?;
    tick(&world).await?;
    person::ended_before(&world, &person, 2).await?;
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
