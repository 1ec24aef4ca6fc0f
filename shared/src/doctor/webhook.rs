//! Checks that the database calls the orchestrator's webhook. The URL and the secret are not
//! reported. The trigger itself is part of the schema.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::DeploymentState,
};

/// Without a webhook events are only delivered later, so the check is skipped.
pub(super) fn check(state: &DeploymentState) -> CheckResult {
    match (state.webhook.is_set, state.webhook.can_call) {
        (true, true) => CheckResult::ok(Check::Webhook),
        (true, false) => CheckResult::fault(Check::Webhook, FaultCode::WebhookExtensionMissing),
        (false, _) => CheckResult::skipped(
            Check::Webhook,
            "there is none (supabase/webhook.sql): events wait for the schedule",
        ),
    }
}
