//! What people, agents and operators do in a history.

use serde_json::Value;

use super::registry::{Agent, Role, Server};

/// The people of a history, by their place.
pub mod people {
    /// Whose sessions they are.
    pub const REQUESTER: usize = 0;
    /// In another organisation, an owner there.
    pub const STRANGER: usize = 5;
    pub const COUNT: usize = 6;
}

/// How a history begins.
#[derive(Clone, Debug)]
pub struct Setup {
    pub roles: [Role; people::COUNT],
    pub agents: Vec<Agent>,
    /// The metadata of each session of the requester.
    pub sessions: Vec<Value>,
}

/// One step of a history. Rows are named by their place among the model's.
#[derive(Clone, Debug)]
pub enum Operation {
    /// The requester records events in a session: all of them, or none.
    Record {
        session: usize,
        person: usize,
        events: Vec<Given>,
    },
    /// A router claims until nothing is due.
    Claim,
    /// A router finishes a call.
    Finish {
        delivery: usize,
        outcome: Outcome,
        stale: bool,
    },
    /// A person decides an escalation at its endpoint.
    Decide {
        person: usize,
        escalation: usize,
        choice: Choice,
    },
    /// An operator puts a dead letter into its queue again.
    Replay {
        delivery: usize,
        foreign: bool,
    },
    /// An operator replaces a server's registration, or an agent's.
    Register {
        agent: usize,
        server: Server,
    },
    Change {
        agent: usize,
        enabled: bool,
        allowed_org_roles: Option<Vec<Role>>,
    },
    /// Somebody's membership changes.
    Person {
        person: usize,
        change: Membership,
    },
    /// The requester ends a session.
    End {
        session: usize,
    },
    /// Time passes.
    Advance {
        seconds: i64,
    },
    /// Escalations past their time are swept.
    Expire,
}

/// An event as a client sends it.
#[derive(Clone, Debug)]
pub enum Given {
    Click {
        payload: Value,
    },
    Handover {
        to: &'static str,
        from: Option<&'static str>,
    },
    Escalation {
        decisions: Vec<&'static str>,
        seconds: Option<i64>,
    },
    Resolve {
        escalation: usize,
        choice: Choice,
    },
    /// A type that only the database says.
    Reserved,
}

/// What a person answers.
#[derive(Clone, Debug)]
pub struct Choice {
    pub decision: &'static str,
    pub answer: Option<Value>,
    pub hash: Hash,
}

/// The hash that a decision names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// What the person was shown.
    Shown,
    /// Something else.
    Wrong,
    Missing,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    Completed { follow_ups: Vec<(&'static str, Option<Value>)>, handover: Option<&'static str> },
    Failed,
    Ask(Ask),
    Retry,
    Unknown,
}

/// What an agent asks.
#[derive(Clone, Debug)]
pub struct Ask {
    pub decisions: Vec<&'static str>,
    pub schema: bool,
    pub seconds: Option<i64>,
    pub risk: Option<&'static str>,
    pub approver: Option<&'static str>,
    /// Whether the server wants something back when the call is resumed.
    pub state: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Role(Role),
    Dismissed,
    Banned,
    Deleted,
    Anonymous,
    /// As at the beginning.
    Restored,
}
