//! Adds users and agents to a stack.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::LocalStack;
use super::builder::PROJECT;
use crate::agents;
use crate::openai::Workflow;
use crate::supabase::{OrgRole, User};

impl LocalStack {
    /// Creates a user as a member of an organisation.
    pub async fn add_user(&self, org_id: Uuid, role: OrgRole) -> Result<User> {
        let user = User::new(org_id, role);
        self.upsert_user(&user).await?;
        Ok(user)
    }

    /// Inserts a user into `auth.users`, or updates the user's metadata.
    pub async fn upsert_user(&self, user: &User) -> Result<()> {
        let statement = "insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data)
            values ($1, 'authenticated', 'authenticated', $2, $3, '{}')
            on conflict (id) do update set raw_app_meta_data = excluded.raw_app_meta_data";
        let insert = sqlx::query(statement).bind(user.id).bind(user.email()).bind(user.app_metadata());
        insert.execute(self.database()).await.context("adding a user")?;
        Ok(())
    }

    /// Sets the name by which colleagues know a user.
    pub async fn name_user(&self, user: &User, name: &str) -> Result<()> {
        let statement = "update auth.users
            set raw_app_meta_data = raw_app_meta_data || jsonb_build_object('name', $2::text) where id = $1";
        let update = sqlx::query(statement).bind(user.id).bind(name);
        update.execute(self.database()).await.context("naming a user")?;
        Ok(())
    }

    /// Sets an organisation's rate limits to very high values, for tests with hundreds of requests.
    pub async fn raise_limits(&self, org_id: Uuid) -> Result<()> {
        let limits = json!({
            "p_org_id": org_id,
            "p_secrets_per_minute_user": 100_000, "p_secrets_per_minute_session": 100_000,
            "p_events_per_minute_user": 1_000_000, "p_events_per_minute_session": 1_000_000,
            "p_thread_reads_per_minute_user": 100_000, "p_keys_per_day_user": 1_000_000,
            "p_active_sessions_user": 1_000_000, "p_turns_per_minute_user": 100_000,
            "p_turns_per_minute_org": 1_000_000, "p_active_runs_user": 100_000,
            "p_active_runs_org": 100_000, "p_tokens_per_day_user": 2_000_000_000,
            "p_tokens_per_day_org": 2_000_000_000,
        });
        let (status, answer) = self.rpc("set_org_limits", limits).await?;
        ensure!(status.is_success(), "set_org_limits answered {status}: {answer}");
        Ok(())
    }

    /// Registers the server of one of the stack's agents, with its tool and its routes: clicks and
    /// submitted forms in its own sessions, follow-ups of other agents, and handovers.
    pub async fn register_agent_tool(&self, org_id: Uuid, agent_id: &str, tool: Value) -> Result<Value> {
        let agent = self.agents().agent(agent_id).with_context(|| format!("there is no agent {agent_id}"))?;
        self.register_agent_server(org_id, agent_id, &agent.url(), Some(agent_id), tool).await
    }

    /// Like [`LocalStack::register_agent_tool`], with any server.
    pub async fn register_agent_server(
        &self,
        org_id: Uuid,
        agent_id: &str,
        url: &str,
        credential: Option<&str>,
        mut tool: Value,
    ) -> Result<Value> {
        tool["name"] = json!(agents::TOOL);
        self.register_agent_server_with(org_id, agent_id, url, credential, json!([tool])).await
    }

    /// Like [`LocalStack::register_agent_server`], with several tools and their names. Events go to
    /// [`agents::TOOL`].
    pub async fn register_agent_server_with(
        &self,
        org_id: Uuid,
        agent_id: &str,
        url: &str,
        credential: Option<&str>,
        tools: Value,
    ) -> Result<Value> {
        let own = |event_type: &str| json!({ "tool": agents::TOOL, "event_type": event_type, "session_agent_id": agent_id });
        let mut arguments = json!({
            "p_org_id": org_id,
            "p_agent_id": agent_id,
            "p_url": url,
            "p_tools": tools,
            "p_routes": [
                own("button_click"), own("form_submit"), own("handover"),
                { "tool": agents::TOOL, "event_type": "agent_follow_up" },
            ],
            "p_timeout_seconds": 5,
        });
        if let Some(credential) = credential {
            arguments["p_credential"] = json!(credential);
        }
        let (status, answer) = self.rpc("register_agent_server", arguments).await?;
        ensure!(status.is_success(), "register_agent_server answered {status}: {answer}");
        Ok(answer)
    }

    /// Registers a self-hosted agent through the RPC. `settings` adds or replaces arguments, for
    /// example `p_model`.
    pub async fn register_self_hosted_agent(
        &self,
        org_id: Uuid,
        agent_id: &str,
        settings: Value,
    ) -> Result<Value> {
        let mut arguments = json!({
            "p_org_id": org_id,
            "p_agent_id": agent_id,
            "p_display_name": agent_id,
            "p_description": "Answers from its own model",
            "p_provider": "self_hosted",
            "p_model": "model-1",
        });
        let settings = settings.as_object().cloned().context("the settings are not an object")?;
        arguments.as_object_mut().context("the arguments are not an object")?.extend(settings);
        let (status, answer) = self.rpc("register_agent", arguments).await?;
        ensure!(status.is_success(), "register_agent answered {status}: {answer}");
        Ok(answer)
    }

    /// Registers an agent through the RPC, and its workflow with OpenAI.
    pub async fn register_agent(&self, org_id: Uuid, agent_id: &str, display_name: &str) -> Result<Value> {
        let workflow = format!("wf_{}", Uuid::new_v4().simple());
        self.openai().add_workflow(Workflow {
            id: workflow.clone(),
            project: PROJECT.to_owned(),
            versions: vec!["1".to_owned()],
        });
        let arguments = json!({
            "p_org_id": org_id,
            "p_agent_id": agent_id,
            "p_display_name": display_name,
            "p_description": format!("Answers questions about {}", display_name.to_lowercase()),
            "p_chatkit_workflow_id": workflow,
            "p_chatkit_workflow_version": "1",
        });
        let (status, answer) = self.rpc("register_agent", arguments).await?;
        ensure!(status.is_success(), "register_agent answered {status}: {answer}");
        Ok(answer)
    }
}
