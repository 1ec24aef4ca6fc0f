//! A local Supabase project: gateway, API keys, token issuer and PostgREST. The SQL files in this
//! folder create what a project has before its migrations.

mod fault;
mod gateway;
mod issuer;
mod keys;
mod request_log;
mod rest;
mod token;
mod user;
mod webhook;

pub use fault::{CannedResponse, FailureSet, Fault};
pub use gateway::Gateway;
pub use issuer::{Issuer, OldKey, Signer, TokenBuilder};
pub use request_log::RequestLogEntry;
pub use user::{OrgRole, User};
pub use webhook::Webhook;
