//! Reading one escalation, as the caller.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::EscalationDetails;
use crate::{
    auth::DecisionRules,
    clients::supabase::{Rpc, UserClient},
    domain::RequestContext,
    error::{Error, ErrorCode},
};

#[derive(Serialize)]
struct GetEscalationCall {
    p_escalation_id: Uuid,
}

#[derive(Deserialize)]
struct FoundEscalation {
    escalation: Option<EscalationDetails>,
}

impl Rpc for GetEscalationCall {
    const NAME: &'static str = "get_escalation";
    type Output = FoundEscalation;
}

/// Returns an escalation of any status, with its decision and delivery.
///
/// # Errors
/// Returns [`ErrorCode::EscalationNotFound`] both if the escalation does not exist and if the
/// caller may not see it.
pub async fn find(
    user_client: &UserClient,
    context: &RequestContext,
    rules: &DecisionRules,
    id: Uuid,
) -> Result<EscalationDetails, Error> {
    let call = GetEscalationCall { p_escalation_id: id };
    let found = user_client.rpc(&call, &context.caller.token, context.deadline).await?;
    let mut details = found.escalation.ok_or_else(|| Error::new(ErrorCode::EscalationNotFound))?;
    details.escalation.may_decide.restrict(rules, &context.caller.assurance);
    Ok(details)
}
