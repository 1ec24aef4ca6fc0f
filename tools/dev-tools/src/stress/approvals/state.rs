//! The model's rows, and what all its rules do with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::amount::Magnitude;
use super::operations::{Membership, Setup, people};
use super::registry::{Agent, Approver, Risk, Role, Tool};

/// A refusal: a status and a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub u16, pub &'static str);

/// Everything that the rules look at.
#[derive(Clone, Debug)]
pub struct State {
    pub people: Vec<Person>,
    pub agents: Vec<Agent>,
    pub sessions: Vec<Session>,
    pub events: Vec<Event>,
    pub deliveries: Vec<Delivery>,
    pub escalations: Vec<Escalation>,
    pub kept: Vec<Kept>,
    /// Seconds since the beginning.
    pub now: i64,
    /// How often each verdict was reached.
    pub reached: BTreeMap<&'static str, u64>,
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
}

#[derive(Clone, Debug)]
pub struct Event {
    pub session: usize,
    pub seq: usize,
    pub kind: &'static str,
    pub payload: Value,
    pub actor_type: &'static str,
    /// The name of who did it.
    pub actor: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Running,
    Asked,
    Done,
    Dead,
    Unknown,
    Withdrawn,
}

impl Status {
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

/// An event on its way to a tool.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub session: usize,
    pub event: usize,
    pub about: usize,
    pub agent: &'static str,
    pub tool: &'static str,
    pub resumes: Option<usize>,
    pub inputs: Option<Value>,
    /// The decision that set it going.
    pub escalation: Option<usize>,
    /// The agent's own question whose decision the tool is sent.
    pub answer: Option<usize>,
    /// The decision to call once more.
    pub retry: Option<usize>,
    pub author: Option<usize>,
    pub release: Option<Release>,
    pub depth: usize,
    pub root: usize,
    pub place: usize,
    pub status: Status,
    pub error: Option<&'static str>,
    pub attempts: i64,
    pub due_at: i64,
    pub lease_until: Option<i64>,
    /// How often it was begun: the fence.
    pub fence: i64,
    pub finished_fence: Option<i64>,
    pub request_state: bool,
}

/// An approval: of what was shown, by whose decision.
#[derive(Clone, Debug)]
pub struct Release {
    pub escalation: usize,
    pub call: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Browser,
    Policy,
    Confirm,
    AgentAsked,
    AgentFailed,
    OutcomeUnknown,
}

impl Kind {
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
pub enum DbSnapshot {
    Open,
    Resolved,
    Expired,
    Withdrawn,
}

impl DbSnapshot {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A question to people.
#[derive(Clone, Debug)]
pub struct Escalation {
    pub session: usize,
    pub event: usize,
    pub kind: Kind,
    pub delivery: Option<usize>,
    /// The call as it was shown; null for a browser's.
    pub call: Value,
    pub subject: Value,
    pub risk: Risk,
    pub approver: Approver,
    pub decisions: Vec<&'static str>,
    pub schema: bool,
    pub expires_at: Option<i64>,
    pub standing: DbSnapshot,
    pub decision: Option<&'static str>,
    pub answer: Option<Value>,
    pub decided_by: Option<usize>,
    pub decision_event: Option<usize>,
    pub predecessor: Option<usize>,
    pub author: Option<usize>,
    pub revision: usize,
}

/// The amount of a call that was begun under `auto`.
#[derive(Clone, Debug)]
pub struct Kept {
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
        let session = |metadata: &Value| Session { agent: "alpha", metadata: metadata.clone(), ended: false };
        Self {
            people: setup.roles.iter().enumerate().map(person).collect(),
            agents: setup.agents.clone(),
            sessions: setup.sessions.iter().map(session).collect(),
            events: Vec::new(),
            deliveries: Vec::new(),
            escalations: Vec::new(),
            kept: Vec::new(),
            now: 0,
            reached: BTreeMap::new(),
        }
    }

    pub fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// The role that somebody has in the organisation now. "A person who is dismissed, banned or deleted sets nothing going any
    /// more, whatever their token says."
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

    /// A tool that may be called: listed, and its agent enabled.
    pub fn tool(&self, delivery: usize) -> Option<&Tool> {
        let delivery = &self.deliveries[delivery];
        let agent = self.agent(delivery.agent).filter(|agent| agent.enabled)?;
        agent.server.tools.iter().find(|tool| tool.name == delivery.tool)
    }

    /// Adds an event at the end of its session's sequence.
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

    /// The names by which rows stand in documents.
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

    /// "What is shown is what is sent": the whole of what a tool is sent is one document.
    /// "The hash covers all that the tool will be sent: arguments, session metadata and channel, earlier answers."
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
        if let Some(inputs) = self.written_inputs(delivery) {
            call["inputs"] = inputs.clone();
        }
        if let Some(answer) = delivery.answer.filter(|answer| self.carries_words(*answer)) {
            call["decision"] = self.decision(answer);
        }
        call
    }

    fn written_inputs<'a>(&'a self, delivery: &'a Delivery) -> Option<&'a Value> {
        let event = &self.events[delivery.about];
        let of_event = (event.kind == "agent_follow_up").then(|| &event.payload["inputs"]);
        delivery.inputs.as_ref().or_else(|| of_event.filter(|inputs| inputs.is_object()))
    }

    /// What a policy reads the amount of: the inputs or, without any, the event's payload.
    pub fn inputs(&self, delivery: usize) -> Value {
        let delivery = &self.deliveries[delivery];
        self.written_inputs(delivery).unwrap_or(&self.events[delivery.about].payload).clone()
    }

    /// Whether a decision of the agent's own question holds words for the tool.
    fn carries_words(&self, escalation: usize) -> bool {
        let escalation = &self.escalations[escalation];
        escalation.kind == Kind::AgentAsked
            && escalation.answer.is_some()
            && escalation.decision != Some("reject")
    }

    /// A decision as a tool is sent it: "an answer with a decision that carries none to the tool is recorded and not sent".
    pub fn decision(&self, escalation: usize) -> Value {
        let resolved = &self.escalations[escalation];
        let mut decision = json!({
            "escalationId": self.escalation_name(escalation), "decision": resolved.decision,
            "decidedBy": resolved.decided_by.map(person_name), "decidedAt": "time",
        });
        if self.carries_words(escalation) || resolved.decision == Some("edit") {
            decision["answer"] = resolved.answer.clone().unwrap_or_default();
        }
        decision
    }

    /// Who wrote the call: "whoever edits, or whose answer reaches the tool, has written the call".
    pub fn authors(&self, delivery: usize) -> Vec<usize> {
        let delivery = &self.deliveries[delivery];
        let answered = delivery.answer.filter(|answer| self.carries_words(*answer));
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

/// A JSON object of those members that have a value.
pub fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
