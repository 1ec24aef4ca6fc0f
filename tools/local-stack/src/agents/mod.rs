//! Three finance agents: MCP servers on the loopback interface, with rmcp's server side.
//!
//! - `accounts_payable` pays invoices, and asks above [`LIMIT`]. A payment triggers a VAT check.
//! - `tax_compliance` checks the VAT, as a follow-up.
//! - `cfo_strategy` accepts handovers.
//!
//! Each agent has one tool, [`TOOL`], and those that a test adds. They do the same. It honours
//! idempotency keys by default. It records its calls and actions; tests add faults with [`Fault`].
//! A server supports one MCP revision, so that tests can cover each.

mod agent;
mod behaviour;
mod fault;
mod fleet;
mod handler;
mod http;
mod request_log;
mod revision;
mod round_robin;
mod sdk_server;

pub use agent::{Agent, Settings};
pub use behaviour::APPROVAL_LIMIT;
pub use fault::{Fault, FaultId};
pub use fleet::AgentFleet;
pub use request_log::{AgentAction, RecordedCall, SentResponse};
pub use revision::Revision;
pub use round_robin::RoundRobin;
pub use sdk_server::SdkServer;

/// The tool of each agent.
pub const TOOL: &str = "handle_event";

/// A tool that pays an invoice, for models. An agent has it after [`Agent::add_tool`].
pub const PAY_TOOL: &str = "pay_invoice";

/// A tool that pays a small fee of an invoice, for models. It behaves as [`PAY_TOOL`] does.
pub const FEE_TOOL: &str = "pay_fee";
