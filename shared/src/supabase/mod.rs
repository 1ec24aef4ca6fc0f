//! Supabase, reached through PostgREST only: reads as the caller, writes by RPC as the service.
//!
//! The `postgrest` crate builds the requests; the one HTTP client sends them ([`send`]), since the crate's own
//! `execute` has no timeout, ignores the status and brings a second pool.

mod error;
mod key;
mod reader;
mod send;
mod writer;

pub use error::{Cause, Error, Failed};
#[cfg(feature = "doctor")]
pub(crate) use key::legacy_project;
pub use key::{ApiKey, publishable_key, secret_key};
pub use reader::Reader;
pub use writer::Writer;

/// What the configuration says about where Supabase is.
#[derive(Clone, Debug)]
pub struct Project {
    /// `SUPABASE_URL`, without a trailing slash.
    pub url: url::Url,
}

impl Project {
    /// An address below the project's URL.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}
