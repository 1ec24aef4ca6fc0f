//! Clients of other systems: Supabase, OpenAI's ChatKit API, and agents' MCP servers.

mod decision;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod openai;
pub mod supabase;
#[cfg(all(test, feature = "mcp"))]
mod upstream_errors_page;

pub use decision::{Approver, Decision, Risk};
