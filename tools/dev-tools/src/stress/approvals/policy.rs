//! The policy: whether a call may start, and who has to approve it.

use super::amount::{Magnitude, Reading, read};
use super::operations::people;
use super::registry::{Approver, Policy, Role, Tool};
use super::state::{AutoCall, EscalationKind, State};

/// The policy's decision on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDecision {
    /// Never called, whatever the decisions.
    Never,
    /// Released only by an edit.
    Unreadable,
    /// Another user has to approve it.
    Ask,
    /// The requester has to confirm it.
    Confirm,
    /// Called without approval.
    Auto,
}

/// The period of `ask_above_total`.
const DAY: i64 = 86_400;

/// Returns the decision without the daily total, and the rule that determined it.
pub fn policy_decision(tool: Option<&Tool>, inputs: &serde_json::Value) -> (PolicyDecision, &'static str) {
    // Only registered tools are called.
    let Some(tool) = tool else { return (PolicyDecision::Never, "never: not listed") };
    if tool.policy == Policy::Never {
        return (PolicyDecision::Never, "never: by policy");
    }
    let reading = read(tool, inputs);
    let above = |limit: Option<u32>| {
        let limit = limit.and_then(|limit| Magnitude::parse(&limit.to_string()));
        limit.zip(reading.as_ref()).is_some_and(|(limit, reading)| reading.magnitude > limit)
    };
    // Under `refuse_above`, an unreadable amount is never released.
    if tool.refuse_above.is_some() && reading.is_none() {
        return (PolicyDecision::Unreadable, "unreadable");
    }
    if above(tool.refuse_above) {
        return (PolicyDecision::Never, "never: above refuse_above");
    }
    // Under `ask`, another user approves every call.
    if tool.policy == Policy::Ask {
        return (PolicyDecision::Ask, "ask: by policy");
    }
    // An unreadable amount counts as above a limit.
    if (tool.ask_above.is_some() || tool.ask_above_total.is_some()) && reading.is_none() {
        return (PolicyDecision::Ask, "ask: not comparable");
    }
    if above(tool.ask_above) {
        return (PolicyDecision::Ask, "ask: above ask_above");
    }
    // Under `confirm`, the requester confirms the displayed call.
    if tool.policy == Policy::Confirm {
        return (PolicyDecision::Confirm, "confirm");
    }
    (PolicyDecision::Auto, "auto")
}

/// Whether a call may start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    Held(PolicyDecision),
}

impl State {
    /// Returns the decision on the current call of a delivery.
    pub fn policy_decision(&self, delivery: usize) -> (PolicyDecision, &'static str) {
        policy_decision(self.tool(delivery), &self.inputs(delivery))
    }

    /// Applies the requirements of earlier decisions. Another user approves an answer that the
    /// requester was not entitled to give. A decision of a user who has lost the right is requested
    /// again when the call starts.
    pub fn apply_decisions(&mut self, delivery: usize, policy_decision: PolicyDecision) -> PolicyDecision {
        let row = &self.deliveries[delivery];
        let demands = |escalation: usize| {
            let decided = &self.escalations[escalation];
            let has_answer = row.answer == Some(escalation) && decided.answer.is_some();
            let may_decide =
                decided.decided_by.and_then(|person| self.role(person)).is_some_and(Role::approves);
            decided.approver == Approver::Other
                && decided.decision != Some("reject")
                && (has_answer || !may_decide)
        };
        let demanded = row.answer.into_iter().chain(row.retry).any(demands);
        if demanded && matches!(policy_decision, PolicyDecision::Auto | PolicyDecision::Confirm) {
            self.cover("ask: by an earlier decision");
            return PolicyDecision::Ask;
        }
        if policy_decision == PolicyDecision::Auto && self.is_influenced(delivery) {
            self.cover("ask: after the output of a tool");
            return PolicyDecision::Ask;
        }
        policy_decision
    }

    /// Returns whether a model wrote the call after it had read the output of a tool, which may
    /// contain instructions. It matters for tools with a limit that do not trust such calls.
    fn is_influenced(&self, delivery: usize) -> bool {
        let chat = self.deliveries[delivery].chat.as_ref();
        chat.is_some_and(|chat| chat.follows_tool_output)
            && self.tool(delivery).is_some_and(|tool| tool.has_limit() && !tool.trusts_tool_output)
    }

    /// Decides whether a call may start.
    pub fn admit(&mut self, delivery: usize) -> Admission {
        let (policy_decision, rule) = self.policy_decision(delivery);
        self.cover(rule);
        let policy_decision = self.apply_decisions(delivery, policy_decision);
        let release = self.release(delivery);
        match (policy_decision, release) {
            (PolicyDecision::Never | PolicyDecision::Unreadable, _) => Admission::Held(policy_decision),
            // Only an escalation of the dispatcher, displayed from the stored arguments, releases a
            // call.
            (_, Some(EscalationKind::Policy | EscalationKind::AgentAsked))
            | (PolicyDecision::Confirm, Some(EscalationKind::Confirm)) => Admission::Admitted,
            (PolicyDecision::Auto, _) if self.count_towards_total(delivery) => Admission::Admitted,
            (PolicyDecision::Auto, _) => {
                self.cover("ask: above ask_above_total");
                Admission::Held(PolicyDecision::Ask)
            }
            _ => Admission::Held(policy_decision),
        }
    }

    /// Returns the kind of the approval that releases exactly this call, if its user still has the
    /// right.
    fn release(&self, delivery: usize) -> Option<EscalationKind> {
        let release = self.deliveries[delivery].release.as_ref()?;
        let escalation = &self.escalations[release.escalation];
        let decider = escalation.decided_by?;
        let role = self.role(decider)?;
        let may_decide = match escalation.kind {
            EscalationKind::Confirm => decider == people::REQUESTER,
            _ => role.approves() && decider != people::REQUESTER,
        };
        // The call must equal the approved one.
        (may_decide && release.call == self.call(delivery)).then_some(escalation.kind)
    }

    /// Counts a call towards `ask_above_total`: the total of `auto` calls per user, tool and
    /// currency in 24 hours. Each call counts once by its magnitude, including failed ones. A call
    /// without a currency counts for every currency; other units cannot be added.
    fn count_towards_total(&mut self, delivery: usize) -> bool {
        let Some(tool) = self.tool(delivery) else { return false };
        let (limit, unit) = (tool.ask_above_total, tool.unit);
        let Some(Reading { magnitude, currency }) = read(tool, &self.inputs(delivery)) else {
            return limit.is_none();
        };
        let target = |of: usize| (self.deliveries[of].agent, self.deliveries[of].tool);
        let counted: Vec<&AutoCall> = self
            .auto_calls
            .iter()
            .filter(|auto_calls| {
                auto_calls.delivery != delivery && target(auto_calls.delivery) == target(delivery)
            })
            .filter(|auto_calls| auto_calls.begun_at > self.now - DAY)
            .filter(|auto_calls| {
                auto_calls.currency.is_none() || currency.is_none() || auto_calls.currency == currency
            })
            .collect();
        if let Some(limit) = limit.and_then(|limit| Magnitude::parse(&limit.to_string())) {
            let total =
                counted.iter().fold(magnitude.clone(), |sum, auto_calls| sum.add(&auto_calls.magnitude));
            if counted.iter().any(|auto_calls| auto_calls.unit != unit) || total > limit {
                return false;
            }
        }
        self.auto_calls.retain(|auto_calls| auto_calls.delivery != delivery);
        self.auto_calls.push(AutoCall { delivery, magnitude, currency, unit, begun_at: self.now });
        true
    }
}
