//! Events: what happened in a session, in order, for automation, audit and the people who decide.

mod kinds;
mod recording;
mod submitted;
mod types;

pub use recording::{Recorded, RecordedEvent, record};
pub use submitted::{MAX_EVENTS, NewEvent, parse};
pub use types::{Event, Task};
