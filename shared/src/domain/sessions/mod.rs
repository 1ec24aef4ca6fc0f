//! Sessions: conversations of a user with the organisation's agents. A session lasts for days,
//! moves between devices and agents, and has many ChatKit sessions, each a token of ten minutes.

mod cancel;
mod client_secret;
mod open;
mod provider;
mod query;
mod stop;
mod threads;

pub use cancel::{
    CancelledSession, ConfirmChatKitCancelledCall, SessionRef, cancel, cancel_chatkit_sessions,
};
pub use client_secret::{ClientSecret, ClientSecretIssuer};
pub use open::{ChatKitParams, NewSession, OpenedSession, Renewal, open, renew};
pub use provider::{ChatServer, Providers, secret_hash};
pub use query::{Details, SessionFilter, Summary, details, find, list};
pub use stop::{StopResult, stop_response};
pub use threads::{Include, SessionThread, Threads, UserThreads, consume_thread_read_limit, newest_threads};

pub use super::model::session::{
    AgentId, Channel, DeviceLabel, EndReason, Metadata, Provider, Purpose, Scope, Session, SessionLabels,
    SessionStatus, SessionTitle,
};
