//! Whether the database wakes the orchestrator: the trigger that supabase/webhook.sql makes. Where it calls, and with which secret,
//! stands in the trigger's definition, which nobody is told.

use super::{
    code::Code,
    finding::{Check, Finding},
    state::State,
};

const TABLE: &str = "delivery_queues";
const TRIGGER: &str = "wake_route_events";

/// Without a webhook all goes on, only later.
pub(super) fn examine(state: &State) -> Finding {
    let table = state.schema.tables.get(TABLE);
    match table.and_then(|table| table.triggers.get(TRIGGER)) {
        Some(true) => Finding::ok(Check::Webhook),
        Some(false) => Finding::fault(Check::Webhook, Code::WebhookDisabled),
        None => Finding::skipped(
            Check::Webhook,
            "there is none (supabase/webhook.sql): events wait for the schedule",
        ),
    }
}
