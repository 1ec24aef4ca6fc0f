//! A user with a session of a self-hosted agent.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ChatClient;
use local_stack::model::MODEL;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};

/// Longer than any step takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A page that chats with a self-hosted agent.
pub struct ChatPage {
    pub user: TestClient,
    pub session_id: String,
    pub chat: ChatClient,
}

impl ChatPage {
    /// A member of a new organisation who has opened a session.
    pub async fn open(stack: &LocalStack) -> Result<Self> {
        let org_id = Uuid::new_v4();
        register_agent(stack, org_id, json!({})).await?;
        let user = TestClient::in_organisation(stack, org_id, local_stack::supabase::OrgRole::Member).await?;
        Self::of_user(stack, user).await
    }

    /// Opens a session of a user.
    pub async fn of_user(stack: &LocalStack, user: TestClient) -> Result<Self> {
        let session = user.open_session().await?;
        let text =
            |pointer: &str| session.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        ensure!(text("/chatkit/provider") == "self_hosted", "{session}");
        let (session_id, secret) = (text("/id"), text("/chatkit/clientSecret"));
        let chat = ChatClient::new(&stack.function_url("serve-chatkit"), &secret);
        Ok(Self { user, session_id, chat })
    }
}

/// Registers the self-hosted agent of the tests, with changes.
pub async fn register_agent(stack: &LocalStack, org_id: Uuid, changes: Value) -> Result<()> {
    let mut agent = json!({
        "p_org_id": org_id, "p_agent_id": AGENT, "p_display_name": "Accounts payable",
        "p_description": "Pays invoices", "p_provider": "self_hosted", "p_model": MODEL,
        "p_instructions": "You pay invoices.",
    });
    agent.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let (status, body) = stack.rpc("register_agent", agent).await?;
    ensure!(status.is_success(), "{body}");
    Ok(())
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn kinds(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["type"])).collect()
}

/// Waits until the model has received a request and is answering it.
pub async fn until_model_answers(stack: &LocalStack) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while stack.model().running() == 0 {
        ensure!(Instant::now() < deadline, "the model was not asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until no answer of the model is running.
pub async fn until_model_is_idle(stack: &LocalStack) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while stack.model().running() > 0 {
        ensure!(Instant::now() < deadline, "the model still answers");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until the draft of a running answer contains a text.
pub async fn until_saved(stack: &LocalStack, text: &str) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let query = "select exists (select from public.chat_runs where position($1 in draft::text) > 0)";
    while !sqlx::query_scalar::<_, bool>(query).bind(text).fetch_one(stack.database()).await? {
        ensure!(Instant::now() < deadline, "{text:?} was not saved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Lets time pass until the leases of all runs have expired.
pub async fn expire_leases(stack: &LocalStack) -> Result<()> {
    sqlx::query("update public.chat_runs set lease_until = clock_timestamp() where status = 'running'")
        .execute(stack.database())
        .await?;
    Ok(())
}
