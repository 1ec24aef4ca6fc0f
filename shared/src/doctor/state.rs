//! State of a deployment, as the SQL function `deployment_state` reports it. It identifies
//! no organisation, user or session.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{clients::supabase::Rpc, platform::parse::Timestamp};

/// Call of the RPC function that describes the database.
#[derive(Serialize)]
pub(super) struct DeploymentStateCall {}

impl Rpc for DeploymentStateCall {
    const NAME: &'static str = "deployment_state";
    type Output = DeploymentState;
}

#[derive(Debug, Deserialize)]
pub(super) struct DeploymentState {
    /// Time by the database's clock.
    pub now: Timestamp,
    /// Whether transactions are read-only by default, as Supabase sets it if the disk is full.
    pub read_only: bool,
    pub schema: DatabaseSchema,
    pub webhook: WebhookState,
    /// Timestamps of the applied migrations; `None` if the database keeps no history of them.
    pub migrations: Option<BTreeSet<String>>,
    pub workflow_count: usize,
    pub workflows: Vec<AgentWorkflow>,
    pub self_hosted_agents: SelfHostedAgents,
    pub agent_server_count: usize,
    pub agent_servers: Vec<AgentServer>,
    /// Number of organisations whose agents may need an approval by another person and that
    /// have fewer than two approvers.
    pub organisations_short_of_approvers: u64,
    /// Ids of the keys that seal unexpired client secrets.
    pub sealing_key_ids: Vec<String>,
}

/// Webhook that starts the orchestrator.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookState {
    /// Whether the function's URL is configured in the database.
    pub is_set: bool,
    /// Whether the extension that sends the request is installed.
    pub can_call: bool,
    /// Whether Supabase Vault has the secret of the request.
    pub has_secret: bool,
}

/// Objects that callers might be able to access.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct DatabaseSchema {
    pub tables: BTreeMap<String, DatabaseTable>,
    pub functions: BTreeMap<String, Function>,
    pub private_usage: BTreeSet<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct DatabaseTable {
    pub row_level_security: bool,
    pub policies: BTreeMap<String, Policy>,
    pub grants: BTreeSet<String>,
    /// Whether each trigger is enabled, by name.
    pub triggers: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
pub(super) struct Policy {
    command: String,
    pub permissive: bool,
    roles: BTreeSet<String>,
    using: Option<String>,
    check: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Function {
    pub security_definer: bool,
    pub settings: BTreeSet<String>,
    pub body: String,
    pub execute: BTreeSet<String>,
}

/// A workflow of enabled agents.
#[derive(Debug, Deserialize)]
pub(super) struct AgentWorkflow {
    pub workflow_id: String,
    pub workflow_version: Option<String>,
    /// Id of one of these agents.
    pub agent_id: String,
    /// Number of agents that use it.
    pub agents: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct SelfHostedAgents {
    /// Id of one of them.
    pub agent_id: Option<String>,
    pub agents: usize,
}

/// A server of enabled agents.
#[derive(Debug, Deserialize)]
pub(super) struct AgentServer {
    pub url: String,
    pub credential: Option<String>,
    /// Id of one of these agents.
    pub agent_id: String,
    /// Number of agents that use it.
    pub agents: usize,
    /// Registrations of the tools that agents may call on it. Agents may differ in a tool.
    pub tools: Vec<RegisteredTool>,
}

/// A tool in the registration of one or more agents.
#[derive(Debug, Deserialize)]
pub(super) struct RegisteredTool {
    pub name: String,
    pub arguments: ToolArguments,
    pub input_schema: Option<Value>,
    /// Whether it has a description, without which models are not offered it.
    pub is_described: bool,
    /// Whether a model is meant to call it: it has plain arguments, and its agent is self-hosted.
    pub is_for_models: bool,
}

/// The form in which a tool receives a call.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToolArguments {
    /// The arguments are the whole call.
    Envelope,
    /// The arguments are the inputs of the call.
    Plain,
}

/// Names one agent, and the number of the others.
pub(super) fn for_agents(agent_id: &str, agents: usize) -> String {
    match agents {
        0 | 1 => agent_id.to_owned(),
        _ => format!("{agent_id} and {} more", agents - 1),
    }
}
