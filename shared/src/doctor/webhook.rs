//! Checks that the database can call the webhook. The URL and the secret are not reported. The
//! trigger itself is part of the schema.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::DeploymentState,
};

/// Without a webhook events are only delivered later, so the check is skipped.
pub(super) fn check(state: &DeploymentState) -> CheckResult {
    let webhook = &state.webhook;
    if !webhook.is_set {
        let reason = "no webhook is configured (supabase/webhook.sql): events wait for the schedule";
        CheckResult::skipped(Check::Webhook, reason)
    } else if !webhook.can_call {
        CheckResult::fault(Check::Webhook, FaultCode::WebhookExtensionMissing)
    } else if !webhook.has_secret {
        CheckResult::fault(Check::Webhook, FaultCode::WebhookSecretMissing)
    } else {
        CheckResult::ok(Check::Webhook)
    }
}
