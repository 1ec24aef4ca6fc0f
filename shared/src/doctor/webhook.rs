//! Whether the database wakes the orchestrator. Where it calls, and with which secret, nobody is told; the trigger itself is part of the
//! schema.

use super::{
    code::Code,
    finding::{Check, Finding},
    state::State,
};

/// Without a webhook all goes on, only later.
pub(super) fn examine(state: &State) -> Finding {
    match (state.webhook.is_set, state.webhook.can_call) {
        (true, true) => Finding::ok(Check::Webhook),
        (true, false) => Finding::fault(Check::Webhook, Code::WebhookExtensionMissing),
        (false, _) => Finding::skipped(
            Check::Webhook,
            "there is none (supabase/webhook.sql): events wait for the schedule",
        ),
    }
}
