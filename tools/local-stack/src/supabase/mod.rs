//! Supabase, played: its gateway and keys, its issuer of tokens, and PostgREST behind it. What a project brings into
//! its database is in the SQL files beside this one.

mod fault;
mod gateway;
mod issuer;
mod keys;
mod request_log;
mod rest;
mod token;
mod user;
mod webhook;

pub use fault::{Canned, Fault, Mishaps};
pub use gateway::Gateway;
pub use issuer::{Forge, Issuer, OldKey, Signer};
pub use request_log::Entry;
pub use user::{OrgRole, User};
pub use webhook::Webhook;
