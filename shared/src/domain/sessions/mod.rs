//! Sessions: a conversation of one user with the organisation's agents. It lasts for days, moves between devices and
//! agents, and owns many ChatKit sessions, each a token of ten minutes.

mod cancel;
mod client_secret;
mod open;
mod query;
mod threads;

pub use cancel::{Cancelled, Of, cancel, cancel_upstream};
pub use client_secret::{ClientSecret, obtain};
pub use open::{NewSession, Opened, Renewal, open, renew};
pub use query::{Details, Filter, Scope, Summary, details, find, list};
pub use threads::{Include, Newest, Threads, charge_threads, newest_threads};

pub use super::model::session::{AgentId, Channel, EndReason, Metadata, Purpose, Session, Status};
