//! Data types of the domain. The operations on them are in the sibling modules.

pub mod escalation;
pub mod event;
pub mod session;
