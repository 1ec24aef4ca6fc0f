//! Claiming, beginning and finishing calls.

use serde_json::{Value, json};

use super::operations::{Ask, Outcome, people};
use super::questions::Question;
use super::state::{Delivery, Kind, State, Status, members};
use super::verdict::{Admission, Verdict};

/// How long a router may take to finish a call, and how long the registry gives the server.
pub const LEASE: i64 = 90;
pub const SERVER_LEASE: i64 = 40;

/// How long an agent asks to wait before a retry: longer than any pause that is drawn at random.
pub const RETRY_AFTER: i64 = 600;

/// What a call came to when it failed, or nobody heard of it.
pub const FAILURE: &str = "agent_error";
pub const LOST: &str = "timed_out";

/// A call that goes out.
#[derive(Clone, Debug)]
pub struct Sent {
    pub delivery: String,
    pub idempotency_key: String,
    /// Whether the server gets back what it wanted back.
    pub resumes_state: bool,
    pub document: Value,
}

impl State {
    /// Claims until nothing is due: session by session, each with one call at a time.
    pub fn claim(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for session in 0..self.sessions.len() {
            while let Some(head) = self.head(session) {
                let row = &self.deliveries[head];
                if row.lease_until.unwrap_or(row.due_at) > self.now {
                    break;
                }
                if let Some(call) = self.begin(head) {
                    sent.push(call);
                }
            }
        }
        sent
    }

    /// The first in a session's queue.
    fn head(&self, session: usize) -> Option<usize> {
        let queued = |delivery: &&Delivery| {
            delivery.session == session && matches!(delivery.status, Status::Pending | Status::Running)
        };
        let first = self.deliveries.iter().enumerate().filter(|(_, delivery)| queued(delivery));
        first.min_by_key(|(_, delivery)| delivery.place).map(|(head, _)| head)
    }

