//! Operations that only an operator performs: registrations, settings of an organisation, dead
//! deliveries and transcripts. They return the error of the database, because its detail names the
//! rule that an argument violates.

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clients::supabase::{Error, Rpc, ServiceClient},
    platform::{http_client::Deadline, parse::Timestamp},
};

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

/// The limits of an organisation. A field without a value gets its default.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrgLimits {
    pub secrets_per_minute_user: Option<i32>,
    pub secrets_per_minute_session: Option<i32>,
    pub events_per_minute_user: Option<i32>,
    pub events_per_minute_session: Option<i32>,
    pub thread_reads_per_minute_user: Option<i32>,
    pub keys_per_day_user: Option<i32>,
    pub active_sessions_user: Option<i32>,
    pub turns_per_minute_user: Option<i32>,
    pub turns_per_minute_org: Option<i32>,
    pub active_runs_user: Option<i32>,
    pub active_runs_org: Option<i32>,
    pub tokens_per_day_user: Option<i32>,
    pub tokens_per_day_org: Option<i32>,
}

/// A page of dead letters and deliveries of unknown outcome.
#[derive(Debug, Deserialize)]
pub struct DeadDeliveries {
    pub deliveries: Vec<DeadDelivery>,
    /// The id after which the next page begins.
    pub next: Option<Uuid>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeadDelivery {
    pub id: Uuid,
    pub org_id: Uuid,
    pub user_id: Uuid,
    pub session_id: Uuid,
    /// The idempotency key of the call.
    pub event_id: Uuid,
    pub agent_id: String,
    pub tool: String,
    /// `dead` or `unknown`.
    pub status: String,
    pub error: Option<String>,
    pub attempts: i32,
    pub depth: i32,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// Arguments of an RPC that replaces a registration or the settings of an organisation.
#[derive(Serialize)]
struct OrgArguments<'a, T: Serialize> {
    p_org_id: Uuid,
    #[serde(flatten)]
    fields: PrefixedFields<'a, T>,
}

/// Serialises a struct with the prefix `p_` before the name of each field. Leaves out fields
/// without a value, so that the RPC uses their defaults.
struct PrefixedFields<'a, T>(&'a T);

impl<T: Serialize> Serialize for PrefixedFields<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(fields) = serde_json::to_value(self.0).map_err(S::Error::custom)? else {
            return Err(S::Error::custom("the arguments are not an object"));
        };
        let given = fields.into_iter().filter(|(_, value)| !value.is_null());
        serializer.collect_map(given.map(|(name, value)| (format!("p_{name}"), value)))
    }
}

#[derive(Serialize)]
struct RegisterAgentCall<'a>(OrgArguments<'a, AgentRegistration>);

impl Rpc for RegisterAgentCall<'_> {
    const NAME: &'static str = "register_agent";
    type Output = Value;
}

#[derive(Serialize)]
struct RegisterAgentServerCall<'a>(OrgArguments<'a, ServerRegistration>);

impl Rpc for RegisterAgentServerCall<'_> {
    const NAME: &'static str = "register_agent_server";
    type Output = Value;
}

#[derive(Serialize)]
struct SetOrgLimitsCall<'a>(OrgArguments<'a, OrgLimits>);

impl Rpc for SetOrgLimitsCall<'_> {
    const NAME: &'static str = "set_org_limits";
    type Output = Value;
}

#[derive(Serialize)]
struct SetRetentionCall {
    p_org_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_keep_days: Option<u32>,
}

impl Rpc for SetRetentionCall {
    const NAME: &'static str = "set_retention";
    type Output = Value;
}

#[derive(Serialize)]
struct ListDeadDeliveriesCall {
    p_org_id: Uuid,
    p_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after: Option<Uuid>,
}

impl Rpc for ListDeadDeliveriesCall {
    const NAME: &'static str = "list_dead_deliveries";
    type Output = DeadDeliveries;
}

#[derive(Serialize)]
struct ReplayDeliveryCall {
    p_org_id: Uuid,
    p_delivery_id: Uuid,
}

#[derive(Deserialize)]
struct ReplayedDelivery {
    replayed: bool,
}

impl Rpc for ReplayDeliveryCall {
    const NAME: &'static str = "replay_delivery";
    type Output = ReplayedDelivery;
}

#[derive(Serialize)]
struct RequestTranscriptCall {
    p_org_id: Uuid,
    p_session_id: Uuid,
}

#[derive(Deserialize)]
struct RequestedTranscript {
    threads: u32,
}

impl Rpc for RequestTranscriptCall {
    const NAME: &'static str = "request_transcript";
    type Output = RequestedTranscript;
}

/// Registers an agent, or replaces its registration. Returns the new registration.
///
/// # Errors
/// Returns `invalid_agent` with the violated rule.
pub async fn register_agent(
    service_client: &ServiceClient,
    org_id: Uuid,
    registration: &AgentRegistration,
    deadline: Deadline,
) -> Result<Value, Error> {
    let arguments = OrgArguments { p_org_id: org_id, fields: PrefixedFields(registration) };
    service_client.rpc(&RegisterAgentCall(arguments), deadline).await
}

