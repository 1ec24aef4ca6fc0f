//! The chat of agents that this deployment hosts itself: ChatKit's protocol, the turn of an answer,
//! and the model's input.

mod answer;
mod cards;
pub mod history;
mod ids;
mod offered_tools;
pub mod protocol;
mod recorder;
mod run;
mod service;
mod store;
mod tools;
pub mod turn;

pub use ids::{IdPrefix, ItemSource, SystemSource, new_id};
pub use run::AnswerStream;
pub use service::{ChatReply, ChatRequestContext, ChatService};
pub use store::{Appended, BeginOutcome, BegunCall, Finished};
