//! Tools in a turn: the model calls the agent's tool through the checks of every other call.

mod calls;
mod decisions;
mod failures;
mod fixture;
mod influence;
mod interruptions;
