//! Types of the domain. The operations on them are in the modules beside this one.

pub mod escalation;
pub mod event;
pub mod session;
