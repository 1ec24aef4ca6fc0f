//! OpenAI: the key, the project, each workflow, and keys that seal what it gave.

use std::time::Duration;

use anyhow::Result;
use local_stack::Builder;
use local_stack::LocalStack;
use local_stack::openai::{ApiKey, Fault, On, Workflow};
use uuid::Uuid;

use super::{finds, found};

fn with(name: &str, value: &str) -> Builder {
    LocalStack::builder().env(name, value)
}

// NAME: doctor: it finds that OpenAI does not take the key
#[tokio::test]
async fn finds_that_openai_does_not_take_the_key() -> Result<()> {
    finds(with("OPENAI_CHATKIT_SECRET", "sk-proj-revoked"), key).await
}

// NAME: doctor: it finds that OpenAI does not let the key into the project
#[tokio::test]
async fn finds_that_openai_does_not_let_the_key_into_the_project() -> Result<()> {
    finds(LocalStack::builder(), project).await
}

// NAME: doctor: it finds a project that is not the key's
#[tokio::test]
async fn finds_a_project_that_is_not_the_keys() -> Result<()> {
    finds(with("OPENAI_CHATKIT_PROJECT", "proj_elsewhere"), other_project).await
}

// NAME: doctor: it finds that OpenAI is down
#[tokio::test]
async fn finds_that_openai_is_down() -> Result<()> {
    finds(LocalStack::builder(), down).await
}

// NAME: doctor: it finds that OpenAI is silent
#[tokio::test]
async fn finds_that_openai_is_silent() -> Result<()> {
    finds(LocalStack::builder(), silent).await
}

// NAME: doctor: it finds that OPENAI_CHATKIT_BASE_URL lacks its path
#[tokio::test]
async fn finds_that_openai_chatkit_base_url_lacks_its_path() -> Result<()> {
    finds(LocalStack::builder(), nonsense).await
}

// NAME: doctor: it finds nothing wrong where OpenAI asks to wait
#[tokio::test]
async fn finds_nothing_wrong_where_openai_asks_to_wait() -> Result<()> {
    finds(LocalStack::builder(), rate_limited).await
}

// NAME: doctor: it finds a workflow that OpenAI does not know
#[tokio::test]
async fn finds_a_workflow_that_openai_does_not_know() -> Result<()> {
    finds(LocalStack::builder(), workflow).await
}

// NAME: doctor: it finds a workflow that is another project's
#[tokio::test]
async fn finds_a_workflow_that_is_another_projects() -> Result<()> {
    finds(LocalStack::builder(), elsewhere).await
}

// NAME: doctor: it finds a workflow that OpenAI does not take
#[tokio::test]
async fn finds_a_workflow_that_openai_does_not_take() -> Result<()> {
    finds(LocalStack::builder(), refused).await
}

// NAME: doctor: it finds a session that cannot be cancelled
#[tokio::test]
async fn finds_a_session_that_cannot_be_cancelled() -> Result<()> {
    finds(LocalStack::builder(), not_cancelled).await
}

// NAME: doctor: it finds that a sealing key was removed too early
#[tokio::test]
async fn finds_that_a_sealing_key_was_removed_too_early() -> Result<()> {
    finds(LocalStack::builder(), sealing_key).await
}

async fn key(stack: &LocalStack) -> Result<()> {
    found(stack, &[("chatkit", "chatkit_key_refused", "")], &["workflow"]).await.map(drop)
}

async fn project(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::everywhere().status(403));
    found(stack, &[("chatkit", "chatkit_project_refused", "")], &["workflow"]).await.map(drop)
}

async fn other_project(stack: &LocalStack) -> Result<()> {
    found(stack, &[("chatkit", "chatkit_project_refused", "")], &["workflow"]).await.map(drop)
}

async fn down(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::everywhere().reset_before());
    found(stack, &[("chatkit", "chatkit_unavailable", "")], &["workflow"]).await.map(drop)
}

async fn silent(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::everywhere().delay(Duration::from_secs(60)));
    found(stack, &[("chatkit", "chatkit_timed_out", "")], &["workflow"]).await.map(drop)
}

async fn nonsense(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::everywhere().nonsense());
    found(stack, &[("chatkit", "chatkit_bad_answer", "")], &["workflow"]).await.map(drop)
}

async fn rate_limited(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::everywhere().status(429).should_retry(false));
    found(stack, &[], &["workflow"]).await.map(drop)
}

/// Registers another agent, with this workflow.
async fn agent(stack: &LocalStack, workflow: &str) -> Result<()> {
    let arguments = serde_json::json!({
        "p_org_id": Uuid::new_v4(), "p_agent_id": "tax_compliance", "p_display_name": "Tax", "p_description": "",
        "p_chatkit_workflow_id": workflow,
    });
    let (status, answer) = stack.rpc("register_agent", arguments).await?;
    anyhow::ensure!(status.is_success(), "{answer}");
    Ok(())
}

async fn workflow(stack: &LocalStack) -> Result<()> {
    agent(stack, "wf_that_is_gone").await?;
    let named = "wf_that_is_gone (tax_compliance)";
    found(stack, &[("workflow", "workflow_not_found", named)], &[]).await.map(drop)
}

async fn elsewhere(stack: &LocalStack) -> Result<()> {
    stack.openai().add_api_key(ApiKey { key: "sk-other".to_owned(), project: Some("proj_other".to_owned()) });
    let workflow = Workflow {
        id: "wf_other".to_owned(),
        project: "proj_other".to_owned(),
        versions: vec!["1".to_owned()],
    };
    stack.openai().add_workflow(workflow);
    agent(stack, "wf_other").await?;
    found(stack, &[("workflow", "workflow_not_found", "wf_other")], &[]).await.map(drop)
}

async fn refused(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::new(On::CreateSession).status(400));
    found(stack, &[("workflow", "workflow_refused", "accounts_payable")], &[]).await.map(drop)
}

async fn not_cancelled(stack: &LocalStack) -> Result<()> {
    stack.openai().fault(Fault::new(On::CancelSession).status(403));
    found(stack, &[("workflow", "session_not_cancelled", "accounts_payable")], &[]).await.map(drop)
}

/// What the session's secret is sealed with is not the key that is configured.
async fn sealing_key(stack: &LocalStack) -> Result<()> {
    let resealed = "update public.chatkit_sessions set sealing_key_id = 'k0' where sealed_secret is not null";
    let rows = sqlx::query(resealed).execute(stack.database()).await?.rows_affected();
    anyhow::ensure!(rows == 1, "{rows} living secrets");
    found(stack, &[("sealing_keys", "sealing_key_missing", "k0")], &[]).await?;
    // Of a secret that has run out nobody needs the key.
    let over = "update public.chatkit_sessions set expires_at = now() - interval '1 second'";
    sqlx::query(over).execute(stack.database()).await?;
    found(stack, &[], &[]).await.map(drop)
}
