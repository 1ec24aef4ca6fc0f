//! Clients of other systems: Supabase, OpenAI's ChatKit API, the model, agents' MCP servers, and
//! AWS.

#[cfg(feature = "aws")]
pub mod aws;
mod decision;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod model;
pub mod openai;
pub mod supabase;
#[cfg(feature = "documentation")]
pub mod upstream_errors_table;

pub use decision::{Approver, Decision, Risk};
