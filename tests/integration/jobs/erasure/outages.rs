//! OpenAI or Supabase down in the middle: the operator is told, and nothing looks whole that is not.

use anyhow::{Result, ensure};
use local_stack::openai::{Fault, On, SessionStatus};
use local_stack::{LocalStack, supabase};
use serde_json::{Value, json};

use super::{count, erase, fixture, fixture_rows, order, refusal};
use crate::jobs::maintenance::idle_sessions::run_maintenance;

// NAME: erasure: with OpenAI down it says so, and is taken up again
#[tokio::test]
async fn openai_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    for down in [On::CancelSession, On::ListThreads, On::DeleteThread] {
        fixture::live(&stack, &person).await?;
        let name = fixture::chatkit_user(&stack, &person).await?;
        stack.openai().fault(Fault::new(down).status(503).should_retry(false));
        let told = refusal(&stack, &order(&person)).await?;
        ensure!(told.contains("chatkit_unavailable"), "{down:?}: {told}");
        unfinished(&stack, &person).await?;
        stack.openai().clear_faults();
        erase(&stack, &person).await?;
        gone(&stack, &person, &name).await?;
    }
    Ok(())
}

// NAME: erasure: a run takes up what stopped
#[tokio::test]
async fn taken_up() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    fixture::live(&stack, &person).await?;
    let name = fixture::chatkit_user(&stack, &person).await?;
    stack.openai().fault(Fault::new(On::DeleteThread).status(503).should_retry(false));
    refusal(&stack, &order(&person)).await?;
    ensure!(run_maintenance(&stack).await?["finishedErasures"] == 0, "somebody is at it still");
    let lease_over = sqlx::query("update erasures set lease_until = now()");
    lease_over.execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["unfinishedErasures"] == 1 && report["finishedErasures"] == 0, "{report}");
    stack.openai().clear_faults();
    sqlx::query("update erasures set lease_until = now()").execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["unfinishedErasures"] == 0 && report["finishedErasures"] == 1, "{report}");
    gone(&stack, &person, &name).await?;
    ensure!(run_maintenance(&stack).await?["finishedErasures"] == 0);
    Ok(())
}

// NAME: erasure: with Supabase down it says so, and is taken up again
#[tokio::test]
async fn supabase_down() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    fixture::live(&stack, &person).await?;
    let name = fixture::chatkit_user(&stack, &person).await?;
    stack.supabase().fault(supabase::Fault::Unavailable).await;
    let told = refusal(&stack, &order(&person)).await?;
    ensure!(told.contains("supabase_unavailable"), "{told}");
    stack.supabase().fault(supabase::Fault::None).await;
    erase(&stack, &person).await?;
    gone(&stack, &person, &name).await
}

// NAME: erasure: a list of other people's threads deletes none of them
/// As if OpenAI forgot one day to look at whose threads it is asked for.
#[tokio::test]
async fn threads_of_others() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let other = fixture::colleague(&stack, &person).await?;
    fixture::live(&stack, &person).await?;
    fixture::live(&stack, &other).await?;
    let name = fixture::chatkit_user(&stack, &other).await?;
    let others = stack.openai().threads_of(&name);
    let list: Vec<Value> = others
        .iter()
        .map(|id| json!({ "id": id, "object": "chatkit.thread", "created_at": 1, "title": null, "user": name, "status": { "type": "active" } }))
        .collect();
    let list = json!({ "object": "list", "data": list, "first_id": others[0], "last_id": others[3], "has_more": false });
    stack.openai().fault(Fault::new(On::ListThreads).body(list));
    let told = refusal(&stack, &order(&person)).await?;
    ensure!(told.contains("chatkit_bad_answer"), "{told}");
    ensure!(stack.openai().threads_of(&name) == others, "another one's threads are gone");
    unfinished(&stack, &person).await
}

/// Nobody takes it for done: the record is open, the person is refused, and their name at ChatKit is still known.
async fn unfinished(stack: &LocalStack, person: &crate::support::client::TestClient) -> Result<()> {
    ensure!(count(stack, "select count(*) from erasures where finished_at is null").await? == 1);
    let opening = json!({ "agentId": crate::support::client::AGENT });
    person.post("/chatkit/sessions", opening).await?.problem(409, "erasure_running")?;
    fixture::chatkit_user(stack, person).await?;
    Ok(())
}

/// Nothing of a person is left, here or at ChatKit.
pub async fn gone(stack: &LocalStack, person: &crate::support::client::TestClient, name: &str) -> Result<()> {
    let left = fixture_rows::of(&fixture_rows::all(stack).await?, person);
    ensure!(left.is_empty(), "left: {left:#?}");
    ensure!(stack.openai().threads_of(name).is_empty(), "threads are left");
    let of_theirs = |session: &local_stack::openai::SessionSnapshot| session.user == name;
    let alive = stack.openai().sessions().into_iter().filter(of_theirs);
    let alive = alive.filter(|session| session.status == SessionStatus::Active).count();
    ensure!(alive == 0, "{alive} ChatKit sessions are alive");
    ensure!(count(stack, "select count(*) from erasures where finished_at is null").await? == 0);
    Ok(())
}
