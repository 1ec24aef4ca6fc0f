//! Events: recording them, and the deliveries that they make.

use serde_json::{Value, json};

use super::operations::{Choice, Given, Hash, people};
use super::registry::Approver;
use super::registry::Risk;
use super::state::{DbSnapshot, Delivery, Escalation, Kind, Refusal, State, Status, person_name};

/// A browser's escalation ends after thirty days if it names no end.
const LONGEST: i64 = 30 * 86_400;

impl State {
    /// Whether the requester may have an agent do something: enabled, and open to their role.
    pub fn is_open(&self, agent: &str) -> bool {
        let (Some(agent), Some(role)) = (self.agent(agent), self.role(people::REQUESTER)) else {
            return false;
        };
        agent.enabled && agent.allows(role)
    }

    /// The deliveries of an event: to each tool with a route for it, once.
    pub fn route(&mut self, event: usize, root: usize, depth: usize) {
        let (session, kind) = (self.events[event].session, self.events[event].kind);
        if depth > 5 {
            return;
        }
        let current = self.sessions[session].agent;
        let mut targets: Vec<(&'static str, &'static str)> = Vec::new();
        for agent in &self.agents {
            for route in &agent.server.routes {
                let wanted = route.event_type == kind && route.session_agent.is_none_or(|of| of == current);
                if wanted && !targets.contains(&(agent.id, route.tool)) {
                    targets.push((agent.id, route.tool));
                }
            }
        }
        targets.sort_unstable();
        for (agent, tool) in targets {
            if self.is_open(agent) {
                self.deliver(event, agent, tool, depth, root);
            } else {
                self.reach("not routed: agent not open");
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
            status: Status::Pending,
            error: None,
            attempts: 0,
            due_at: self.now,
            lease_until: None,
            fence: 0,
            finished_fence: None,
            request_state: false,
        });
    }

    /// Records events of a person: all, or none.
    pub fn record(&mut self, session: usize, person: usize, events: &[Given]) -> Result<(), Refusal> {
        // "Only its user writes to it"; "another tenant's session is indistinguishable from one that does not exist".
        if person != people::REQUESTER {
            return Err(Refusal(404, "session_not_found"));
        }
        // "Membership … is read from the database in every transaction that sets something going outside: … events".
        if self.role(person).is_none() {
            return Err(Refusal(403, "not_a_member"));
        }
        for given in events {
            // "Ended session: 409."
            if self.sessions[session].ended {
                return Err(Refusal(409, "session_ended"));
            }
            self.take(session, person, given)?;
        }
        Ok(())
    }

    fn take(&mut self, session: usize, person: usize, given: &Given) -> Result<(), Refusal> {
        let by = |state: &mut Self, kind: &'static str, payload: Value| {
            state.append(session, kind, payload, "user", Some(person_name(person)))
        };
        match given {
            Given::Reserved => return Err(Refusal(422, "event_type_reserved")),
            Given::Click { payload } => {
                let event = by(self, "button_click", payload.clone());
                self.route(event, event, 0);
            }
            Given::Handover { to, from } => {
                let mut payload = json!({ "agentId": to });
                if let Some(from) = from {
                    payload["fromAgentId"] = json!(from);
                }
                let event = by(self, "handover", payload);
                self.hand_over(session, to, *from)?;
                self.route(event, event, 0);
            }
            Given::Escalation { decisions, seconds } => {
                self.open_escalation(session, person, decisions, *seconds)?;
            }
            Given::Resolve { escalation, choice } => {
                // An event is of its session, and so is what it decides.
                if self.escalations[*escalation].session != session {
                    return Err(Refusal(404, "escalation_not_found"));
                }
                let event = by(self, "hitl_resolved", self.resolution(*escalation, choice, true));
                let replayed = self.check_decision(person, *escalation, choice)?;
                if replayed {
                    return Err(Refusal(409, "escalation_resolved"));
                }
                if choice.answer.is_some() && self.escalations[*escalation].schema {
                    return Err(Refusal(422, "answer_not_checked"));
                }
                self.resolve(person, *escalation, choice, event)?;
            }
        }
        Ok(())
    }

    /// The payload of a decision's event. One that a client sends also names the hash.
    pub fn resolution(&self, escalation: usize, choice: &Choice, sent: bool) -> Value {
        let mut payload =
            json!({ "escalationId": self.escalation_name(escalation), "decision": choice.decision });
        if let Some(answer) = &choice.answer {
            payload["answer"] = answer.clone();
        }
        if sent && choice.hash != Hash::Missing {
            payload["subjectHash"] = json!("hash");
        }
        payload
    }

    fn hand_over(&mut self, session: usize, to: &'static str, from: Option<&str>) -> Result<(), Refusal> {
        // "`handover` moves the session to another agent (compare-and-set on the agent it had)."
        if from.is_some_and(|from| from != self.sessions[session].agent) {
            return Err(Refusal(409, "agent_changed"));
        }
        self.openable(to)?;
        self.sessions[session].agent = to;
        Ok(())
    }

    /// "`agentId` must be an enabled agent of the organisation"; "the registry says which `org_role`s may open which".
    fn openable(&self, agent: &str) -> Result<(), Refusal> {
        let Some(role) = self.role(people::REQUESTER) else { return Err(Refusal(403, "not_a_member")) };
        match self.agent(agent).filter(|agent| agent.enabled) {
            None => Err(Refusal(422, "agent_unavailable")),
            Some(agent) if !agent.allows(role) => Err(Refusal(403, "agent_forbidden")),
            Some(_) => Ok(()),
        }
    }

    /// Why an agent may not hand a session over.
    pub fn handover_rejection(&self, from: &Delivery, to: &str) -> Option<&'static str> {
        let session = &self.sessions[from.session];
        if session.ended {
            return Some("session_ended");
        }
        if session.agent != from.agent || session.agent == to {
            return Some("agent_changed");
        }
        self.openable(to).err().map(|Refusal(_, code)| code)
    }

    /// "Opened from a browser it asks for a person and carries no authority."
    fn open_escalation(
        &mut self,
        session: usize,
        person: usize,
        decisions: &[&'static str],
        seconds: Option<i64>,
    ) -> Result<(), Refusal> {
        // "A session has at most 20 open ones, a user 100."
        let open = |escalation: &&Escalation| {
            escalation.session == session
                && escalation.kind == Kind::Browser
                && escalation.standing == DbSnapshot::Open
        };
        if self.escalations.iter().filter(open).count() >= 20 {
            return Err(Refusal(409, "too_many_escalations"));
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
            kind: Kind::Browser,
            delivery: None,
            call: Value::Null,
            subject: json!({ "kind": "browser", "event": shown }),
            risk: Risk::Low,
            approver: Approver::Itself,
            decisions: decisions.to_vec(),
            schema: false,
            // "An escalation opened by a browser gets an expiry if it names none (30 days)."
            expires_at: Some(self.now + seconds.unwrap_or(LONGEST)),
            standing: DbSnapshot::Open,
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
