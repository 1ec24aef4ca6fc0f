//! What people are asked, and what is said of a call that comes to nothing.

use serde_json::{Value, json};

use super::registry::{Approver, Risk};
use super::state::{DbSnapshot, Escalation, Kind, State, Status, members};
use super::verdict::Verdict;

/// A question about a delivery.
pub struct Question {
    pub kind: Kind,
    pub decisions: Vec<&'static str>,
    pub schema: bool,
    pub seconds: Option<i64>,
    pub risk: Option<&'static str>,
    pub approver: Option<&'static str>,
    pub error: Option<&'static str>,
    pub predecessor: Option<usize>,
}

impl Question {
    pub fn new(kind: Kind, decisions: &[&'static str]) -> Self {
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

/// The schema that an agent's question has, if it has one.
pub fn schema() -> Value {
    json!({ "type": "object" })
}

impl State {
    /// Asks about a delivery. "An agent's `ask` can make risk higher, the approver stricter and the expiry shorter than the registry,
    /// never the other way." What is not listed any more is asked about most carefully.
    pub fn ask(&mut self, delivery: usize, question: Question, actor: (&'static str, Option<String>)) {
        let tool = self.tool(delivery);
        let (least_risk, approver, longest) = tool.map_or((Risk::High, Approver::Other, 86_400), |tool| {
            (tool.risk, tool.approver, tool.ask_expires_in_seconds)
        });
        let asked_risk = match question.risk {
            Some("high") => Risk::High,
            Some("medium") => Risk::Medium,
            _ => Risk::Low,
        };
        let risk = least_risk.max(asked_risk);
        let seconds = question.seconds.map_or(longest, |seconds| seconds.min(longest));
        let approved = self.deliveries[delivery].release.as_ref().map(|release| release.escalation);
        let approved_by_other =
            approved.is_some_and(|escalation| self.escalations[escalation].kind != Kind::Confirm);
        let approver = match question.kind {
            Kind::Confirm => Approver::Itself,
            // "Nobody approves or edits their own request where risk is above low or the policy `ask` demanded the asking."
            Kind::Policy => Approver::Other,
            _ if risk > Risk::Low => Approver::Other,
            // To call once more what the policy had somebody else approve.
            Kind::AgentFailed | Kind::OutcomeUnknown if approved_by_other => Approver::Other,
            _ if question.approver == Some("other") => Approver::Other,
            _ => approver,
        };

        let session = self.deliveries[delivery].session;
        let author = self.deliveries[delivery].author;
        let mut asked = json!({ "reason": "reason", "decisions": question.decisions });
        if question.schema {
            asked["schema"] = schema();
        }
        let name = self.delivery_name(delivery);
        let event = self.append(session, "hitl_escalation", Value::Null, actor.0, actor.1);
        let mut payload = asked.clone();
        let (agent, tool) = (self.deliveries[delivery].agent, self.deliveries[delivery].tool);
        for (member, value) in [
            ("escalationId", json!(format!("escalation by {}", self.event_name(event)))),
            ("kind", json!(question.kind.name())),
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
            ("kind", Some(json!(question.kind.name()))),
            ("deliveryId", Some(json!(name))),
            ("risk", Some(json!(risk.name()))),
            ("approver", Some(json!(approver.name()))),
            ("ask", Some(asked)),
            ("error", question.error.map(|error| json!(error))),
            ("authorId", author.map(|author| json!(super::state::person_name(author)))),
            ("predecessorId", question.predecessor.map(|before| json!(self.escalation_name(before)))),
        ]) {
            subject[member] = value;
        }
        let revision = question.predecessor.map_or(0, |before| self.escalations[before].revision + 1);
        self.escalations.push(Escalation {
            session,
            event,
            kind: question.kind,
            delivery: Some(delivery),
            call,
            subject,
            risk,
            approver,
            decisions: question.decisions,
            schema: question.schema,
            expires_at: Some(self.now + seconds),
            standing: DbSnapshot::Open,
            decision: None,
            answer: None,
            decided_by: None,
            decision_event: None,
            predecessor: question.predecessor,
            author,
            revision,
        });
    }

    /// Holds a call before it is made, and asks for what it takes.
    pub fn hold(&mut self, delivery: usize, verdict: Verdict, predecessor: Option<usize>) {
        self.settle(delivery, Status::Asked, None);
        let (kind, decisions): (Kind, &[&'static str]) = match verdict {
            Verdict::Confirm => (Kind::Confirm, &["approve", "reject"]),
            // "Under `refuse_above` never released", "unless it was edited into what can be read and passes".
            Verdict::Unreadable => (Kind::Policy, &["edit", "reject"]),
            _ => (Kind::Policy, &["approve", "edit", "reject"]),
        };
        self.ask(delivery, Question { predecessor, ..Question::new(kind, decisions) }, ("system", None));
    }

    pub fn settle(&mut self, delivery: usize, status: Status, error: Option<&'static str>) {
        let delivery = &mut self.deliveries[delivery];
        (delivery.status, delivery.error, delivery.lease_until) = (status, error, None);
    }

    /// Says that a call came to nothing.
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

    /// Gives a delivery up and, where another attempt could help, asks for it.
    pub fn dead_letter(
        &mut self,
        delivery: usize,
        error: &'static str,
        ask: bool,
        actor: (&'static str, Option<String>),
    ) {
        self.reach(error);
        self.settle(delivery, Status::Dead, Some(error));
        self.append_failure_event(delivery, error, actor);
        if ask && !self.sessions[self.deliveries[delivery].session].ended {
            let question = Question::new(Kind::AgentFailed, &["approve", "reject"]);
            self.ask(delivery, Question { error: Some(error), ..question }, ("system", None));
        }
    }

    /// It is not known whether the call was done. After the session's end there is nobody to ask.
    pub fn mark_outcome_unknown(&mut self, delivery: usize, error: &'static str) {
        self.reach("outcome_unknown");
        self.settle(delivery, Status::Unknown, Some(error));
        if self.sessions[self.deliveries[delivery].session].ended {
            self.append_failure_event(delivery, "outcome_unknown", ("system", None));
        } else {
            let question = Question::new(Kind::OutcomeUnknown, &["approve", "reject"]);
            self.ask(delivery, Question { error: Some(error), ..question }, ("system", None));
        }
    }
}
