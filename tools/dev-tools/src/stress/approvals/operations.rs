//! The operations of a history, by users, agents and operators.

use serde_json::Value;

use super::registry::{Agent, Role, Server};

/// The users of a history, by index.
pub mod people {
    /// The user of all sessions.
    pub const REQUESTER: usize = 0;
    /// An owner of another organisation.
    pub const STRANGER: usize = 5;
    pub const COUNT: usize = 6;
}

/// The initial state of a history.
#[derive(Clone, Debug)]
pub struct Setup {
    pub roles: [Role; people::COUNT],
    pub agents: Vec<Agent>,
    /// Metadata of each session.
    pub sessions: Vec<Value>,
}

/// One step of a history. Rows are identified by their index in the model.
#[derive(Clone, Debug)]
pub enum Operation {
    /// The requester records events in a session, all or none.
    Record {
        session: usize,
        person: usize,
        events: Vec<EventInput>,
    },
    /// A dispatcher claims until nothing is due.
    Claim,
    /// A dispatcher finishes a call.
    Finish {
        delivery: usize,
        outcome: Outcome,
        stale: bool,
    },
    /// A user decides an escalation with the RPC.
    Decide {
        person: usize,
        escalation: usize,
        choice: Choice,
    },
    /// An operator replays a dead letter.
    Replay {
        delivery: usize,
        foreign: bool,
    },
    /// An operator replaces the registration of a server or an agent.
    Register {
        agent: usize,
        server: Server,
    },
    Change {
        agent: usize,
        enabled: bool,
        allowed_org_roles: Option<Vec<Role>>,
    },
    Person {
        person: usize,
        change: Membership,
    },
    /// The requester cancels a session.
    End {
        session: usize,
    },
    Advance {
        seconds: i64,
    },
    /// Escalations whose time is over expire.
    Expire,
    Chat(ChatOperation),
}

/// A step of the self-hosted chat. Its user is the requester.
#[derive(Clone, Debug)]
pub enum ChatOperation {
    /// The requester asks a question in a thread, or in a new one, and a model begins an answer.
    BeginRun { session: usize, thread: Option<usize> },
    /// The model requests a call. A repeated number is a repeated request.
    BeginCall { run: usize, call: usize, tool: &'static str, inputs: Value },
    /// The answer is complete.
    EndRun { run: usize },
    /// The process that writes the answer stops. Its leases end.
    Kill { run: usize },
    /// The scheduled function ends answers whose process has stopped.
    SettleRuns,
}

/// An event as a client sends it.
#[derive(Clone, Debug)]
pub enum EventInput {
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
    /// An event type that only the database may record.
    Reserved,
}

#[derive(Clone, Debug)]
pub struct Choice {
    pub decision: &'static str,
    pub answer: Option<Value>,
    pub hash: QuotedHash,
}

/// The subject hash that a decision quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedHash {
    /// The hash that the escalation shows.
    Shown,
    Wrong,
    Missing,
}

/// The outcome of a call.
#[derive(Clone, Debug)]
pub enum Outcome {
    Completed { follow_ups: Vec<(&'static str, Option<Value>)>, handover: Option<&'static str> },
    Failed,
    Ask(Ask),
    Retry,
    Unknown,
}

/// An agent's request for a human decision.
#[derive(Clone, Debug)]
pub struct Ask {
    pub decisions: Vec<&'static str>,
    pub schema: bool,
    pub seconds: Option<i64>,
    pub risk: Option<&'static str>,
    pub approver: Option<&'static str>,
    /// Whether the server returns a request state for the resumed call.
    pub state: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Role(Role),
    Dismissed,
    Banned,
    Deleted,
    Anonymous,
    /// The initial membership.
    Restored,
}
