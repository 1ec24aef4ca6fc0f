//! Three finance agents to call: MCP servers on loopback, by rmcp's server side.
//!
//! - `accounts_payable` pays invoices; above [`LIMIT`] it asks first. A payment is followed by a check of its VAT.
//! - `tax_compliance` checks the VAT, as a follow-up.
//! - `cfo_strategy` takes over what is handed to it.
//!
//! Each has one tool, [`TOOL`], honours idempotency keys unless told otherwise, writes down its calls and what it did, and goes
//! wrong on order ([`Fault`]). A server speaks one revision of MCP, so that every one can be tried.

mod agent;
mod behaviour;
mod fault;
mod fleet;
mod handler;
mod http;
mod reference;
mod request_log;
mod revision;
mod round_robin;

pub use agent::{Agent, Settings};
pub use behaviour::LIMIT;
pub use fault::{Fault, FaultId};
pub use fleet::AgentFleet;
pub use reference::Reference;
pub use request_log::{Call, Deed, Sent};
pub use revision::Revision;
pub use round_robin::RoundRobin;

/// The one tool of each agent.
pub const TOOL: &str = "handle_event";
