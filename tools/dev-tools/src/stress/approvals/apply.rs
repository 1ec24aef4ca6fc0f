//! One step of a history, on the model.

use super::calls::Sent;
use super::operations::{Operation, people};
use super::rows::canonical;
use super::state::{DbSnapshot, Refusal, State, Status};

/// Texts of what does not change once it is there.
#[derive(Default)]
pub struct Written {
    events: Vec<String>,
    subjects: Vec<String>,
}

/// What came of a step.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub refusal: Option<Refusal>,
    /// The calls that go out.
    pub sent: Vec<Sent>,
    /// Whether a call was finished, or a dead letter replayed, or a decision only repeated.
    pub flag: Option<bool>,
}

impl State {
    /// Applies a step: all of it, or nothing.
    pub fn apply(&mut self, operation: &Operation) -> Done {
        let before = self.clone();
        match self.step(operation) {
            Ok(done) => done,
            Err(refusal) => {
                let reached = std::mem::take(&mut self.reached);
                *self = before;
                self.reached = reached;
                self.reach(refusal.1);
                Done { refusal: Some(refusal), ..Done::default() }
            }
        }
    }

    fn step(&mut self, operation: &Operation) -> Result<Done, Refusal> {
        let flag = |flag: bool| Done { flag: Some(flag), ..Done::default() };
        match operation {
            Operation::Record { session, person, events } => {
                self.record(*session, *person, events)?;
                Ok(Done::default())
            }
            Operation::Claim => Ok(Done { sent: self.claim(), ..Done::default() }),
            Operation::Finish { delivery, outcome, stale } => {
                Ok(flag(self.finish(*delivery, outcome, *stale)))
            }
            Operation::Decide { person, escalation, choice } => {
                let replayed = self.decide(*person, *escalation, choice)?;
                if replayed {
                    self.reach("decision repeated");
                }
                Ok(flag(replayed))
            }
            Operation::Replay { delivery, foreign } => Ok(flag(self.replay(*delivery, *foreign)?)),
            Operation::Register { agent, server } => {
                if server.tools.iter().any(super::registry::Tool::refusal) {
                    return Err(Refusal(422, "invalid_agent_server"));
                }
                self.agents[*agent].server = server.clone();
                Ok(Done::default())
            }
            Operation::Change { agent, enabled, allowed_org_roles } => {
                self.agents[*agent].enabled = *enabled;
                self.agents[*agent].allowed_org_roles = allowed_org_roles.clone();
                Ok(Done::default())
            }
            Operation::Person { person, change } => {
                self.people[*person].membership = *change;
                Ok(Done::default())
            }
            Operation::End { session } => {
                self.end(*session);
                Ok(Done::default())
            }
            Operation::Advance { seconds } => {
                self.now += seconds;
                Ok(Done::default())
            }
            Operation::Expire => {
                self.expire();
                Ok(Done::default())
            }
        }
    }

    /// "A session that ends withdraws its open escalations and unstarted deliveries; a call under way finishes and is recorded."
    fn end(&mut self, session: usize) {
        if self.sessions[session].ended {
            return;
        }
        let by = Some(super::state::person_name(people::REQUESTER));
        self.append(session, "session_ended", serde_json::json!({ "reason": "cancelled" }), "user", by);
        self.sessions[session].ended = true;
        for delivery in self.deliveries.iter_mut().filter(|delivery| delivery.session == session) {
            if matches!(delivery.status, Status::Pending | Status::Asked) {
                (delivery.status, delivery.error) = (Status::Withdrawn, Some("session_ended"));
            }
        }
        for escalation in self.escalations.iter_mut().filter(|escalation| escalation.session == session) {
            if escalation.standing == DbSnapshot::Open {
                escalation.standing = DbSnapshot::Withdrawn;
            }
        }
    }

