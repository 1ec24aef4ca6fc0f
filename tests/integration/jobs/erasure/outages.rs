//! OpenAI or Supabase down in the middle: the operator is told, and nothing looks whole that is not.

use anyhow::{Result, ensure};
use local_stack::openai::{Fault, On, SessionStatus};
use local_stack::{World, supabase};
use serde_json::{Value, json};

use super::{count, erase, fixture, fixture_rows, order, refusal};
use crate::jobs::maintenance::idle_sessions::tick;

// NAME: erasure: with OpenAI down it says so, and is taken up again
#[tokio::test]
async fn openai_down() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    for down in [On::CancelSession, On::ListThreads, On::DeleteThread] {
        fixture::live(&world, &person).await?;
        let name = fixture::chatkit_user(&world, &person).await?;
        world.chatkit().fault(Fault::new(down).status(503).should_retry(false));
        let told = refusal(&world, &order(&person)).await?;
        ensure!(told.contains("chatkit_unavailable"), "{down:?}: {told}");
        unfinished(&world, &person).await?;
        world.chatkit().clear_faults();
        erase(&world, &person).await?;
        gone(&world, &person, &name).await?;
    }
    Ok(())
}

// NAME: erasure: a run takes up what stopped
#[tokio::test]
async fn taken_up() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    fixture::live(&world, &person).await?;
    let name = fixture::chatkit_user(&world, &person).await?;
    world.chatkit().fault(Fault::new(On::DeleteThread).status(503).should_retry(false));
    refusal(&world, &order(&person)).await?;
    ensure!(tick(&world).await?["finishedErasures"] == 0, "somebody is at it still");
    let lease_over = sqlx::query("update erasures set lease_until = now()");
    lease_over.execute(world.database()).await?;
    let report = tick(&world).await?;
    ensure!(report["unfinishedErasures"] == 1 && report["finishedErasures"] == 0, "{report}");
    world.chatkit().clear_faults();
    sqlx::query("update erasures set lease_until = now()").execute(world.database()).await?;
    let report = tick(&world).await?;
    ensure!(report["unfinishedErasures"] == 0 && report["finishedErasures"] == 1, "{report}");
    gone(&world, &person, &name).await?;
    ensure!(tick(&world).await?["finishedErasures"] == 0);
    Ok(())
}

// NAME: erasure: with Supabase down it says so, and is taken up again
#[tokio::test]
async fn supabase_down() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    fixture::live(&world, &person).await?;
    let name = fixture::chatkit_user(&world, &person).await?;
    world.supabase().fault(supabase::Fault::Unavailable).await;
    let told = refusal(&world, &order(&person)).await?;
    ensure!(told.contains("supabase_unavailable"), "{told}");
    world.supabase().fault(supabase::Fault::None).await;
    erase(&world, &person).await?;
    gone(&world, &person, &name).await
}

// NAME: erasure: a list of other people's threads deletes none of them
/// As if OpenAI forgot one day to look at whose threads it is asked for.
#[tokio::test]
async fn threads_of_others() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    let other = fixture::colleague(&world, &person).await?;
    fixture::live(&world, &person).await?;
    fixture::live(&world, &other).await?;
    let name = fixture::chatkit_user(&world, &other).await?;
    let others = world.chatkit().threads_of(&name);
    let list: Vec<Value> = others
        .iter()
        .map(|id| json!({ "id": id, "object": "chatkit.thread", "created_at": 1, "title": null, "user": name, "status": { "type": "active" } }))
        .collect();
    let list = json!({ "object": "list", "data": list, "first_id": others[0], "last_id": others[3], "has_more": false });
    world.chatkit().fault(Fault::new(On::ListThreads).body(list));
    let told = refusal(&world, &order(&person)).await?;
    ensure!(told.contains("chatkit_bad_answer"), "{told}");
    ensure!(world.chatkit().threads_of(&name) == others, "another one's threads are gone");
    unfinished(&world, &person).await
}

/// Nobody takes it for done: the record is open, the person is refused, and their name at ChatKit is still known.
async fn unfinished(world: &World, person: &crate::support::client::Caller) -> Result<()> {
    ensure!(count(world, "select count(*) from erasures where finished_at is null").await? == 1);
    let opening = json!({ "agentId": crate::support::client::AGENT });
    person.post("/chatkit/sessions", opening).await?.problem(409, "erasure_running")?;
    fixture::chatkit_user(world, person).await?;
    Ok(())
}

/// Nothing of a person is left, here or at ChatKit.
pub async fn gone(world: &World, person: &crate::support::client::Caller, name: &str) -> Result<()> {
    let left = fixture_rows::of(&fixture_rows::all(world).await?, person);
    ensure!(left.is_empty(), "left: {left:#?}");
    ensure!(world.chatkit().threads_of(name).is_empty(), "threads are left");
    let of_theirs = |session: &local_stack::openai::SessionSnapshot| session.user == name;
    let alive = world.chatkit().sessions().into_iter().filter(of_theirs);
    let alive = alive.filter(|session| session.status == SessionStatus::Active).count();
    ensure!(alive == 0, "{alive} ChatKit sessions are alive");
    ensure!(count(world, "select count(*) from erasures where finished_at is null").await? == 0);
    Ok(())
}
