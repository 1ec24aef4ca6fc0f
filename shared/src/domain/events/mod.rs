//! Events of a session, in order: for automation, for audit and for the people who decide
//! escalations.

mod list;
mod parse;
mod payload;
mod record;

pub use list::{EventListQuery, EventPageRequest, EventSort, list};
pub use parse::{MAX_EVENTS, NewEvent, parse};
pub use record::{RecordedEvents, record};

pub use super::model::event::{Event, RecordedEvent, Task};
