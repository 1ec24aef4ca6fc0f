//! Sessions: a conversation of one user with the organisation's agents. It lasts for days, moves between devices and
//! agents, and owns many ChatKit sessions, each a token of ten minutes.

mod cancelling;
mod chatkit_session;
mod opening;
mod reading;
mod threads;
mod types;

pub use cancelling::{Cancelled, Of, cancel, cancel_upstream};
pub use chatkit_session::{ClientSecret, obtain};
pub use opening::{NewSession, Opened, Renewal, open, renew};
pub use reading::{Details, Filter, Scope, Summary, details, find, list};
pub use threads::{Include, Newest, Threads, charge_threads, newest_threads};
pub use types::{AgentId, Channel, EndReason, Metadata, Purpose, Session, Status};
