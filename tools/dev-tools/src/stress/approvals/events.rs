//! Recording events and creating their deliveries.

use serde_json::{Value, json};

use super::operations::{Choice, EventInput, QuotedHash, people};
use super::registry::Approver;
use super::registry::Risk;
use super::state::{
    Delivery, DeliveryStatus, Escalation, EscalationKind, EscalationStatus, Rejection, State, person_name,
};

/// Maximum number of handovers in an answer.
const MAX_HANDOVERS: usize = 3;

/// Default expiry of a browser's escalation.
const DEFAULT_EXPIRY: i64 = 30 * 86_400;

impl State {
    /// Returns whether the requester may use an agent: it is enabled, and permits the role.
    pub fn is_open(&self, agent: &str) -> bool {
        let (Some(agent), Some(role)) = (self.agent(agent), self.role(people::REQUESTER)) else {
            return false;
        };
        agent.enabled && agent.allows(role)
    }

    /// Creates the deliveries of an event: one for each tool with a matching route.
    pub fn route(&mut self, event: usize, root: usize, depth: usize) {
        let (session, kind) = (self.events[event].session, self.events[event].kind);
        if depth > 5 {
            return;
        }
        let current = self.sessions[session].agent;
        let mut targets: Vec<(&'static str, &'static str)> = Vec::new();
        for agent in &self.agents {
            for route in &agent.server.routes {
                let matching = route.event_type == kind && route.session_agent.is_none_or(|of| of == current);
                if matching && !targets.contains(&(agent.id, route.tool)) {
                    targets.push((agent.id, route.tool));
                }
            }
        }
        targets.sort_unstable();
        for (agent, tool) in targets {
            if self.is_open(agent) {
                self.deliver(event, agent, tool, depth, root);
            } else {
                self.cover("not routed: agent not permitted");
            }
        }
    }

    pub fn deliver(
        &mut self,
        event: usize,
        agent: &'static str,
        tool: &'static str,
        depth: usize,
        root: usize,
    ) {
        let session = self.events[event].session;
        // The constants of `agents` outlive the borrow of the event's payload.
        self.deliveries.push(Delivery {
            session,
            event,
            about: event,
            agent,
            tool,
            resumes: None,
            inputs: None,
            escalation: None,
            answer: None,
            retry: None,
            author: None,
            release: None,
            depth,
            root,
            place: self.next_place(session),
            status: DeliveryStatus::Pending,
            error: None,
            attempts: 0,
            due_at: self.now,
            lease_until: None,
            fence: 0,
            finished_fence: None,
            request_state: false,
            chat: None,
            is_claimed: false,
        });
    }

    /// Records events of a user, all or none.
    pub fn record(&mut self, session: usize, person: usize, events: &[EventInput]) -> Result<(), Rejection> {
        // Only its user can record events; for others the session does not exist.
        if person != people::REQUESTER {
            return Err(Rejection(404, "session_not_found"));
        }
        // Membership is read from the database in every transaction that starts something.
        if self.role(person).is_none() {
            return Err(Rejection(403, "not_a_member"));
        }
        for input in events {
            // An ended session rejects events.
            if self.sessions[session].ended {
                return Err(Rejection(409, "session_ended"));
            }
            self.record_one(session, person, input)?;
        }
        Ok(())
    }

