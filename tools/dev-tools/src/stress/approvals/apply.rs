//! Applies one step of a history to the model.

use super::calls::OutgoingCall;
use super::chat::{ChatResponse, call_name, run_name};
use super::operations::{Operation, people};
use super::rows::canonical;
use super::state::{DeliveryStatus, EscalationStatus, Rejection, State};

/// Lines of immutable rows.
#[derive(Default)]
pub struct LineCache {
    events: Vec<String>,
    subjects: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct StepResult {
    pub rejection: Option<Rejection>,
    /// The calls that are made.
    pub sent: Vec<OutgoingCall>,
    /// Whether a call was finished, a dead letter replayed, or a decision only repeated.
    pub flag: Option<bool>,
    /// The outcome of a step of the chat.
    pub outcome: Option<String>,
}

impl State {
    /// Applies a step completely, or not at all.
    pub fn apply(&mut self, operation: &Operation) -> StepResult {
        let before = self.clone();
        match self.step(operation) {
            Ok(done) => done,
            Err(rejection) => {
                let coverage = std::mem::take(&mut self.coverage);
                *self = before;
                self.coverage = coverage;
                self.cover(rejection.1);
                StepResult { rejection: Some(rejection), ..StepResult::default() }
            }
        }
    }

    fn step(&mut self, operation: &Operation) -> Result<StepResult, Rejection> {
        let flag = |flag: bool| StepResult { flag: Some(flag), ..StepResult::default() };
        match operation {
            Operation::Record { session, person, events } => {
                self.record(*session, *person, events)?;
                Ok(StepResult::default())
            }
            Operation::Claim => Ok(StepResult { sent: self.claim(), ..StepResult::default() }),
            Operation::Finish { delivery, outcome, stale } => {
                Ok(flag(self.finish(*delivery, outcome, *stale)))
            }
            Operation::Decide { person, escalation, choice } => {
                let replayed = self.decide(*person, *escalation, choice)?;
                if replayed {
                    self.cover("decision repeated");
                }
                Ok(flag(replayed))
            }
            Operation::Replay { delivery, foreign } => Ok(flag(self.replay(*delivery, *foreign)?)),
            Operation::Register { agent, server } => {
                if server.tools.iter().any(super::registry::Tool::is_invalid) {
                    return Err(Rejection(422, "invalid_agent_server"));
                }
                self.agents[*agent].server = server.clone();
                Ok(StepResult::default())
            }
            Operation::Change { agent, enabled, allowed_org_roles } => {
                self.agents[*agent].enabled = *enabled;
                self.agents[*agent].allowed_org_roles = allowed_org_roles.clone();
                Ok(StepResult::default())
            }
            Operation::Person { person, change } => {
                self.people[*person].membership = *change;
                Ok(StepResult::default())
            }
            Operation::End { session } => {
                self.end(*session);
                Ok(StepResult::default())
            }
            Operation::Advance { seconds } => {
                self.now += seconds;
                Ok(StepResult::default())
            }
            Operation::Expire => {
                self.expire();
                Ok(StepResult::default())
            }
            Operation::Chat(operation) => {
                let ChatResponse { outcome, sent, flag } = self.chat(operation)?;
                let sent = sent.into_iter().collect();
                Ok(StepResult { sent, flag, outcome, ..StepResult::default() })
            }
        }
    }

    /// The end of a session withdraws its open escalations and pending deliveries. A running call
    /// finishes and is recorded.
    fn end(&mut self, session: usize) {
        if self.sessions[session].ended {
            return;
        }
        let by = Some(super::state::person_name(people::REQUESTER));
        self.append(session, "session_ended", serde_json::json!({ "reason": "cancelled" }), "user", by);
        self.sessions[session].ended = true;
        for delivery in 0..self.deliveries.len() {
            let row = &self.deliveries[delivery];
            let waits = matches!(row.status, DeliveryStatus::Pending | DeliveryStatus::Asked);
            if row.session == session && waits {
                self.settle(delivery, DeliveryStatus::Withdrawn, Some("session_ended"));
            }
        }
        self.stop_runs(|run| run.session == session);
        for escalation in self.escalations.iter_mut().filter(|escalation| escalation.session == session) {
            if escalation.status == EscalationStatus::Open {
                escalation.status = EscalationStatus::Withdrawn;
            }
        }
    }

