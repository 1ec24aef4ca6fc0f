//! Claiming, starting and finishing calls.

use serde_json::{Value, json};

use super::escalations::NewEscalation;
use super::operations::{Ask, Outcome, people};
use super::policy::{Admission, PolicyDecision};
use super::state::{Delivery, DeliveryStatus, EscalationKind, State, members};

/// The lease of a dispatcher, and the lease by the registered timeout.
pub const LEASE: i64 = 90;
pub const SERVER_LEASE: i64 = 40;

/// The agent's Retry-After: longer than any random pause.
pub const RETRY_AFTER: i64 = 600;

/// The errors of failed calls and of calls with unknown outcome.
pub const FAILURE: &str = "agent_error";
pub const TIMED_OUT: &str = "timed_out";

/// A call that a dispatcher makes.
#[derive(Clone, Debug)]
pub struct OutgoingCall {
    pub delivery: String,
    pub idempotency_key: String,
    /// Whether the call returns the server's request state.
    pub resumes_state: bool,
    pub document: Value,
}

impl State {
    /// Claims until nothing is due: session by session, one call at a time.
    pub fn claim(&mut self) -> Vec<OutgoingCall> {
        let mut sent = Vec::new();
        for session in 0..self.sessions.len() {
            self.take_over(session);
            while let Some(head) = self.head(session) {
                let row = &self.deliveries[head];
                if row.lease_until.unwrap_or(row.due_at) > self.now {
                    break;
                }
                let was_running = row.status == DeliveryStatus::Running;
                if let Some(call) = self.begin(head, false) {
                    sent.push(call);
                } else if was_running && self.deliveries[head].status == DeliveryStatus::Dead {
                    self.add_note(head);
                }
            }
        }
        sent
    }

    /// Returns the head of a session's queue.
    fn head(&self, session: usize) -> Option<usize> {
        let queued = |delivery: &&Delivery| {
            delivery.session == session
                && matches!(delivery.status, DeliveryStatus::Pending | DeliveryStatus::Running)
        };
        let first = self.deliveries.iter().enumerate().filter(|(_, delivery)| queued(delivery));
        let first = first.filter(|(place, _)| !self.is_in_turn(*place));
        first.min_by_key(|(_, delivery)| delivery.place).map(|(head, _)| head)
    }

