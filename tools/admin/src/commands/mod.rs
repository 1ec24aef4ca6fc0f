//! The commands, one module for each subject.

pub mod agents;
pub mod deliveries;
pub mod limits;
pub mod members;
mod registrations;
pub mod retention;
pub mod servers;
pub mod transcripts;
pub mod users;
