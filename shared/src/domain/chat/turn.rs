//! The turn of an answer: a state machine from the model's events to items and ChatKit's events.

use serde_json::Value;

use super::protocol::{ThreadItem, ThreadStreamEvent};
use crate::clients::model::{IncompleteReason, ModelCause};

/// What a turn yields, in the order in which it is to be stored and sent.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnOutput {
    /// An event to send. Nothing is stored.
    Event(ThreadStreamEvent),
    /// An item to store, and to send as `thread.item.done` once it is stored.
    Item(ThreadItem),
    /// An item to store that no client ever receives.
    Hidden(HiddenItem),
}

/// An item that only the model's input contains.
#[derive(Clone, Debug, PartialEq)]
pub struct HiddenItem {
    pub id: String,
    /// `reasoning` or `hidden_context_item`.
    pub kind: &'static str,
    pub item: Value,
}

/// How a turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    Completed,
    Incomplete(IncompleteReason),
    /// The model's server reported an error, before the stream or in it.
    Failed(ModelCause),
    /// The stream broke off.
    Cut,
    /// The user, or the session's end, stopped the answer.
    Stopped,
    /// The time of a turn is used up.
    DeadlineReached,
}
