//! Faults at OpenAI: the key, the project, the workflows and the keys that seal client secrets.

use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{ApiKey, Fault, Operation, Workflow};
use serde_json::json;
use uuid::Uuid;

use super::{ExpectedFault, execute, expect_faults, start, with_env};

#[tokio::test]
async fn revoked_key_is_reported() -> Result<()> {
    let stack = start(with_env("OPENAI_CHATKIT_SECRET", "sk-proj-revoked-0123456789")).await?;
    expect_chatkit_fault(&stack, "chatkit_key_refused").await
}

#[tokio::test]
async fn key_without_access_to_project_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::everywhere().status(403));
    expect_chatkit_fault(&stack, "chatkit_project_refused").await
}

#[tokio::test]
async fn project_of_another_key_is_reported() -> Result<()> {
    let stack = start(with_env("OPENAI_CHATKIT_PROJECT", "proj_elsewhere")).await?;
    expect_chatkit_fault(&stack, "chatkit_project_refused").await
}

#[tokio::test]
async fn unavailable_openai_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::everywhere().reset_before());
    expect_chatkit_fault(&stack, "chatkit_unavailable").await
}

#[tokio::test]
async fn openai_timeout_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::everywhere().delay(Duration::from_secs(60)));
    expect_chatkit_fault(&stack, "chatkit_timed_out").await
}

/// For example because `OPENAI_CHATKIT_BASE_URL` lacks its path.
#[tokio::test]
async fn response_that_is_not_openais_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::everywhere().html_body());
    expect_chatkit_fault(&stack, "chatkit_bad_answer").await
}

#[tokio::test]
async fn rate_limit_of_openai_is_not_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::everywhere().status(429).should_retry(false));
    expect_faults(&stack, &[], &["workflow"]).await
}

#[tokio::test]
async fn unknown_workflow_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    register_agent(&stack, "wf_that_is_gone").await?;
    let fault = ("workflow", "workflow_not_found", "wf_that_is_gone (tax_compliance)");
    expect_faults(&stack, &[fault], &[]).await
}

#[tokio::test]
async fn workflow_of_another_project_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_api_key(ApiKey { key: "sk-other".to_owned(), project: Some("proj_other".to_owned()) });
    stack.openai().add_workflow(Workflow {
        id: "wf_other".to_owned(),
        project: "proj_other".to_owned(),
        versions: vec!["1".to_owned()],
    });
    register_agent(&stack, "wf_other").await?;
    expect_faults(&stack, &[("workflow", "workflow_not_found", "wf_other")], &[]).await
}

#[tokio::test]
async fn rejected_workflow_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).status(400));
    expect_faults(&stack, &[("workflow", "workflow_refused", "accounts_payable")], &[]).await
}

#[tokio::test]
async fn failed_session_cancel_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.openai().add_fault(Fault::new(Operation::CancelSession).status(403));
    expect_faults(&stack, &[("workflow", "session_not_cancelled", "accounts_payable")], &[]).await
}

#[tokio::test]
async fn missing_sealing_key_of_unexpired_secret_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let reseal = "update public.chatkit_sessions set sealing_key_id = 'k0' where sealed_secret is not null";
    let rows = sqlx::query(reseal).execute(stack.database()).await?.rows_affected();
    ensure!(rows == 1, "expected 1 sealed secret, found {rows}");
    expect_faults(&stack, &[("sealing_keys", "sealing_key_missing", "k0")], &[]).await?;
    execute(&stack, "update public.chatkit_sessions set expires_at = now() - interval '1 second'").await?;
    expect_faults(&stack, &[], &[]).await
}

/// OpenAI does not know a self-hosted agent.
#[tokio::test]
async fn self_hosted_agent_has_no_workflow_to_check() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.register_self_hosted_agent(Uuid::new_v4(), "own_agent", json!({})).await?;
    expect_faults(&stack, &[], &[]).await
}

/// Without a working client, the workflows cannot be checked.
async fn expect_chatkit_fault(stack: &LocalStack, code: &str) -> Result<()> {
    let fault: ExpectedFault<'_> = ("chatkit", code, "");
    expect_faults(stack, &[fault], &["workflow"]).await
}

/// Registers a second agent, in another organisation.
async fn register_agent(stack: &LocalStack, workflow: &str) -> Result<()> {
    let arguments = json!({
        "p_org_id": Uuid::new_v4(), "p_agent_id": "tax_compliance", "p_display_name": "Tax",
        "p_description": "", "p_chatkit_workflow_id": workflow,
    });
    let (status, body) = stack.rpc("register_agent", arguments).await?;
    ensure!(status.is_success(), "register_agent returned {status}: {body}");
    Ok(())
}
