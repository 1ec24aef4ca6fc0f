//! Operations that only an operator performs: registrations, members and settings of an
//! organisation, dead deliveries and transcripts. They return the error of the database, because
//! its detail names the rule that an argument violates.

mod deliveries;
mod limits;
mod members;
mod registrations;

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clients::supabase::{Error, Rpc, ServiceClient},
    platform::http_client::Deadline,
};

pub use deliveries::{DeadDeliveries, DeadDelivery, list_dead_deliveries, replay_delivery};
pub use limits::{OrgLimits, set_org_limits};
pub use members::{Member, MemberPage, find_member, list_members, remove_member, set_member_role};
pub use registrations::{
    AgentRegistration, Registration, RegistrationPage, ServerRegistration, list_registrations, register,
};

/// Arguments of an RPC that sets a registration or the limits of an organisation.
#[derive(Serialize)]
struct OrgArguments<'a, T: Serialize> {
    p_org_id: Uuid,
    #[serde(flatten)]
    fields: PrefixedFields<'a, T>,
}

impl<'a, T: Serialize> OrgArguments<'a, T> {
    fn new(org_id: Uuid, fields: &'a T) -> Self {
        Self { p_org_id: org_id, fields: PrefixedFields(fields) }
    }
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
            (AgentRegistration::RPC, fields(serde_json::to_value(AgentRegistration::default()))),
            (ServerRegistration::RPC, fields(serde_json::to_value(ServerRegistration::default()))),
            ("set_org_limits", fields(serde_json::to_value(OrgLimits::default()))),
        ] {
            let parameters = rpc_parameters().remove(function).unwrap();
            let others = ["p_org_id", "p_reset"];
            let parameters: BTreeSet<String> =
                parameters.into_iter().filter(|name| !others.contains(&name.as_str())).collect();
            assert_eq!(fields, parameters, "{function}");
        }
    }
}
