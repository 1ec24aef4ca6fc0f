//! What the database says of the deployment: the answer of `deployment_state`, in which nobody is named.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::platform::parse::Timestamp;

/// The answer.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    /// The database's clock.
    pub now: Timestamp,
    /// Whether transactions are read-only by default, as Supabase sets it where the disk is full.
    pub read_only: bool,
    pub schema: Schema,
    pub webhook: Webhook,
    /// The timestamps of the migrations that were applied; none where nobody keeps that history.
    pub migrations: Option<BTreeSet<String>>,
    pub workflow_count: usize,
    pub workflows: Vec<Workflow>,
    pub agent_server_count: usize,
    pub agent_servers: Vec<AgentServer>,
    /// Organisations whose agents may need an approval, and that have fewer than two people who may give it.
    pub organisations_short_of_approvers: u64,
    /// The keys that seal living secrets.
    pub sealing_key_ids: Vec<String>,
}

/// What wakes the orchestrator.
#[derive(Debug, Deserialize)]
pub(super) struct Webhook {
    /// Whether the database was told where the function is.
    pub is_set: bool,
    /// Whether what sends the request is there.
    pub can_call: bool,
}

/// What callers could get at.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Schema {
    pub tables: BTreeMap<String, Table>,
    pub functions: BTreeMap<String, Function>,
    pub private_usage: BTreeSet<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Table {
    pub row_level_security: bool,
    pub policies: BTreeMap<String, Policy>,
    pub grants: BTreeSet<String>,
    /// Whether each fires.
    pub triggers: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
pub(super) struct Policy {
    command: String,
    pub permissive: bool,
    roles: BTreeSet<String>,
    using: Option<String>,
    check: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Function {
    pub security_definer: bool,
    pub settings: BTreeSet<String>,
    pub body: String,
    pub execute: BTreeSet<String>,
}

/// A workflow of enabled agents.
#[derive(Debug, Deserialize)]
pub(super) struct Workflow {
    pub workflow_id: String,
    pub workflow_version: Option<String>,
    /// One of them.
    pub agent_id: String,
    /// How many there are.
    pub agents: usize,
}

/// A server of enabled agents.
#[derive(Debug, Deserialize)]
pub(super) struct AgentServer {
    pub url: String,
    pub credential: Option<String>,
    /// One of them.
    pub agent_id: String,
    /// How many there are.
    pub agents: usize,
    /// The tools that may be called.
    pub tools: BTreeSet<String>,
}

/// One of the agents that something is for, and that there are others.
pub(super) fn for_agents(agent_id: &str, agents: usize) -> String {
    match agents {
        0 | 1 => agent_id.to_owned(),
        _ => format!("{agent_id} and {} more", agents - 1),
    }
}