    /// Expired escalations make the waiting deliveries dead letters.
    fn expire(&mut self) {
        let overdue = |state: &Self, escalation: usize| {
            let escalation = &state.escalations[escalation];
            escalation.status == EscalationStatus::Open
                && escalation.expires_at.is_some_and(|end| end <= state.now)
        };
        let mut due: Vec<usize> = (0..self.escalations.len()).filter(|of| overdue(self, *of)).collect();
        due.sort_by_key(|of| (self.escalations[*of].session, self.escalations[*of].expires_at, *of));
        for escalation in due {
            self.cover("hitl_expired");
            self.escalations[escalation].status = EscalationStatus::Expired;
            if let Some(delivery) = self.escalations[escalation].delivery
                && self.deliveries[delivery].status == DeliveryStatus::Asked
            {
                self.settle(delivery, DeliveryStatus::Dead, Some("ask_expired"));
            }
            let payload = serde_json::json!({ "escalationId": self.escalation_name(escalation) });
            self.append(self.escalations[escalation].session, "hitl_expired", payload, "system", None);
        }
    }

    /// An operator's replay: same key, all attempts, and the policy is evaluated again.
    fn replay(&mut self, delivery: usize, foreign: bool) -> Result<bool, Rejection> {
        if foreign {
            return Err(Rejection(404, "delivery_not_found"));
        }
        match self.deliveries[delivery].status {
            DeliveryStatus::Dead | DeliveryStatus::Unknown => {}
            DeliveryStatus::Pending | DeliveryStatus::Running => return Ok(false),
            _ => return Err(Rejection(409, "delivery_not_dead")),
        }
        if self.sessions[self.deliveries[delivery].session].ended {
            return Err(Rejection(409, "session_ended"));
        }
        for escalation in &mut self.escalations {
            if escalation.delivery == Some(delivery) && escalation.status == EscalationStatus::Open {
                escalation.status = EscalationStatus::Withdrawn;
            }
        }
        self.requeue(delivery, None);
        Ok(true)
    }

    /// Returns a line for each row that the database has too.
    pub fn lines(&self, cache: &mut LineCache) -> Vec<String> {
        for event in cache.events.len()..self.events.len() {
            cache.events.push(self.event_line(event));
        }
        for row in &self.escalations[cache.subjects.len()..] {
            cache.subjects.push(canonical(&row.subject));
        }
        let mut lines = Vec::new();
        for (place, session) in self.sessions.iter().enumerate() {
            lines.push(format!("session {place}: with {}, ended {}", session.agent, session.ended));
        }
        lines.extend_from_slice(&cache.events);
        let name_of = |event: Option<String>| event.unwrap_or_else(|| "-".to_owned());
        for (place, row) in self.deliveries.iter().enumerate() {
            let of = self.delivery_name(place);
            lines.push(format!(
                "{of}: {} error {} attempts {} place {} depth {} about {} resumes {} inputs {} \
                 run {} call {} follows {} in turn {}",
                row.status.name(),
                row.error.unwrap_or("-"),
                row.attempts,
                row.place,
                row.depth,
                self.event_name(row.about),
                name_of(row.resumes.map(|before| self.delivery_name(before))),
                canonical(&row.inputs.clone().unwrap_or_default()),
                name_of(row.run().map(run_name)),
                name_of(row.run().zip(row.call()).map(|(run, call)| call_name(run, call))),
                row.chat.as_ref().is_some_and(|chat| chat.follows_tool_output),
                self.is_in_turn(place),
            ));
        }
        for (place, row) in self.escalations.iter().enumerate() {
            lines.push(format!(
                "{}: {} {} of {} risk {} approver {} decisions {} author {} predecessor {} revision {} expires {} \
                 decision {} by {} answer {} subject {}",
                self.escalation_name(place),
                row.kind.name(),
                row.status.name(),
                name_of(row.delivery.map(|delivery| self.delivery_name(delivery))),
                row.risk.name(),
                row.approver.name(),
                row.decisions.join(","),
                name_of(row.author.map(super::state::person_name)),
                name_of(row.predecessor.map(|before| self.escalation_name(before))),
                row.revision,
                // In minutes, because the database's clock runs during the test.
                row.expires_at.map_or(-1, |end| (end - self.now).div_euclid(60)),
                row.decision.unwrap_or("-"),
                name_of(row.decided_by.map(super::state::person_name)),
                canonical(&row.answer.clone().unwrap_or_default()),
                cache.subjects[place],
            ));
        }
        for auto_call in &self.auto_calls {
            lines.push(format!(
                "auto call of {}: {} {} {} counts {}",
                self.delivery_name(auto_call.delivery),
                auto_call.magnitude,
                auto_call.currency.as_deref().unwrap_or("-"),
                if auto_call.unit == super::registry::Unit::Major { "major" } else { "minor" },
                auto_call.begun_at > self.now - 86_400,
            ));
        }
        lines.extend(self.chat_lines());
        lines
    }

    fn event_line(&self, event: usize) -> String {
        let name = self.event_name(event);
        let event = &self.events[event];
        let actor = event.actor.as_deref().unwrap_or("-");
        format!("{name}: {} by {} {actor}: {}", event.kind, event.actor_type, canonical(&event.payload))
    }
}
