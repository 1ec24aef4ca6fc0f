//! Agents and their servers: registering and listing them.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::OrgArguments;
use crate::{
    clients::supabase::{Error, Rpc, ServiceClient},
    platform::http_client::Deadline,
};

/// The content of a registration file: the arguments of an RPC that registers something in an
/// organisation.
pub trait Registration: DeserializeOwned + Serialize {
    /// Name of the RPC.
    const RPC: &'static str;
}

/// An agent of an organisation. A field without a value gets its default.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRegistration {
    pub agent_id: String,
    pub display_name: String,
    pub description: String,
    pub provider: Option<String>,
    pub enabled: Option<bool>,
    pub allowed_org_roles: Option<Vec<String>>,
    pub idle_timeout_seconds: Option<i32>,
    pub chatkit_workflow_id: Option<String>,
    pub chatkit_workflow_version: Option<String>,
    pub tracing_enabled: Option<bool>,
    pub model: Option<String>,
    pub instructions: Option<String>,
    pub reasoning_effort: Option<String>,
    pub max_input_tokens: Option<i32>,
    pub max_output_tokens: Option<i32>,
    pub max_turn_seconds: Option<i32>,
    pub max_tool_calls: Option<i32>,
    pub start_screen: Option<Value>,
    pub built_in_tools: Option<Vec<String>>,
    pub client_tools: Option<Value>,
}

impl Registration for AgentRegistration {
    const RPC: &'static str = "register_agent";
}

/// The MCP server of an agent, with its tools and routes. The database checks their fields.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRegistration {
    pub agent_id: String,
    pub url: String,
    pub credential: Option<String>,
    pub timeout_seconds: Option<i32>,
    pub max_attempts: Option<i32>,
    pub tools: Vec<Value>,
    pub routes: Vec<Value>,
}

impl Registration for ServerRegistration {
    const RPC: &'static str = "register_agent_server";
}

#[derive(Serialize)]
struct RegisterCall<'a, T: Registration>(OrgArguments<'a, T>);

impl<T: Registration> Rpc for RegisterCall<'_, T> {
    const NAME: &'static str = T::RPC;
    type Output = Value;
}

#[derive(Serialize)]
struct ListRegistrationsCall<'a> {
    p_org_id: Uuid,
    p_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after: Option<&'a str>,
}

impl Rpc for ListRegistrationsCall<'_> {
    const NAME: &'static str = "list_registrations";
    type Output = RegistrationPage;
}

/// A page of agents. Each has the member `server`, which is null without a server.
#[derive(Debug, Deserialize)]
pub struct RegistrationPage {
    pub agents: Vec<Value>,
    /// The id after which the next page begins.
    pub next: Option<String>,
}

/// Registers an agent or a server, or replaces its registration. Returns the new registration.
///
/// # Errors
/// Returns `invalid_agent` or `invalid_agent_server` with the violated rule, the latter also with a
/// pointer to the tool.
pub async fn register<T: Registration>(
    service_client: &ServiceClient,
    org_id: Uuid,
    registration: &T,
    deadline: Deadline,
) -> Result<Value, Error> {
    service_client.rpc(&RegisterCall(OrgArguments::new(org_id, registration)), deadline).await
}

/// Lists the agents of an organisation with their servers, without long texts and schemas: at most
/// 100, beginning after an id.
///
/// # Errors
/// Returns an error of Supabase.
pub async fn list_registrations(
    service_client: &ServiceClient,
    org_id: Uuid,
    limit: u32,
    after: Option<&str>,
    deadline: Deadline,
) -> Result<RegistrationPage, Error> {
    let call = ListRegistrationsCall { p_org_id: org_id, p_limit: limit, p_after: after };
    service_client.rpc(&call, deadline).await
}
