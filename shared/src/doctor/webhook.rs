//! Whether the database wakes the orchestrator. Where it calls, and with which secret, nobody is told; the trigger itself is part of the
//! schema.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::State,
};

/// Without a webhook all goes on, only later.
pub(super) fn check(state: &State) -> CheckResult {
    match (state.webhook.is_set, state.webhook.can_call) {
        (true, true) => CheckResult::ok(Check::Webhook),
        (true, false) => CheckResult::fault(Check::Webhook, FaultCode::WebhookExtensionMissing),
        (false, _) => CheckResult::skipped(
            Check::Webhook,
            "there is none (supabase/webhook.sql): events wait for the schedule",
        ),
    }
}
