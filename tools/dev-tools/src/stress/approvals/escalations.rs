//! Opening escalations, and recording failures of calls.

use serde_json::{Value, json};

use super::policy::PolicyDecision;
use super::registry::{Approver, Risk};
use super::state::{DeliveryStatus, Escalation, EscalationKind, EscalationStatus, State, members};

/// A new escalation about a delivery.
pub struct NewEscalation {
    pub kind: EscalationKind,
    pub decisions: Vec<&'static str>,
    pub schema: bool,
    pub seconds: Option<i64>,
    pub risk: Option<&'static str>,
    pub approver: Option<&'static str>,
    pub error: Option<&'static str>,
    pub predecessor: Option<usize>,
}

impl NewEscalation {
    pub fn new(kind: EscalationKind, decisions: &[&'static str]) -> Self {
        let decisions = decisions.to_vec();
        Self {
            kind,
            decisions,
            schema: false,
            seconds: None,
            risk: None,
            approver: None,
            error: None,
            predecessor: None,
        }
    }
}

/// The answer schema of an agent's request.
pub fn schema() -> Value {
    json!({ "type": "object" })
}

impl State {
    /// Opens an escalation about a delivery. An agent's request can raise the risk, restrict the
    /// approver and shorten the expiry of the registration, but not the reverse. An unregistered
    /// tool gets the strictest values.
    pub fn ask(
        &mut self,
        delivery: usize,
        new_escalation: NewEscalation,
        actor: (&'static str, Option<String>),
    ) {
        let tool = self.tool(delivery);
        let (least_risk, approver, longest) = tool.map_or((Risk::High, Approver::Other, 86_400), |tool| {
            (tool.risk, tool.approver, tool.ask_expires_in_seconds)
        });
        let asked_risk = match new_escalation.risk {
            Some("high") => Risk::High,
            Some("medium") => Risk::Medium,
            _ => Risk::Low,
        };
        let risk = least_risk.max(asked_risk);
        let seconds = new_escalation.seconds.map_or(longest, |seconds| seconds.min(longest));
        let approved = self.deliveries[delivery].release.as_ref().map(|release| release.escalation);
        let approved_by_other =
            approved.is_some_and(|escalation| self.escalations[escalation].kind != EscalationKind::Confirm);
        let approver = match new_escalation.kind {
            EscalationKind::Confirm => Approver::Itself,
            // Requesters cannot approve if the risk is above low or the policy is `ask`.
            EscalationKind::Policy => Approver::Other,
            _ if risk > Risk::Low => Approver::Other,
            // Repeating a call that another user approved.
            EscalationKind::AgentFailed | EscalationKind::OutcomeUnknown if approved_by_other => {
                Approver::Other
            }
            _ if new_escalation.approver == Some("other") => Approver::Other,
            _ => approver,
        };

        let session = self.deliveries[delivery].session;
        let author = self.deliveries[delivery].author;
        let mut ask_json = json!({ "reason": "reason", "decisions": new_escalation.decisions });
        if new_escalation.schema {
            ask_json["schema"] = schema();
        }
        let name = self.delivery_name(delivery);
        let event = self.append(session, "hitl_escalation", Value::Null, actor.0, actor.1);
        let mut payload = ask_json.clone();
        let (agent, tool) = (self.deliveries[delivery].agent, self.deliveries[delivery].tool);
        for (member, value) in [
            ("escalationId", json!(format!("escalation by {}", self.event_name(event)))),
            ("kind", json!(new_escalation.kind.name())),
            ("deliveryId", json!(name)),
            ("agentId", json!(agent)),
            ("tool", json!(tool)),
            ("expiresInSeconds", json!(seconds)),
        ] {
            payload[member] = value;
        }
        self.events[event].payload = payload;

        let call = self.call(delivery);
        let mut subject = call.clone();
        for (member, value) in members([
            ("kind", Some(json!(new_escalation.kind.name()))),
            ("deliveryId", Some(json!(name))),
            ("risk", Some(json!(risk.name()))),
            ("approver", Some(json!(approver.name()))),
            ("ask", Some(ask_json)),
            ("error", new_escalation.error.map(|error| json!(error))),
            ("authorId", author.map(|author| json!(super::state::person_name(author)))),
            ("predecessorId", new_escalation.predecessor.map(|before| json!(self.escalation_name(before)))),
        ]) {
            subject[member] = value;
        }
        let revision = new_escalation.predecessor.map_or(0, |before| self.escalations[before].revision + 1);
        self.escalations.push(Escalation {
            session,
            event,
            kind: new_escalation.kind,
            delivery: Some(delivery),
            call,
            subject,
            risk,
            approver,
            decisions: new_escalation.decisions,
            schema: new_escalation.schema,
            expires_at: Some(self.now + seconds),
            status: EscalationStatus::Open,
            decision: None,
            answer: None,
            decided_by: None,
            decision_event: None,
            predecessor: new_escalation.predecessor,
            author,
            revision,
        });
    }

    /// Holds a call before its start, and opens the escalation that it needs.
    pub fn hold(&mut self, delivery: usize, policy_decision: PolicyDecision, predecessor: Option<usize>) {
        self.settle(delivery, DeliveryStatus::Asked, None);
        let (kind, decisions): (EscalationKind, &[&'static str]) = match policy_decision {
            PolicyDecision::Confirm => (EscalationKind::Confirm, &["approve", "reject"]),
            // Under `refuse_above`, only an edit to a readable amount can release it.
            PolicyDecision::Unreadable => (EscalationKind::Policy, &["edit", "reject"]),
            _ => (EscalationKind::Policy, &["approve", "edit", "reject"]),
        };
        // An edit has to match the tool's input schema.
        let is_described = self.tool(delivery).is_some_and(|tool| tool.is_described);
        let schema = is_described && kind == EscalationKind::Policy;
        self.ask(
            delivery,
            NewEscalation { predecessor, schema, ..NewEscalation::new(kind, decisions) },
            ("system", None),
        );
    }

    pub fn settle(&mut self, delivery: usize, status: DeliveryStatus, error: Option<&'static str>) {
        let was_in_turn = self.is_in_turn(delivery);
        let row = &mut self.deliveries[delivery];
        let before = std::mem::replace(&mut row.status, status);
        (row.error, row.lease_until) = (error, None);
        self.note_closed_call(delivery, before, was_in_turn);
    }

    /// Records that a call failed.
    pub fn append_failure_event(
        &mut self,
        delivery: usize,
        error: &'static str,
        actor: (&'static str, Option<String>),
    ) {
        let row = &self.deliveries[delivery];
        let payload = json!({
            "deliveryId": self.delivery_name(delivery), "eventId": self.event_name(row.about), "agentId": row.agent,
            "tool": row.tool, "error": error,
        });
        self.append(row.session, "agent_failed", payload, actor.0, actor.1);
    }

    /// Makes a delivery a dead letter and, if another attempt could help, opens an escalation.
    pub fn dead_letter(
        &mut self,
        delivery: usize,
        error: &'static str,
        ask: bool,
        actor: (&'static str, Option<String>),
    ) {
        self.cover(error);
        self.settle(delivery, DeliveryStatus::Dead, Some(error));
        self.append_failure_event(delivery, error, actor);
        if ask && !self.sessions[self.deliveries[delivery].session].ended {
            let new_escalation = NewEscalation::new(EscalationKind::AgentFailed, &["approve", "reject"]);
            self.ask(delivery, NewEscalation { error: Some(error), ..new_escalation }, ("system", None));
        }
    }

    /// Records that the outcome is unknown. After the end of the session no escalation is opened.
    pub fn mark_outcome_unknown(&mut self, delivery: usize, error: &'static str) {
        self.cover("outcome_unknown");
        self.settle(delivery, DeliveryStatus::Unknown, Some(error));
        if self.sessions[self.deliveries[delivery].session].ended {
            self.append_failure_event(delivery, "outcome_unknown", ("system", None));
        } else {
            let new_escalation = NewEscalation::new(EscalationKind::OutcomeUnknown, &["approve", "reject"]);
            self.ask(delivery, NewEscalation { error: Some(error), ..new_escalation }, ("system", None));
        }
    }
}
