//! Tests of the clients of other systems.

mod mcp;
