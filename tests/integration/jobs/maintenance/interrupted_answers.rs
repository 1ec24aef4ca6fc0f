//! Answers of the self-hosted chat whose process died.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use uuid::Uuid;

use super::run_maintenance;
use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, Question, end_lease, run_status, texts};

#[tokio::test]
async fn run_ends_answers_whose_process_died() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    rpc::register_agents(&stack, org_id).await?;
    let user = stack.add_user(org_id, OrgRole::Member).await?;
    let session = rpc::open_session(&stack, &user, CHAT_AGENT).await?;
    let (dead, running) = (Question::in_new_thread("dead"), Question::in_new_thread("running"));
    for question in [&dead, &running] {
        session.expect_begin(&stack, question, "begun").await?;
    }
    end_lease(&stack, dead.run_id).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["interruptedAnswers"] == 1, "{report}");
    ensure!(run_status(&stack, dead.run_id).await? == "interrupted");
    ensure!(run_status(&stack, running.run_id).await? == "running");
    let found = texts(&session.items(&stack, &dead.thread_id).await?);
    ensure!(found == ["dead", "[interrupted]"], "{found:?}");
    ensure!(run_maintenance(&stack).await?["interruptedAnswers"] == 0);
    Ok(())
}
