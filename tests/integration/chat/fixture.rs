//! A user with a session of a self-hosted agent.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ChatClient;
use local_stack::model::MODEL;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};

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
        let (session_id, request_id, secret) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4().to_string());
        let (status, opened) = stack
            .rpc(
                "open_session",
                json!({
                    "p_org_id": user.user.org_id, "p_user_id": user.user.id, "p_session_id": session_id,
                    "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {},
                    "p_chatkit_request_id": request_id, "p_providers": ["self_hosted"],
                }),
            )
            .await?;
        ensure!(status.is_success(), "{opened}");
        let (hash,): (String,) = sqlx::query_as("select encode(sha256(convert_to($1, 'UTF8')), 'hex')")
            .bind(&secret)
            .fetch_one(stack.database())
            .await?;
        let (status, recorded) = stack
            .rpc(
                "record_chatkit_session",
                json!({
                    "p_org_id": user.user.org_id, "p_session_id": session_id,
                    "p_chatkit_request_id": request_id, "p_chatkit_session_id": format!("cksess_{request_id}"),
                    "p_expires_at": "2099-01-01T00:00:00Z", "p_sealed_secret": "x", "p_sealing_key_id": "k1",
                    "p_secret_hash": hash,
                }),
            )
            .await?;
        ensure!(status.is_success() && recorded["recorded"] == true, "{recorded}");
        let chat = ChatClient::new(&stack.function_url("serve-chatkit"), &secret);
        Ok(Self { user, session_id: session_id.to_string(), chat })
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
