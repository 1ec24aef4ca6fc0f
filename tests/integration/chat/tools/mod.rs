//! Tools in a turn: the model calls the agent's tool through the checks of every other call.

mod built_in;
mod calls;
mod cards;
mod client_tools;
mod decisions;
mod failures;
pub mod fixture;
mod handovers;
mod influence;
mod interruptions;
