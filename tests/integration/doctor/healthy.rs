//! Where all is well, all is well; and the doctor leaves nothing behind and shows nothing.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{On, SessionStatus};
use local_stack::postgres::Grants;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{found, inhabit, report};
use crate::support::client::TestClient;

// NAME: doctor: where all is well, it says so of everything
#[tokio::test]
async fn well() -> Result<()> {
    all_is_well(LocalStack::start().await?).await
}

// NAME: doctor: an older project with legacy keys is as well
#[tokio::test]
async fn well_in_an_older_project() -> Result<()> {
    let older = LocalStack::builder().default_grants(Grants::Before20261030).legacy_keys(true);
    all_is_well(older.start().await?).await
}

async fn all_is_well(stack: LocalStack) -> Result<()> {
    inhabit(&stack).await?;
    found(&stack, &[], &[]).await.map(drop)
}

// NAME: doctor: without ChatKit nothing is wrong, only not looked at
#[tokio::test]
async fn without_chatkit() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    inhabit(&stack).await?;
    found(&stack, &[], &["chatkit", "workflow", "sealing_keys"]).await.map(drop)
}

// NAME: doctor: without agents nothing is wrong, only not looked at
#[tokio::test]
async fn without_agents() -> Result<()> {
    let stack = LocalStack::start().await?;
    found(&stack, &[], &["workflow", "agent_server"]).await.map(drop)
}

// NAME: doctor: its sessions live for a second, are nobody's and are cancelled
#[tokio::test]
async fn sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = inhabit(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let before = stack.openai().sessions().len();
    found(&stack, &[], &[]).await?;
    let sessions = stack.openai().sessions().split_off(before);
    ensure!(sessions.len() == 2, "a session an enabled agent's workflow: {sessions:?}");
    let cancels = stack.openai().calls(On::CancelSession);
    for session in sessions {
        // Its second may be over before it is cancelled: OpenAI counts whole ones.
        ensure!(session.status != SessionStatus::Active && !session.tracing, "{session:?}");
        let asked = cancels.iter().filter(|call| call.path.contains(&format!("/{}/", session.id))).count();
        ensure!(asked == 1, "cancelled {asked} times: {session:?}");
        ensure!(Uuid::try_parse(&session.user).is_err(), "of a user: {session:?}");
    }
    for call in stack.openai().calls(On::CreateSession).split_off(before) {
        let lifetime = json!({ "anchor": "created_at", "seconds": 1 });
        let body: Value = serde_json::from_slice(&call.body)?;
        ensure!(body["expires_after"] == lifetime, "{body}");
    }
    ensure!(stack.agents().iter().all(|agent| agent.calls().is_empty()), "a tool was called");
    Ok(())
}

// NAME: doctor: nothing secret is in a report or a log, and nobody is named
#[tokio::test]
async fn secrets() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = inhabit(&stack).await?;
    let session = caller.open().await?["id"].as_str().unwrap_or_default().to_owned();
    let report = report(&stack).await?.to_string();
    let opened = stack.openai().sessions();
    let lines = stack.final_logs().await.join("\n");
    let environment = stack.environment().whole();
    let secret = [
        "SUPABASE_SECRET_KEY",
        "SUPABASE_PUBLISHABLE_KEY",
        "OPENAI_CHATKIT_SECRET",
        "DATABASE_WEBHOOK_SECRET",
    ];
    let mut never: Vec<String> = secret.iter().map(|name| environment[*name].clone()).collect();
    never.push(environment["CHATKIT_SEALING_KEYS"].trim_start_matches("k1:").to_owned());
    never.push(stack.agents().bearer().to_owned());
    never.extend(opened.iter().map(|session| session.client_secret.reveal().to_owned()));
    let TestClient { user, .. } = &caller;
    for never in never {
        ensure!(!report.contains(&never) && !lines.contains(&never), "{never} is shown");
    }
    let (_, state) = stack.rpc("deployment_state", json!({})).await?;
    for id in [user.id.to_string(), user.org_id.to_string(), session] {
        ensure!(
            !report.contains(&id) && !state.to_string().contains(&id),
            "{id} is named: {report}; {state}"
        );
    }
    Ok(())
}

// NAME: doctor: an order that says something else is refused
#[tokio::test]
async fn other_orders() -> Result<()> {
    let stack = LocalStack::start().await?;
    for order in [json!({ "check": "schema" }), json!([]), json!("all"), json!(null)] {
        let refused = stack
            .invoke_admin("doctor", &order)
            .await
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        ensure!(refused.contains("invalid_request: "), "{order}: {refused}");
    }
    found(&stack, &[], &["workflow", "agent_server"]).await.map(drop)
}

// NAME: doctor: nobody reaches it by a request
#[tokio::test]
async fn no_door() -> Result<()> {
    let stack = LocalStack::start().await?;
    let deployed = local_stack::lambda::workspace().await?.template.function("doctor")?.clone();
    ensure!(deployed.routes.is_empty(), "{:?}", deployed.routes);
    // Should somebody give it a URL all the same, a request is no order.
    let answer = local_stack::http::client().get(stack.function_url("doctor")).send().await?;
    ensure!(answer.status() == 502, "{}", answer.status());
    Ok(())
}