/// Registers an agent's server, or replaces its registration. Returns the new registration.
///
/// # Errors
/// Returns `invalid_agent_server` with the violated rule, and a pointer to the tool.
pub async fn register_agent_server(
    service_client: &ServiceClient,
    org_id: Uuid,
    registration: &ServerRegistration,
    deadline: Deadline,
) -> Result<Value, Error> {
    let arguments = OrgArguments { p_org_id: org_id, fields: PrefixedFields(registration) };
    service_client.rpc(&RegisterAgentServerCall(arguments), deadline).await
}

/// Replaces the limits of an organisation. Returns the limits that apply.
///
/// # Errors
/// Returns `invalid_limits` with the violated rule.
pub async fn set_org_limits(
    service_client: &ServiceClient,
    org_id: Uuid,
    limits: &OrgLimits,
    deadline: Deadline,
) -> Result<Value, Error> {
    let arguments = OrgArguments { p_org_id: org_id, fields: PrefixedFields(limits) };
    service_client.rpc(&SetOrgLimitsCall(arguments), deadline).await
}

/// Sets for how many days an organisation keeps its ended sessions, or that it keeps them forever.
///
/// # Errors
/// Returns `invalid_retention` with the violated rule.
pub async fn set_retention(
    service_client: &ServiceClient,
    org_id: Uuid,
    keep_days: Option<u32>,
    deadline: Deadline,
) -> Result<Value, Error> {
    let call = SetRetentionCall { p_org_id: org_id, p_keep_days: keep_days };
    service_client.rpc(&call, deadline).await
}

/// Lists dead letters and deliveries of unknown outcome, the newest first: at most 1000, beginning
/// after an id.
///
/// # Errors
/// Returns an error of Supabase.
pub async fn list_dead_deliveries(
    service_client: &ServiceClient,
    org_id: Uuid,
    limit: u32,
    after: Option<Uuid>,
    deadline: Deadline,
) -> Result<DeadDeliveries, Error> {
    let call = ListDeadDeliveriesCall { p_org_id: org_id, p_limit: limit, p_after: after };
    service_client.rpc(&call, deadline).await
}

/// Queues a dead letter or a delivery of unknown outcome again. Returns `false` if it was already
/// queued.
///
/// # Errors
/// Returns `delivery_not_found`, `delivery_not_dead` with its status, or `session_ended`.
pub async fn replay_delivery(
    service_client: &ServiceClient,
    org_id: Uuid,
    delivery_id: Uuid,
    deadline: Deadline,
) -> Result<bool, Error> {
    let call = ReplayDeliveryCall { p_org_id: org_id, p_delivery_id: delivery_id };
    Ok(service_client.rpc(&call, deadline).await?.replayed)
}

/// Requests a copy of a session's threads. Returns the number of its threads.
///
/// # Errors
/// Returns `session_not_found`.
pub async fn request_transcript(
    service_client: &ServiceClient,
    org_id: Uuid,
    session_id: Uuid,
    deadline: Deadline,
) -> Result<u32, Error> {
    let call = RequestTranscriptCall { p_org_id: org_id, p_session_id: session_id };
    Ok(service_client.rpc(&call, deadline).await?.threads)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clients::supabase::rpc_parameters;

    /// An argument that an RPC gets must have a field, otherwise operators cannot set it.
    #[test]
    fn registrations_and_limits_have_a_field_for_each_argument() {
        let fields = |value: Result<Value, serde_json::Error>| -> BTreeSet<String> {
            value.unwrap().as_object().unwrap().keys().map(|name| format!("p_{name}")).collect()
        };
        for (function, fields) in [
            ("register_agent", fields(serde_json::to_value(AgentRegistration::default()))),
            ("register_agent_server", fields(serde_json::to_value(ServerRegistration::default()))),
            ("set_org_limits", fields(serde_json::to_value(OrgLimits::default()))),
        ] {
            let parameters = rpc_parameters().remove(function).unwrap();
            let parameters: BTreeSet<String> =
                parameters.into_iter().filter(|name| name != "p_org_id").collect();
            assert_eq!(fields, parameters, "{function}");
        }
    }

    #[test]
    fn arguments_leave_out_fields_without_a_value() {
        let limits = OrgLimits { keys_per_day_user: Some(100), ..OrgLimits::default() };
        let arguments = OrgArguments { p_org_id: Uuid::nil(), fields: PrefixedFields(&limits) };
        let expected = serde_json::json!({ "p_org_id": Uuid::nil(), "p_keys_per_day_user": 100 });
        assert_eq!(serde_json::to_value(SetOrgLimitsCall(arguments)).unwrap(), expected);
    }
}
