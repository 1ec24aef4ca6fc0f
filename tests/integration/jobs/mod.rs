//! Tests of the functions without an HTTP caller: dispatch, maintenance and erasure. Also of the
//! operators' commands, which share their code.

mod admin_command;
mod admin_members;
mod admin_stack;
mod claim_limits;
pub mod dispatch;
pub mod erasure;
pub mod maintenance;