    /// Why the requester may not have this agent do anything now.
    fn requester_rejection(&self, delivery: usize) -> Option<&'static str> {
        // "The requester gone: what was not begun is cancelled with an audit event."
        let Some(role) = self.role(people::REQUESTER) else { return Some("requester_gone") };
        // "`allowed_org_roles` holds on every way to an agent: opening, handover, routed events, follow-ups."
        let agent = self.agent(self.deliveries[delivery].agent)?;
        (!agent.allows(role)).then_some("agent_forbidden")
    }

    fn begin(&mut self, delivery: usize) -> Option<Sent> {
        let row = &self.deliveries[delivery];
        let ended = self.sessions[row.session].ended;
        let refusal = self.requester_rejection(delivery);
        let repeatable =
            self.tool(delivery).is_some_and(|tool| tool.idempotent) && !ended && refusal.is_none();
        if row.status == Status::Running && !repeatable {
            self.reach("lease_over");
            self.mark_outcome_unknown(delivery, "lease_over");
            return None;
        }
        if let Some(error) = refusal {
            self.reach(error);
            self.settle(delivery, Status::Withdrawn, Some(error));
            self.append_failure_event(delivery, error, ("system", None));
            return None;
        }
        if self.tool(delivery).is_none() {
            self.reach("never: not listed");
            self.dead_letter(delivery, "tool_unavailable", false, ("system", None));
            return None;
        }
        let most = self.agent(self.deliveries[delivery].agent).map_or(0, |agent| agent.server.max_attempts);
        if self.deliveries[delivery].attempts >= most && self.verdict(delivery).0 != Verdict::Never {
            self.dead_letter(delivery, "attempts_used_up", true, ("system", None));
            return None;
        }
        match self.admit(delivery) {
            Admission::Held(Verdict::Never) => {
                self.dead_letter(delivery, "policy_never", false, ("system", None));
                None
            }
            Admission::Held(verdict) => {
                let row = &self.deliveries[delivery];
                let written = row.escalation.filter(|_| row.author.is_some());
                let written = written.filter(|escalation| self.escalations[*escalation].revision < 5);
                if row.release.is_some() {
                    self.reach("asked again");
                }
                self.hold(delivery, verdict, written);
                None
            }
            Admission::Admitted => {
                self.reach("begun");
                let now = self.now;
                let row = &mut self.deliveries[delivery];
                row.status = Status::Running;
                row.attempts += 1;
                row.fence += 1;
                row.lease_until = Some(now + LEASE.min(SERVER_LEASE));
                Some(self.sent(delivery))
            }
        }
    }

    /// "What is shown is what is sent": the call, the key, and the decision that set it going.
    fn sent(&self, delivery: usize) -> Sent {
        let row = &self.deliveries[delivery];
        let mut document = self.call(delivery);
        if let Some(decided) = row.answer.or(row.escalation) {
            document["decision"] = self.decision(decided);
        }
        Sent {
            delivery: self.delivery_name(delivery),
            idempotency_key: self.event_name(row.event),
            resumes_state: row.request_state,
            document,
        }
    }

    /// Finishes a call; false for whoever does not hold it any more.
    pub fn finish(&mut self, delivery: usize, outcome: &Outcome, stale: bool) -> bool {
        let row = &self.deliveries[delivery];
        let fence = if stale { row.fence + 7 } else { row.fence };
        if row.finished_fence == Some(fence) {
            return true;
        }
        if row.status != Status::Running || fence != row.fence {
            return false;
        }
        let (ended, agent) = (self.sessions[row.session].ended, row.agent);
        let by_agent = ("agent", Some(agent.to_owned()));
        match outcome {
            Outcome::Completed { follow_ups, handover } => self.complete(delivery, follow_ups, *handover),
            Outcome::Failed => self.dead_letter(delivery, FAILURE, true, by_agent),
            Outcome::Ask(ask) if !ended => self.escalate_for_agent(delivery, ask),
            Outcome::Ask(_) => {
                self.settle(delivery, Status::Withdrawn, Some("session_ended"));
                self.append_failure_event(delivery, "session_ended", ("system", None));
            }
            Outcome::Retry => {
                let most = self.agent(agent).map_or(0, |agent| agent.server.max_attempts);
                if ended || row.attempts >= most {
                    self.dead_letter(delivery, FAILURE, !ended, ("system", None));
                } else {
                    let due_at = self.now + RETRY_AFTER;
                    self.settle(delivery, Status::Pending, Some(FAILURE));
                    self.deliveries[delivery].due_at = due_at;
                }
            }
            Outcome::Unknown => self.mark_outcome_unknown(delivery, LOST),
        }
        self.deliveries[delivery].finished_fence = Some(fence);
        true
    }

    fn escalate_for_agent(&mut self, delivery: usize, ask: &Ask) {
        self.settle(delivery, Status::Asked, None);
        self.deliveries[delivery].request_state = ask.state;
        let question = Question {
            schema: ask.schema,
            seconds: ask.seconds,
            risk: ask.risk,
            approver: ask.approver,
            ..Question::new(Kind::AgentAsked, &ask.decisions)
        };
        let agent = self.deliveries[delivery].agent;
        self.ask(delivery, question, ("agent", Some(agent.to_owned())));
    }

    fn complete(
        &mut self,
        delivery: usize,
        follow_ups: &[(&'static str, Option<Value>)],
        handover: Option<&'static str>,
    ) {
        let row = self.deliveries[delivery].clone();
        let session = row.session;
        self.settle(delivery, Status::Done, None);
        let plan: Vec<Result<&'static str, &'static str>> =
            follow_ups.iter().map(|(agent, _)| self.follow_up_tool(&row, agent)).collect();
        let refused: Vec<Value> = follow_ups
            .iter()
            .zip(&plan)
            .filter_map(|((agent, _), plan)| Some(json!({ "agentId": agent, "reason": plan.err()? })))
            .collect();
        let handover_refused = handover.and_then(|to| self.handover_rejection(&row, to));
        let mut payload = json!({
            "deliveryId": self.delivery_name(delivery), "eventId": self.event_name(row.about), "agentId": row.agent,
            "tool": row.tool, "status": "completed",
        });
        for (member, value) in members([
            ("followUpsRefused", (!refused.is_empty()).then(|| json!(refused))),
            ("handoverRefused", handover_refused.map(|why| json!({ "agentId": handover, "reason": why }))),
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
            self.sessions[session].agent = to;
            self.route(event, row.root, row.depth + 1);
        }
    }

    /// The tool by which an agent takes a follow-up, or why it does not.
    fn follow_up_tool(&mut self, from: &Delivery, agent: &str) -> Result<&'static str, &'static str> {
        let refused = |state: &mut Self, why: &'static str, what: &'static str| {
            state.reach(what);
            Err(why)
        };
        let session = &self.sessions[from.session];
        if session.ended {
            return refused(self, "session_ended", "follow-up refused: session_ended");
        }
        let current = session.agent;
        let takes = |agent: &super::registry::Agent| {
            let mut routes = agent.server.routes.iter();
            routes
                .find(|route| {
                    route.event_type == "agent_follow_up"
                        && route.session_agent.is_none_or(|of| of == current)
                })
                .map(|route| route.tool)
        };
        let found = self.agent(agent).filter(|agent| agent.enabled).and_then(takes);
        let Some(tool) = found else {
            return refused(self, "unknown_agent", "follow-up refused: unknown_agent");
        };
        // "`allowed_org_roles` holds on every way to an agent."
        if !self.is_open(agent) {
            return refused(self, "agent_forbidden", "follow-up refused: agent_forbidden");
        }
        if from.depth >= 5 {
            return refused(self, "too_deep", "follow-up refused: too_deep");
        }
        Ok(tool)
    }
}
