//! The chat of agents that this deployment hosts itself: ChatKit's protocol, the turn of an answer,
//! and the model's input.

pub mod history;
mod ids;
pub mod protocol;
pub mod turn;

pub use ids::{IdPrefix, ItemSource, SystemSource, new_id};
