//! Events: what happened in a session, in order, for automation, audit and the people who decide.

mod parse;
mod payload;
mod record;

pub use parse::{MAX_EVENTS, NewEvent, parse};
pub use record::{RecordedEvents, record};

pub use super::model::event::{Event, RecordedEvent, Task};