    /// Returns why the requester may not use the agent now.
    fn requester_rejection(&self, delivery: usize) -> Option<&'static str> {
        // If the requester has left, pending deliveries are withdrawn with an event.
        let Some(role) = self.role(people::REQUESTER) else { return Some("requester_gone") };
        // `allowed_org_roles` applies to sessions, handovers, routed events and follow-ups.
        let agent = self.agent(self.deliveries[delivery].agent)?;
        (!agent.allows(role)).then_some("agent_forbidden")
    }

    /// Returns whether a call that may have been executed is made again.
    pub fn may_repeat(&self, delivery: usize) -> bool {
        self.tool(delivery).is_some_and(|tool| tool.idempotent)
            && !self.sessions[self.deliveries[delivery].session].ended
            && self.requester_rejection(delivery).is_none()
    }

    /// Begins a call, by a dispatcher or by a turn of the chat.
    pub fn begin(&mut self, delivery: usize, in_turn: bool) -> Option<OutgoingCall> {
        let rejection = self.requester_rejection(delivery);
        let is_repeated = self.deliveries[delivery].status == DeliveryStatus::Running && !in_turn;
        if is_repeated && !self.may_repeat(delivery) {
            self.cover("lease_over");
            self.mark_outcome_unknown(delivery, "lease_over");
            return None;
        }
        if let Some(error) = rejection {
            self.cover(error);
            self.settle(delivery, DeliveryStatus::Withdrawn, Some(error));
            self.append_failure_event(delivery, error, ("system", None));
            return None;
        }
        if self.tool(delivery).is_none() {
            self.cover("never: not listed");
            self.dead_letter(delivery, "tool_unavailable", false, ("system", None));
            return None;
        }
        let max_attempts =
            self.agent(self.deliveries[delivery].agent).map_or(0, |agent| agent.server.max_attempts);
        if self.deliveries[delivery].attempts >= max_attempts
            && self.policy_decision(delivery).0 != PolicyDecision::Never
        {
            self.dead_letter(delivery, "attempts_used_up", true, ("system", None));
            return None;
        }
        match self.admit(delivery) {
            Admission::Held(PolicyDecision::Never) => {
                self.dead_letter(delivery, "policy_never", false, ("system", None));
                None
            }
            Admission::Held(policy_decision) => {
                let row = &self.deliveries[delivery];
                let written = row.escalation.filter(|_| row.author.is_some());
                let written = written.filter(|escalation| self.escalations[*escalation].revision < 5);
                if row.release.is_some() {
                    self.cover("escalated again");
                }
                self.hold(delivery, policy_decision, written);
                None
            }
            Admission::Admitted => {
                self.cover("started");
                let now = self.now;
                let row = &mut self.deliveries[delivery];
                (row.status, row.is_claimed) = (DeliveryStatus::Running, !in_turn);
                row.attempts += 1;
                row.fence += 1;
                row.lease_until = Some(now + LEASE.min(SERVER_LEASE));
                Some(self.sent(delivery))
            }
        }
    }

    /// Returns the call with its key, and the decision that started it.
    pub fn sent(&self, delivery: usize) -> OutgoingCall {
        let row = &self.deliveries[delivery];
        let mut document = self.call(delivery);
        if let Some(decided) = row.answer.or(row.escalation) {
            document["decision"] = self.decision(decided);
        }
        OutgoingCall {
            delivery: self.delivery_name(delivery),
            idempotency_key: self.event_name(row.event),
            resumes_state: row.request_state,
            document,
        }
    }

    /// Finishes a call. Returns false for an outdated fence.
    pub fn finish(&mut self, delivery: usize, outcome: &Outcome, stale: bool) -> bool {
        let row = &self.deliveries[delivery];
        let fence = if stale { row.fence + 7 } else { row.fence };
        if row.finished_fence == Some(fence) {
            return true;
        }
        if row.status != DeliveryStatus::Running || fence != row.fence {
            return false;
        }
        let in_turn = self.is_in_turn(delivery);
        let (ended, agent) = (self.sessions[row.session].ended, row.agent);
        let by_agent = ("agent", Some(agent.to_owned()));
        match outcome {
            Outcome::Completed { follow_ups, handover } => self.complete(delivery, follow_ups, *handover),
            // The model learns of a failure at once, and may request another call.
            Outcome::Failed if in_turn => {
                self.cover("chat: failed in the turn");
                self.settle(delivery, DeliveryStatus::Withdrawn, Some(FAILURE));
                self.append_failure_event(delivery, FAILURE, by_agent);
            }
            Outcome::Failed => self.dead_letter(delivery, FAILURE, true, by_agent),
            Outcome::Ask(ask) if !ended => self.escalate_for_agent(delivery, ask),
            Outcome::Ask(_) => {
                self.settle(delivery, DeliveryStatus::Withdrawn, Some("session_ended"));
                self.append_failure_event(delivery, "session_ended", ("system", None));
            }
            Outcome::Retry => {
                let max_attempts = self.agent(agent).map_or(0, |agent| agent.server.max_attempts);
                if ended || row.attempts >= max_attempts {
                    self.dead_letter(delivery, FAILURE, !ended, ("system", None));
                } else {
                    let due_at = self.now + RETRY_AFTER;
                    self.settle(delivery, DeliveryStatus::Pending, Some(FAILURE));
                    self.deliveries[delivery].due_at = due_at;
                }
            }
            Outcome::Unknown => self.mark_outcome_unknown(delivery, TIMED_OUT),
        }
        self.deliveries[delivery].finished_fence = Some(fence);
        if self.deliveries[delivery].chat.is_some() {
            self.cover(if in_turn { "chat: finished in the turn" } else { "chat: finished by a dispatcher" });
            self.add_result(delivery, in_turn);
        }
        true
    }

    fn escalate_for_agent(&mut self, delivery: usize, ask: &Ask) {
        self.settle(delivery, DeliveryStatus::Asked, None);
        self.deliveries[delivery].request_state = ask.state;
        let new_escalation = NewEscalation {
            schema: ask.schema,
            seconds: ask.seconds,
            risk: ask.risk,
            approver: ask.approver,
            ..NewEscalation::new(EscalationKind::AgentAsked, &ask.decisions)
        };
        let agent = self.deliveries[delivery].agent;
        self.ask(delivery, new_escalation, ("agent", Some(agent.to_owned())));
    }

    fn complete(
        &mut self,
        delivery: usize,
        follow_ups: &[(&'static str, Option<Value>)],
        handover: Option<&'static str>,
    ) {
        let row = self.deliveries[delivery].clone();
        let session = row.session;
        // The answer that goes on with the next agent after a handover.
        let run = row.run().filter(|_| self.is_in_turn(delivery));
        self.settle(delivery, DeliveryStatus::Done, None);
        let plan: Vec<Result<&'static str, &'static str>> =
            follow_ups.iter().map(|(agent, _)| self.follow_up_tool(&row, agent)).collect();
        let refused: Vec<Value> = follow_ups
            .iter()
            .zip(&plan)
            .filter_map(|((agent, _), plan)| Some(json!({ "agentId": agent, "reason": plan.err()? })))
            .collect();
        let handover_refused = handover.and_then(|to| self.handover_rejection(&row, to, run));
        let mut payload = json!({
            "deliveryId": self.delivery_name(delivery), "eventId": self.event_name(row.about), "agentId": row.agent,
            "tool": row.tool, "status": "completed",
        });
        for (member, value) in members([
            ("followUpsRefused", (!refused.is_empty()).then(|| json!(refused))),
            (
                "handoverRefused",
                handover_refused.map(|reason| json!({ "agentId": handover, "reason": reason })),
            ),
        ]) {
            payload[member] = value;
        }
        let by_agent = || Some(row.agent.to_owned());
        self.append(session, "agent_result", payload, "agent", by_agent());
        for ((agent, inputs), plan) in follow_ups.iter().zip(plan) {
            let Ok(tool) = plan else { continue };
            let mut payload = json!({ "agentId": agent, "fromAgentId": row.agent, "objective": "Check it" });
            if let Some(inputs) = inputs {
                payload["inputs"] = inputs.clone();
            }
            let event = self.append(session, "agent_follow_up", payload, "agent", by_agent());
            self.deliver(event, agent, tool, row.depth + 1, row.root);
        }
        if let Some(to) = handover.filter(|_| handover_refused.is_none()) {
            let payload = json!({ "agentId": to, "fromAgentId": row.agent });
            let event = self.append(session, "handover", payload, "agent", by_agent());
            if row.chat.is_some() {
                self.cover("chat: handed over by a call");
            }
            self.hand_over_by_agent(session, to, run);
            self.route(event, row.root, row.depth + 1);
        }
    }

    /// Returns the agent's tool for a follow-up, or why the follow-up is rejected.
    fn follow_up_tool(&mut self, from: &Delivery, agent: &str) -> Result<&'static str, &'static str> {
        let refused = |state: &mut Self, reason: &'static str, what: &'static str| {
            state.cover(what);
            Err(reason)
        };
        let session = &self.sessions[from.session];
        if session.ended {
            return refused(self, "session_ended", "follow-up refused: session_ended");
        }
        let current = session.agent;
        let follow_up_route = |agent: &super::registry::Agent| {
            let mut routes = agent.server.routes.iter();
            routes
                .find(|route| {
                    route.event_type == "agent_follow_up"
                        && route.session_agent.is_none_or(|of| of == current)
                })
                .map(|route| route.tool)
        };
        let found = self.agent(agent).filter(|agent| agent.enabled).and_then(follow_up_route);
        let Some(tool) = found else {
            return refused(self, "unknown_agent", "follow-up refused: unknown_agent");
        };
        // `allowed_org_roles` applies to follow-ups too.
        if !self.is_open(agent) {
            return refused(self, "agent_forbidden", "follow-up refused: agent_forbidden");
        }
        if from.depth >= 5 {
            return refused(self, "too_deep", "follow-up refused: too_deep");
        }
        Ok(tool)
    }
}
