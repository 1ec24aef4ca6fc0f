//! The chat of agents that this deployment hosts itself: ChatKit's protocol, the turn of an answer,
//! and the model's input.

mod answer;
pub mod history;
mod ids;
pub mod protocol;
mod recorder;
mod service;
mod store;
mod tools;
pub mod turn;

pub use ids::{IdPrefix, ItemSource, SystemSource, new_id};
pub use service::{Answer, ChatReply, ChatRequestContext, ChatService};
