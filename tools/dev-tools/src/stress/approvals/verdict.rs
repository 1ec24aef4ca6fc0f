//! "One function decides 'may this call be made, and by whose leave', and every way to a call goes through it."

use super::amount::{Magnitude, Reading, read};
use super::operations::people;
use super::registry::{Approver, Policy, Role, Tool};
use super::state::{Kept, Kind, State};

/// What the registry says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not called, by any decision.
    Never,
    /// Released by no decision but an edit.
    Unreadable,
    /// Somebody else approves it first.
    Ask,
    /// The requester confirms it first.
    Confirm,
    /// Called.
    Auto,
}

/// A day, in which `ask_above_total` counts.
const DAY: i64 = 86_400;

/// The verdict without the total of the last day, and the rule that led to it.
pub fn verdict(tool: Option<&Tool>, inputs: &serde_json::Value) -> (Verdict, &'static str) {
    // "An agent is an MCP server of the organisation with one or more allowed tools."
    let Some(tool) = tool else { return (Verdict::Never, "never: not listed") };
    if tool.policy == Policy::Never {
        return (Verdict::Never, "never: by policy");
    }
    let reading = read(tool, inputs);
    let above = |limit: Option<u32>| {
        let limit = limit.and_then(|limit| Magnitude::parse(&limit.to_string()));
        limit.zip(reading.as_ref()).is_some_and(|(limit, reading)| reading.magnitude > limit)
    };
    // "Another currency, or what cannot be read, is … under `refuse_above` never released."
    if tool.refuse_above.is_some() && reading.is_none() {
        return (Verdict::Unreadable, "unreadable");
    }
    if above(tool.refuse_above) {
        return (Verdict::Never, "never: above refuse_above");
    }
    // "Nobody approves or edits their own request where … the policy `ask` demanded the asking."
    if tool.policy == Policy::Ask {
        return (Verdict::Ask, "ask: by policy");
    }
    // "Another currency, or what cannot be read, is never below a limit."
    if (tool.ask_above.is_some() || tool.ask_above_total.is_some()) && reading.is_none() {
        return (Verdict::Ask, "ask: not comparable");
    }
    if above(tool.ask_above) {
        return (Verdict::Ask, "ask: above ask_above");
    }
    // "`confirm`, for low risk only, asks the requester: a click on exactly what is shown."
    if tool.policy == Policy::Confirm {
        return (Verdict::Confirm, "confirm");
    }
    (Verdict::Auto, "auto")
}

/// Whether a call may be begun now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    Held(Verdict),
}

impl State {
    /// The verdict on the call of a delivery as it is now.
    pub fn verdict(&self, delivery: usize) -> (Verdict, &'static str) {
        verdict(self.tool(delivery), &self.inputs(delivery))
    }

    /// The verdict with what the decisions behind a call demand. Somebody else approves the words of an answer that was not the
    /// requester's to give: "where somebody else has to decide, the written call is a new question". And what somebody decided who
    /// may not any more is asked anew: "membership is read … again where an approved call begins".
    pub fn strictest(&mut self, delivery: usize, verdict: Verdict) -> Verdict {
        let row = &self.deliveries[delivery];
        let demands = |escalation: usize| {
            let decided = &self.escalations[escalation];
            let words = row.answer == Some(escalation) && decided.answer.is_some();
            let may = decided.decided_by.and_then(|person| self.role(person)).is_some_and(Role::approves);
            decided.approver == Approver::Other && decided.decision != Some("reject") && (words || !may)
        };
        let demanded = row.answer.into_iter().chain(row.retry).any(demands);
        if demanded && matches!(verdict, Verdict::Auto | Verdict::Confirm) {
            self.reach("ask: by an earlier decision");
            return Verdict::Ask;
        }
        verdict
    }

    /// The question that a beginning call is put to.
    pub fn admit(&mut self, delivery: usize) -> Admission {
        let (verdict, rule) = self.verdict(delivery);
        self.reach(rule);
        let verdict = self.strictest(delivery, verdict);
        let release = self.release(delivery);
        match (verdict, release) {
            (Verdict::Never | Verdict::Unreadable, _) => Admission::Held(verdict),
            // "Only an escalation that the orchestrator opened, shown from the stored arguments, releases a tool call."
            (_, Some(Kind::Policy | Kind::AgentAsked)) | (Verdict::Confirm, Some(Kind::Confirm)) => {
                Admission::Admitted
            }
            (Verdict::Auto, _) if self.keep_total(delivery) => Admission::Admitted,
            (Verdict::Auto, _) => {
                self.reach("ask: above ask_above_total");
                Admission::Held(Verdict::Ask)
            }
            _ => Admission::Held(verdict),
        }
    }

    /// The kind of the approval that releases exactly this call, if the person who gave it may still give it: "role and membership
    /// are read … again where an approved call begins".
    fn release(&self, delivery: usize) -> Option<Kind> {
        let release = self.deliveries[delivery].release.as_ref()?;
        let escalation = &self.escalations[release.escalation];
        let decider = escalation.decided_by?;
        let role = self.role(decider)?;
        let may = match escalation.kind {
            Kind::Confirm => decider == people::REQUESTER,
            _ => role.approves() && decider != people::REQUESTER,
        };
        // "A decision names the hash of what it decides": the call is the very one that was approved.
        (may && release.call == self.call(delivery)).then_some(escalation.kind)
    }

    /// "`ask_above_total` bounds what `auto` may do a user, tool and currency in 24 hours", "each counted once by its magnitude (a
    /// retry not again, a failed one too)". A call without a currency counts for each; amounts in another unit cannot be added.
    fn keep_total(&mut self, delivery: usize) -> bool {
        let Some(tool) = self.tool(delivery) else { return false };
        let (limit, unit) = (tool.ask_above_total, tool.unit);
        let Some(Reading { magnitude, currency }) = read(tool, &self.inputs(delivery)) else {
            return limit.is_none();
        };
        let target = |of: usize| (self.deliveries[of].agent, self.deliveries[of].tool);
        let counted: Vec<&Kept> = self
            .kept
            .iter()
            .filter(|kept| kept.delivery != delivery && target(kept.delivery) == target(delivery))
            .filter(|kept| kept.begun_at > self.now - DAY)
            .filter(|kept| kept.currency.is_none() || currency.is_none() || kept.currency == currency)
            .collect();
        if let Some(limit) = limit.and_then(|limit| Magnitude::parse(&limit.to_string())) {
            let total = counted.iter().fold(magnitude.clone(), |sum, kept| sum.add(&kept.magnitude));
            if counted.iter().any(|kept| kept.unit != unit) || total > limit {
                return false;
            }
        }
        self.kept.retain(|kept| kept.delivery != delivery);
        self.kept.push(Kept { delivery, magnitude, currency, unit, begun_at: self.now });
        true
    }
}
