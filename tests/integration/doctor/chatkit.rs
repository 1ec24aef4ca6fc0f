//! OpenAI: the key, the project, each workflow, and keys that seal what it gave.

use std::time::Duration;

use anyhow::Result;
use local_stack::World;
use local_stack::openai::{ApiKey, Fault, On, Workflow};
use uuid::Uuid;

use super::{finds, found};

// TODO pub fn trials() -> Vec<Trial> {
// TODO     let with = |name: &str, value: &str| World::builder().env(name, value);
// TODO     let default = World::builder;
// TODO     vec![
// TODO         finds("that OpenAI does not take the key", with("OPENAI_CHATKIT_SECRET", "sk-proj-revoked"), key),
// TODO         finds("that OpenAI does not let the key into the project", default(), project),
// TODO         finds(
// TODO             "a project that is not the key's",
// TODO             with("OPENAI_CHATKIT_PROJECT", "proj_elsewhere"),
// TODO             other_project,
// TODO         ),
// TODO         finds("that OpenAI is down", default(), down),
// TODO         finds("that OpenAI is silent", default(), silent),
// TODO         finds("that OPENAI_CHATKIT_BASE_URL lacks its path", default(), nonsense),
// TODO         finds("nothing wrong where OpenAI asks to wait", default(), rate_limited),
// TODO         finds("a workflow that OpenAI does not know", default(), workflow),
// TODO         finds("a workflow that is another project's", default(), elsewhere),
// TODO         finds("a workflow that OpenAI does not take", default(), refused),
// TODO         finds("a session that cannot be cancelled", default(), not_cancelled),
// TODO         finds("that a sealing key was removed too early", default(), sealing_key),
// TODO     ]
// TODO }

async fn key(world: &World) -> Result<()> {
    found(world, &[("chatkit", "chatkit_key_refused", "")], &["workflow"]).await.map(drop)
}

async fn project(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::everywhere().status(403));
    found(world, &[("chatkit", "chatkit_project_refused", "")], &["workflow"]).await.map(drop)
}

async fn other_project(world: &World) -> Result<()> {
    found(world, &[("chatkit", "chatkit_project_refused", "")], &["workflow"]).await.map(drop)
}

async fn down(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::everywhere().reset_before());
    found(world, &[("chatkit", "chatkit_unavailable", "")], &["workflow"]).await.map(drop)
}

async fn silent(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::everywhere().delay(Duration::from_secs(60)));
    found(world, &[("chatkit", "chatkit_timed_out", "")], &["workflow"]).await.map(drop)
}

async fn nonsense(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::everywhere().nonsense());
    found(world, &[("chatkit", "chatkit_bad_answer", "")], &["workflow"]).await.map(drop)
}

async fn rate_limited(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::everywhere().status(429).should_retry(false));
    found(world, &[], &["workflow"]).await.map(drop)
}

/// Registers another agent, with this workflow.
async fn agent(world: &World, workflow: &str) -> Result<()> {
    let arguments = serde_json::json!({
        "p_org_id": Uuid::new_v4(), "p_agent_id": "tax_compliance", "p_display_name": "Tax", "p_description": "",
        "p_chatkit_workflow_id": workflow,
    });
    let (status, answer) = world.rpc("register_agent", arguments).await?;
    anyhow::ensure!(status.is_success(), "{answer}");
    Ok(())
}

async fn workflow(world: &World) -> Result<()> {
    agent(world, "wf_that_is_gone").await?;
    let named = "wf_that_is_gone (tax_compliance)";
    found(world, &[("workflow", "workflow_not_found", named)], &[]).await.map(drop)
}

async fn elsewhere(world: &World) -> Result<()> {
    world
        .chatkit()
        .add_api_key(ApiKey { key: "sk-other".to_owned(), project: Some("proj_other".to_owned()) });
    let workflow = Workflow {
        id: "wf_other".to_owned(),
        project: "proj_other".to_owned(),
        versions: vec!["1".to_owned()],
    };
    world.chatkit().add_workflow(workflow);
    agent(world, "wf_other").await?;
    found(world, &[("workflow", "workflow_not_found", "wf_other")], &[]).await.map(drop)
}

async fn refused(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::new(On::CreateSession).status(400));
    found(world, &[("workflow", "workflow_refused", "accounts_payable")], &[]).await.map(drop)
}

async fn not_cancelled(world: &World) -> Result<()> {
    world.chatkit().fault(Fault::new(On::CancelSession).status(403));
    found(world, &[("workflow", "session_not_cancelled", "accounts_payable")], &[]).await.map(drop)
}

/// What the session's secret is sealed with is not the key that is configured.
async fn sealing_key(world: &World) -> Result<()> {
    let resealed = "update public.chatkit_sessions set sealing_key_id = 'k0' where sealed_secret is not null";
    let rows = sqlx::query(resealed).execute(world.database()).await?.rows_affected();
    anyhow::ensure!(rows == 1, "{rows} living secrets");
    found(world, &[("sealing_keys", "sealing_key_missing", "k0")], &[]).await?;
    // Of a secret that has run out nobody needs the key.
    let over = "update public.chatkit_sessions set expires_at = now() - interval '1 second'";
    sqlx::query(over).execute(world.database()).await?;
    found(world, &[], &[]).await.map(drop)
}
