//! Erasures during an outage of OpenAI or Supabase.

use anyhow::{Result, ensure};
use local_stack::openai::{Fault, Operation, SessionSnapshot, SessionStatus};
use local_stack::{LocalStack, supabase};
use serde_json::{Value, json};

use super::{count, erase, erase_error, erase_request, fixture, table_rows};
use crate::jobs::maintenance::run_maintenance;
use crate::support::client::{AGENT, TestClient};

#[tokio::test]
async fn openai_outage_fails_erasure_and_repeat_completes_it() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    for operation in [Operation::CancelSession, Operation::ListThreads, Operation::DeleteThread] {
        fixture::create_data(&stack, &member).await?;
        let name = fixture::chatkit_user(&stack, &member).await?;
        stack.openai().add_fault(Fault::new(operation).status(503).should_retry(false));
        let error = erase_error(&stack, &erase_request(&member)).await?;
        ensure!(error.contains("chatkit_unavailable"), "{operation:?}: {error}");
        assert_unfinished(&stack, &member).await?;
        stack.openai().clear_faults();
        erase(&stack, &member).await?;
        assert_erased(&stack, &member, &name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn maintenance_resumes_unfinished_erasure() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    fixture::create_data(&stack, &member).await?;
    let name = fixture::chatkit_user(&stack, &member).await?;
    stack.openai().add_fault(Fault::new(Operation::DeleteThread).status(503).should_retry(false));
    erase_error(&stack, &erase_request(&member)).await?;
    ensure!(
        run_maintenance(&stack).await?["finishedErasures"] == 0,
        "the run resumed an erasure whose lease is valid"
    );
    sqlx::query("update erasures set lease_until = now()").execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["unfinishedErasures"] == 1 && report["finishedErasures"] == 0, "{report}");
    stack.openai().clear_faults();
    sqlx::query("update erasures set lease_until = now()").execute(stack.database()).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["unfinishedErasures"] == 0 && report["finishedErasures"] == 1, "{report}");
    assert_erased(&stack, &member, &name).await?;
    ensure!(run_maintenance(&stack).await?["finishedErasures"] == 0);
    Ok(())
}

#[tokio::test]
async fn supabase_outage_fails_erasure_and_repeat_completes_it() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    fixture::create_data(&stack, &member).await?;
    let name = fixture::chatkit_user(&stack, &member).await?;
    stack.supabase().set_fault(supabase::Fault::Unavailable).await;
    let error = erase_error(&stack, &erase_request(&member)).await?;
    ensure!(error.contains("supabase_unavailable"), "{error}");
    stack.supabase().set_fault(supabase::Fault::None).await;
    erase(&stack, &member).await?;
    assert_erased(&stack, &member, &name).await
}

#[tokio::test]
async fn completed_erasure_is_recorded_after_supabase_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    fixture::create_data(&stack, &member).await?;
    let name = fixture::chatkit_user(&stack, &member).await?;
    let canned = supabase::CannedResponse::gateway(401, "Invalid API key");
    let canned = canned.at("/rest/v1/rpc/finish_erasure").times(4);
    stack.supabase().set_fault(supabase::Fault::Canned(canned)).await;
    erase(&stack, &member).await?;
    assert_erased(&stack, &member, &name).await
}

/// OpenAI ignores the `user` of the request.
#[tokio::test]
async fn listed_threads_of_other_users_are_not_deleted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let other = fixture::colleague(&stack, &member).await?;
    fixture::create_data(&stack, &member).await?;
    fixture::create_data(&stack, &other).await?;
    let name = fixture::chatkit_user(&stack, &other).await?;
    let others = stack.openai().thread_ids_of_user(&name);
    let list: Vec<Value> = others
        .iter()
        .map(|id| json!({ "id": id, "object": "chatkit.thread", "created_at": 1, "title": null, "user": name, "status": { "type": "active" } }))
        .collect();
    let list = json!({ "object": "list", "data": list, "first_id": others[0], "last_id": others[3], "has_more": false });
    stack.openai().add_fault(Fault::new(Operation::ListThreads).body(list));
    let error = erase_error(&stack, &erase_request(&member)).await?;
    ensure!(error.contains("chatkit_bad_answer"), "{error}");
    ensure!(stack.openai().thread_ids_of_user(&name) == others, "threads of another user are deleted");
    assert_unfinished(&stack, &member).await
}

/// Checks that the record is open, that the user cannot open a session, and that their ChatKit user
/// is still stored.
async fn assert_unfinished(stack: &LocalStack, member: &TestClient) -> Result<()> {
    ensure!(count(stack, "select count(*) from erasures where finished_at is null").await? == 1);
    let body = json!({ "agentId": AGENT });
    member.post("/chatkit/sessions", body).await?.problem(409, "erasure_running")?;
    fixture::chatkit_user(stack, member).await?;
    Ok(())
}

/// Checks that no row, thread or active ChatKit session of the user remains.
pub async fn assert_erased(stack: &LocalStack, member: &TestClient, name: &str) -> Result<()> {
    let left = table_rows::of_user(&table_rows::read_all(stack).await?, member);
    ensure!(left.is_empty(), "remaining rows: {left:#?}");
    ensure!(stack.openai().thread_ids_of_user(name).is_empty(), "the user still has threads");
    let is_of_user = |session: &SessionSnapshot| session.user == name;
    let active = stack.openai().sessions().into_iter().filter(is_of_user);
    let active = active.filter(|session| session.status == SessionStatus::Active).count();
    ensure!(active == 0, "{active} ChatKit sessions are active");
    ensure!(count(stack, "select count(*) from erasures where finished_at is null").await? == 0);
    Ok(())
}