    fn record_one(&mut self, session: usize, person: usize, input: &EventInput) -> Result<(), Rejection> {
        let by = |state: &mut Self, kind: &'static str, payload: Value| {
            state.append(session, kind, payload, "user", Some(person_name(person)))
        };
        match input {
            EventInput::Reserved => return Err(Rejection(422, "event_type_reserved")),
            EventInput::Click { payload } => {
                let event = by(self, "button_click", payload.clone());
                self.route(event, event, 0);
            }
            EventInput::Handover { to, from } => {
                let mut payload = json!({ "agentId": to });
                if let Some(from) = from {
                    payload["fromAgentId"] = json!(from);
                }
                let event = by(self, "handover", payload);
                self.hand_over(session, to, *from)?;
                self.route(event, event, 0);
            }
            EventInput::Escalation { decisions, seconds } => {
                self.open_escalation(session, person, decisions, *seconds)?;
            }
            EventInput::Resolve { escalation, choice } => {
                // An event can only decide an escalation of its own session.
                if self.escalations[*escalation].session != session {
                    return Err(Rejection(404, "escalation_not_found"));
                }
                let event = by(self, "hitl_resolved", self.resolution(*escalation, choice, true));
                let replayed = self.check_decision(person, *escalation, choice)?;
                if replayed {
                    return Err(Rejection(409, "escalation_resolved"));
                }
                if choice.answer.is_some() && self.escalations[*escalation].schema {
                    return Err(Rejection(422, "answer_not_checked"));
                }
                self.resolve(person, *escalation, choice, event)?;
            }
        }
        Ok(())
    }

    /// Returns the payload of a decision's event. A client's event also contains the hash.
    pub fn resolution(&self, escalation: usize, choice: &Choice, sent: bool) -> Value {
        let mut payload =
            json!({ "escalationId": self.escalation_name(escalation), "decision": choice.decision });
        if let Some(answer) = &choice.answer {
            payload["answer"] = answer.clone();
        }
        if sent && choice.hash != QuotedHash::Missing {
            payload["subjectHash"] = json!("hash");
        }
        payload
    }

    fn hand_over(&mut self, session: usize, to: &'static str, from: Option<&str>) -> Result<(), Rejection> {
        // A handover moves the session by compare-and-set on its agent.
        if from.is_some_and(|from| from != self.sessions[session].agent) {
            return Err(Rejection(409, "agent_changed"));
        }
        self.check_can_open(to)?;
        self.change_agent(session, to);
        Ok(())
    }

    /// Rejects an agent that is disabled or not permitted for the requester's role.
    fn check_can_open(&self, agent: &str) -> Result<(), Rejection> {
        let Some(role) = self.role(people::REQUESTER) else { return Err(Rejection(403, "not_a_member")) };
        match self.agent(agent).filter(|agent| agent.enabled) {
            None => Err(Rejection(422, "agent_unavailable")),
            Some(agent) if !agent.allows(role) => Err(Rejection(403, "agent_forbidden")),
            Some(_) => Ok(()),
        }
    }

    /// Returns why an agent may not hand a session over.
    pub fn handover_rejection(&self, from: &Delivery, to: &str, run: Option<usize>) -> Option<&'static str> {
        let session = &self.sessions[from.session];
        if session.ended {
            return Some("session_ended");
        }
        if session.agent != from.agent || session.agent == to {
            return Some("agent_changed");
        }
        if run.is_some_and(|run| self.runs[run].handovers >= MAX_HANDOVERS) {
            return Some("too_many_handovers");
        }
        self.check_can_open(to).err().map(|Rejection(_, code)| code)
    }

    /// Opens a browser's escalation, which cannot release a call.
    fn open_escalation(
        &mut self,
        session: usize,
        person: usize,
        decisions: &[&'static str],
        seconds: Option<i64>,
    ) -> Result<(), Rejection> {
        // The limit is 20 open escalations per session.
        let open = |escalation: &&Escalation| {
            escalation.session == session
                && escalation.kind == EscalationKind::Browser
                && escalation.status == EscalationStatus::Open
        };
        if self.escalations.iter().filter(open).count() >= 20 {
            return Err(Rejection(409, "too_many_escalations"));
        }
        let mut payload = json!({ "reason": "reason", "decisions": decisions });
        if let Some(seconds) = seconds {
            payload["expiresInSeconds"] = json!(seconds);
        }
        let event =
            self.append(session, "hitl_escalation", payload.clone(), "user", Some(person_name(person)));
        let shown = json!({ "id": self.event_name(event), "type": "hitl_escalation", "payload": payload });
        self.escalations.push(Escalation {
            session,
            event,
            kind: EscalationKind::Browser,
            delivery: None,
            call: Value::Null,
            subject: json!({ "kind": "browser", "event": shown }),
            risk: Risk::Low,
            approver: Approver::Itself,
            decisions: decisions.to_vec(),
            schema: false,
            // Thirty days by default.
            expires_at: Some(self.now + seconds.unwrap_or(DEFAULT_EXPIRY)),
            status: EscalationStatus::Open,
            decision: None,
            answer: None,
            decided_by: None,
            decision_event: None,
            predecessor: None,
            author: None,
            revision: 0,
        });
        self.route(event, event, 0);
        Ok(())
    }
}
