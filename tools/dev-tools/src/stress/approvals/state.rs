//! The rows of the model, and what its rules derive from them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::amount::Magnitude;
use super::chat::{Run, Thread};
use super::chat_calls::ChatCall;
use super::operations::{Membership, Setup, people};
use super::registry::{Agent, Approver, Risk, Role, Tool};

/// An error response: status and code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub u16, pub &'static str);

#[derive(Clone, Debug)]
pub struct State {
    pub people: Vec<Person>,
    pub agents: Vec<Agent>,
    pub sessions: Vec<Session>,
    pub events: Vec<Event>,
    pub deliveries: Vec<Delivery>,
    pub escalations: Vec<Escalation>,
    pub auto_calls: Vec<AutoCall>,
    pub threads: Vec<Thread>,
    pub runs: Vec<Run>,
    /// Seconds since the start.
    pub now: i64,
    /// Number of times that each rule was applied.
    pub coverage: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub first_role: Role,
    pub membership: Membership,
    pub stranger: bool,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub agent: &'static str,
    pub metadata: Value,
    pub ended: bool,
    /// Its threads, the one that it used last at the end.
    pub threads: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub session: usize,
    pub seq: usize,
    pub kind: &'static str,
    pub payload: Value,
    pub actor_type: &'static str,
    pub actor: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    Pending,
    Running,
    Asked,
    Done,
    Dead,
    Unknown,
    Withdrawn,
}

impl DeliveryStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Asked => "asked",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A delivery of an event to a tool.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub session: usize,
    pub event: usize,
    pub about: usize,
    pub agent: &'static str,
    pub tool: &'static str,
    pub resumes: Option<usize>,
    pub inputs: Option<Value>,
    /// The decision that started it.
    pub escalation: Option<usize>,
    /// The escalation of the agent whose decision the tool receives.
    pub answer: Option<usize>,
    /// The decision to call the tool again.
    pub retry: Option<usize>,
    pub author: Option<usize>,
    pub release: Option<Release>,
    pub depth: usize,
    pub root: usize,
    pub place: usize,
    pub status: DeliveryStatus,
    pub error: Option<&'static str>,
    pub attempts: i64,
    pub due_at: i64,
    pub lease_until: Option<i64>,
    /// Number of starts, which is the fence.
    pub fence: i64,
    pub finished_fence: Option<i64>,
    pub request_state: bool,
    pub chat: Option<ChatCall>,
    /// Whether a dispatcher has claimed it.
    pub is_claimed: bool,
}

/// An approval: the call, and the escalation that approved it.
#[derive(Clone, Debug)]
pub struct Release {
    pub escalation: usize,
    pub call: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscalationKind {
    Browser,
    Policy,
    Confirm,
    AgentAsked,
    AgentFailed,
    OutcomeUnknown,
}

impl EscalationKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Policy => "policy",
            Self::Confirm => "confirm",
            Self::AgentAsked => "agent_asked",
            Self::AgentFailed => "agent_failed",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscalationStatus {
    Open,
    Resolved,
    Expired,
    Withdrawn,
}

impl EscalationStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Escalation {
    pub session: usize,
    pub event: usize,
    pub kind: EscalationKind,
    pub delivery: Option<usize>,
    /// The call as displayed; null for a browser's escalation.
    pub call: Value,
    pub subject: Value,
    pub risk: Risk,
    pub approver: Approver,
    pub decisions: Vec<&'static str>,
    pub schema: bool,
    pub expires_at: Option<i64>,
    pub status: EscalationStatus,
    pub decision: Option<&'static str>,
    pub answer: Option<Value>,
    pub decided_by: Option<usize>,
    pub decision_event: Option<usize>,
    pub predecessor: Option<usize>,
    pub author: Option<usize>,
    pub revision: usize,
}

/// The amount of a call that started under `auto`.
#[derive(Clone, Debug)]
pub struct AutoCall {
    pub delivery: usize,
    pub magnitude: Magnitude,
    pub currency: Option<String>,
    pub unit: super::registry::Unit,
    pub begun_at: i64,
}

impl State {
    pub fn new(setup: &Setup) -> Self {
        let person = |(place, role): (usize, &Role)| Person {
            first_role: *role,
            membership: Membership::Restored,
            stranger: place == people::STRANGER,
        };
        let session = |metadata: &Value| Session {
            agent: "alpha",
            metadata: metadata.clone(),
            ended: false,
            threads: Vec::new(),
        };
        Self {
            people: setup.roles.iter().enumerate().map(person).collect(),
            agents: setup.agents.clone(),
            sessions: setup.sessions.iter().map(session).collect(),
            events: Vec::new(),
            deliveries: Vec::new(),
            escalations: Vec::new(),
            auto_calls: Vec::new(),
            threads: Vec::new(),
            runs: Vec::new(),
            now: 0,
            coverage: BTreeMap::new(),
        }
    }

    pub fn cover(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
    }

    /// Returns the current role of a user in the organisation. A dismissed, banned or deleted user
    /// has none, whatever the token contains.
    pub fn role(&self, person: usize) -> Option<Role> {
        let person = &self.people[person];
        match person.membership {
            _ if person.stranger => None,
            Membership::Restored => Some(person.first_role),
            Membership::Role(role) => Some(role),
            _ => None,
        }
    }