    /// Nothing is called without an answer: what waited for one that did not come is given up.
    fn expire(&mut self) {
        let overdue = |state: &Self, escalation: usize| {
            let escalation = &state.escalations[escalation];
            escalation.standing == DbSnapshot::Open
                && escalation.expires_at.is_some_and(|end| end <= state.now)
        };
        let mut due: Vec<usize> = (0..self.escalations.len()).filter(|of| overdue(self, *of)).collect();
        due.sort_by_key(|of| (self.escalations[*of].session, self.escalations[*of].expires_at, *of));
        for escalation in due {
            self.reach("hitl_expired");
            self.escalations[escalation].standing = DbSnapshot::Expired;
            if let Some(delivery) = self.escalations[escalation].delivery
                && self.deliveries[delivery].status == Status::Asked
            {
                self.settle(delivery, Status::Dead, Some("ask_expired"));
            }
            let payload = serde_json::json!({ "escalationId": self.escalation_name(escalation) });
            self.append(self.escalations[escalation].session, "hitl_expired", payload, "system", None);
        }
    }

    /// An operator's replay: under the same key, with all its attempts; the policy is asked again like before every call.
    fn replay(&mut self, delivery: usize, foreign: bool) -> Result<bool, Refusal> {
        if foreign {
            return Err(Refusal(404, "delivery_not_found"));
        }
        match self.deliveries[delivery].status {
            Status::Dead | Status::Unknown => {}
            Status::Pending | Status::Running => return Ok(false),
            _ => return Err(Refusal(409, "delivery_not_dead")),
        }
        if self.sessions[self.deliveries[delivery].session].ended {
            return Err(Refusal(409, "session_ended"));
        }
        for escalation in &mut self.escalations {
            if escalation.delivery == Some(delivery) && escalation.standing == DbSnapshot::Open {
                escalation.standing = DbSnapshot::Withdrawn;
            }
        }
        self.requeue(delivery, None);
        Ok(true)
    }

    /// What people, calls and questions are like: a line for each row that the database has too.
    pub fn lines(&self, written: &mut Written) -> Vec<String> {
        for event in written.events.len()..self.events.len() {
            written.events.push(self.event_line(event));
        }
        for row in &self.escalations[written.subjects.len()..] {
            written.subjects.push(canonical(&row.subject));
        }
        let mut lines = Vec::new();
        for (place, session) in self.sessions.iter().enumerate() {
            lines.push(format!("session {place}: with {}, ended {}", session.agent, session.ended));
        }
        lines.extend_from_slice(&written.events);
        let name_of = |event: Option<String>| event.unwrap_or_else(|| "-".to_owned());
        for (place, row) in self.deliveries.iter().enumerate() {
            let of = self.delivery_name(place);
            lines.push(format!(
                "{of}: {} error {} attempts {} place {} depth {} about {} resumes {} inputs {}",
                row.status.name(),
                row.error.unwrap_or("-"),
                row.attempts,
                row.place,
                row.depth,
                self.event_name(row.about),
                name_of(row.resumes.map(|before| self.delivery_name(before))),
                canonical(&row.inputs.clone().unwrap_or_default()),
            ));
        }
        for (place, row) in self.escalations.iter().enumerate() {
            lines.push(format!(
                "{}: {} {} of {} risk {} approver {} decisions {} author {} predecessor {} revision {} expires {} \
                 decision {} by {} answer {} subject {}",
                self.escalation_name(place),
                row.kind.name(),
                row.standing.name(),
                name_of(row.delivery.map(|delivery| self.delivery_name(delivery))),
                row.risk.name(),
                row.approver.name(),
                row.decisions.join(","),
                name_of(row.author.map(super::state::person_name)),
                name_of(row.predecessor.map(|before| self.escalation_name(before))),
                row.revision,
                // To the minute: the database's seconds go on while it works.
                row.expires_at.map_or(-1, |end| (end - self.now).div_euclid(60)),
                row.decision.unwrap_or("-"),
                name_of(row.decided_by.map(super::state::person_name)),
                canonical(&row.answer.clone().unwrap_or_default()),
                written.subjects[place],
            ));
        }
        for kept in &self.kept {
            lines.push(format!(
                "kept of {}: {} {} {} counts {}",
                self.delivery_name(kept.delivery),
                kept.magnitude,
                kept.currency.as_deref().unwrap_or("-"),
                if kept.unit == super::registry::Unit::Major { "major" } else { "minor" },
                kept.begun_at > self.now - 86_400,
            ));
        }
        lines
    }

    fn event_line(&self, event: usize) -> String {
        let name = self.event_name(event);
        let event = &self.events[event];
        let actor = event.actor.as_deref().unwrap_or("-");
        format!("{name}: {} by {} {actor}: {}", event.kind, event.actor_type, canonical(&event.payload))
    }
}
