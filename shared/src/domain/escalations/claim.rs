//! Claiming an escalation: a person marks it as being worked on. A decision needs no claim.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use uuid::Uuid;

use super::Escalation;
use crate::{
    auth::DecisionRules,
    clients::supabase::{Rpc, ServiceClient},
    domain::RequestContext,
    error::Error,
    platform::telemetry,
};

/// A claim as the caller sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClaim {
    pub seconds: Option<ClaimSeconds>,
}

/// Duration of a claim: 30 seconds to one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimSeconds(u16);

impl<'de> Deserialize<'de> for ClaimSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u16::deserialize(deserializer).ok().filter(|seconds| (30..=3600).contains(seconds));
        seconds.map(Self).ok_or_else(|| D::Error::custom("must be an integer from 30 to 3600"))
    }
}

#[derive(Serialize)]
struct ClaimEscalationCall {
    p_escalation_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_seconds: Option<ClaimSeconds>,
}

impl Rpc for ClaimEscalationCall {
    const NAME: &'static str = "claim_escalation";
    type Output = ChangedEscalation;
}

#[derive(Serialize)]
struct ReleaseEscalationCall {
    p_escalation_id: Uuid,
}

impl Rpc for ReleaseEscalationCall {
    const NAME: &'static str = "release_escalation";
    type Output = ChangedEscalation;
}

#[derive(Deserialize)]
struct ChangedEscalation {
    escalation: Escalation,
}

/// Claims an escalation for the caller, or extends the caller's claim.
///
/// # Errors
/// `escalation_claimed` with the claim of another person, or the errors of a decision that the
/// caller may not take (see [`super::Obstacle`]).
pub async fn claim(
    service_client: &ServiceClient,
    context: &RequestContext,
    rules: &DecisionRules,
    id: Uuid,
    new: NewClaim,
) -> Result<Escalation, Error> {
    rules.check(&context.caller.assurance)?;
    let call = context.on_behalf(ClaimEscalationCall { p_escalation_id: id, p_seconds: new.seconds });
    let changed = service_client.rpc(&call, context.deadline).await?;
    telemetry::record_session_id(changed.escalation.session_id);
    Ok(changed.escalation)
}

/// Ends the caller's claim, if there is one.
///
/// # Errors
/// `escalation_claimed` with the claim of another person, `not_a_member`, `escalation_not_found`.
pub async fn release(
    service_client: &ServiceClient,
    context: &RequestContext,
    rules: &DecisionRules,
    id: Uuid,
) -> Result<Escalation, Error> {
    rules.check(&context.caller.assurance)?;
    let call = context.on_behalf(ReleaseEscalationCall { p_escalation_id: id });
    let changed = service_client.rpc(&call, context.deadline).await?;
    telemetry::record_session_id(changed.escalation.session_id);
    Ok(changed.escalation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_lasts_30_seconds_to_one_hour() {
        let read = |body: &str| serde_json::from_str::<NewClaim>(body).map(|claim| claim.seconds);
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"seconds": null}"#).unwrap(), None);
        assert_eq!(read(r#"{"seconds": 3600}"#).unwrap(), Some(ClaimSeconds(3600)));
        for wrong in [r#"{"seconds": 29}"#, r#"{"seconds": 3601}"#, r#"{"seconds": 60.0}"#, r#"{"for": 60}"#]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