    pub fn agent(&self, id: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.id == id)
    }

    /// Returns the delivery's tool, if it is registered and its agent enabled.
    pub fn tool(&self, delivery: usize) -> Option<&Tool> {
        let delivery = &self.deliveries[delivery];
        let agent = self.agent(delivery.agent).filter(|agent| agent.enabled)?;
        agent.server.tools.iter().find(|tool| tool.name == delivery.tool)
    }

    /// Appends an event to its session.
    pub fn append(
        &mut self,
        session: usize,
        kind: &'static str,
        payload: Value,
        actor_type: &'static str,
        actor: Option<String>,
    ) -> usize {
        let seq = 1 + self.events.iter().filter(|event| event.session == session).count();
        self.events.push(Event { session, seq, kind, payload, actor_type, actor });
        self.events.len() - 1
    }

    /// Names of rows in documents.
    pub fn event_name(&self, event: usize) -> String {
        let event = &self.events[event];
        format!("event {}#{}", event.session, event.seq)
    }

    pub fn delivery_name(&self, delivery: usize) -> String {
        let delivery = &self.deliveries[delivery];
        format!("delivery of {} to {}.{}", self.event_name(delivery.event), delivery.agent, delivery.tool)
    }

    pub fn escalation_name(&self, escalation: usize) -> String {
        format!("escalation by {}", self.event_name(self.escalations[escalation].event))
    }

    /// Returns the call: the complete document that the tool receives. The subject hash covers all
    /// of it: arguments, session metadata and channel, earlier answers.
    pub fn call(&self, delivery: usize) -> Value {
        let delivery = &self.deliveries[delivery];
        let (session, event) = (&self.sessions[delivery.session], &self.events[delivery.about]);
        let mut call = json!({
            "agentId": delivery.agent,
            "tool": delivery.tool,
            "session": {
                "id": session_name(delivery.session), "orgId": "organisation", "userId": person_name(people::REQUESTER),
                "agentId": session.agent, "channel": "web", "metadata": session.metadata,
            },
            "event": {
                "id": self.event_name(delivery.about), "seq": event.seq, "type": event.kind, "payload": event.payload,
                "actorType": event.actor_type, "actorId": event.actor, "occurredAt": null, "createdAt": "time",
            },
        });
        if event.kind == "agent_follow_up" {
            call["objective"] = event.payload["objective"].clone();
        }
        if let Some(inputs) = self.own_inputs(delivery) {
            call["inputs"] = inputs.clone();
        }
        if let Some(answer) = delivery.answer.filter(|answer| self.carries_answer(*answer)) {
            call["decision"] = self.decision(answer);
        }
        call
    }

    fn own_inputs<'a>(&'a self, delivery: &'a Delivery) -> Option<&'a Value> {
        let event = &self.events[delivery.about];
        let of_event = (event.kind == "agent_follow_up").then(|| &event.payload["inputs"]);
        delivery.inputs.as_ref().or_else(|| of_event.filter(|inputs| inputs.is_object()))
    }

    /// Returns the value in which a policy reads the amount: the inputs, or the event's payload.
    pub fn inputs(&self, delivery: usize) -> Value {
        let delivery = &self.deliveries[delivery];
        self.own_inputs(delivery).unwrap_or(&self.events[delivery.about].payload).clone()
    }

    /// Returns whether a decision of the agent's escalation contains an answer for the tool.
    fn carries_answer(&self, escalation: usize) -> bool {
        let escalation = &self.escalations[escalation];
        escalation.kind == EscalationKind::AgentAsked
            && escalation.answer.is_some()
            && escalation.decision != Some("reject")
    }

    /// Returns a decision as the tool receives it. An answer to a decision that does not carry one
    /// is recorded, but not sent.
    pub fn decision(&self, escalation: usize) -> Value {
        let resolved = &self.escalations[escalation];
        let mut decision = json!({
            "escalationId": self.escalation_name(escalation), "decision": resolved.decision,
            "decidedBy": resolved.decided_by.map(person_name), "decidedAt": "time",
        });
        if self.carries_answer(escalation) || resolved.decision == Some("edit") {
            decision["answer"] = resolved.answer.clone().unwrap_or_default();
        }
        decision
    }

    /// Returns the authors of the call: users who edited it, or whose answer reaches the tool.
    pub fn authors(&self, delivery: usize) -> Vec<usize> {
        let delivery = &self.deliveries[delivery];
        let answered = delivery.answer.filter(|answer| self.carries_answer(*answer));
        let answered = answered.and_then(|answer| self.escalations[answer].decided_by);
        delivery.author.into_iter().chain(answered).collect()
    }

    pub fn next_place(&self, session: usize) -> usize {
        let places = self.deliveries.iter().filter(|delivery| delivery.session == session);
        1 + places.map(|delivery| delivery.place).max().unwrap_or(0)
    }
}

pub fn person_name(person: usize) -> String {
    format!("person {person}")
}

pub fn session_name(session: usize) -> String {
    format!("session {session}")
}

/// Returns a JSON object of the members that have a value.
pub fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
