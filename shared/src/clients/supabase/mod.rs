//! Client of Supabase's PostgREST: reads as the caller, writes by RPC as the service.

mod api_error;
mod api_key;
mod error;
mod rest_api;
mod rpc;
#[cfg(test)]
mod rpc_parameters;
mod service_client;
mod user_client;

#[cfg(feature = "doctor")]
pub(crate) use api_key::legacy_project;
pub use api_key::{ApiKey, parse_publishable_key, parse_secret_key};
pub use error::{Error, RequestFailure, SupabaseCause};
pub use rpc::Rpc;
#[cfg(test)]
pub(crate) use rpc_parameters::rpc_parameters;
pub use service_client::ServiceClient;
pub use user_client::UserClient;

/// Address of the Supabase project, from the configuration.
#[derive(Clone, Debug)]
pub struct Project {
    /// `SUPABASE_URL`, without a trailing slash.
    pub url: url::Url,
}

impl Project {
    /// Returns a URL below the project's URL.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}
