//! The limits of an organisation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::OrgArguments;
use crate::{
    clients::supabase::{Error, Rpc, ServiceClient},
    platform::http_client::Deadline,
};

/// Limits of an organisation. A limit without a value stays as it is.
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

impl OrgLimits {
    /// The names of all limits.
    ///
    /// # Errors
    /// Does not fail for this struct.
    pub fn names() -> serde_json::Result<Vec<String>> {
        let fields: Map<String, Value> = serde_json::from_value(serde_json::to_value(Self::default())?)?;
        Ok(fields.into_iter().map(|(name, _)| name).collect())
    }
}

#[derive(Serialize)]
struct SetOrgLimitsCall<'a> {
    #[serde(flatten)]
    arguments: OrgArguments<'a, OrgLimits>,
    p_reset: &'a [String],
}

impl Rpc for SetOrgLimitsCall<'_> {
    const NAME: &'static str = "set_org_limits";
    type Output = Value;
}

/// Sets limits of an organisation, and resets others to their defaults by their names. Returns the
/// limits that apply.
///
/// # Errors
/// Returns `invalid_limits` with the violated rule.
pub async fn set_org_limits(
    service_client: &ServiceClient,
    org_id: Uuid,
    limits: &OrgLimits,
    reset: &[String],
    deadline: Deadline,
) -> Result<Value, Error> {
    let call = SetOrgLimitsCall { arguments: OrgArguments::new(org_id, limits), p_reset: reset };
    service_client.rpc(&call, deadline).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_leave_out_limits_without_a_value() {
        let limits = OrgLimits { keys_per_day_user: Some(100), ..OrgLimits::default() };
        let reset = ["active_runs_org".to_owned()];
        let call = SetOrgLimitsCall { arguments: OrgArguments::new(Uuid::nil(), &limits), p_reset: &reset };
        let expected = serde_json::json!({
            "p_org_id": Uuid::nil(), "p_keys_per_day_user": 100, "p_reset": ["active_runs_org"],
        });
        assert_eq!(serde_json::to_value(call).unwrap(), expected);
    }
}
