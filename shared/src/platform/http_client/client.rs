//! The HTTP client of a process.

use std::{sync::Arc, time::Duration};

use super::retry_budget::RetryBudget;
use crate::platform::tls::client_builder;

/// HTTP client for the systems that the configuration names. A process has one, with one connection
/// pool and one TLS configuration.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    budget: Arc<RetryBudget>,
}

impl HttpClient {
    /// Builds the client; called once per process.
    ///
    /// # Errors
    /// Fails only if TLS cannot be set up.
    pub fn new() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let client = client_builder()?.connect_timeout(Duration::from_secs(1)).build()?;
        Ok(Self { client, budget: Arc::default() })
    }

    /// A client to build requests with. [`send`](Self::send) sends them, with a deadline and
    /// retries.
    pub(crate) fn request_builder(&self) -> reqwest::Client {
        self.client.clone()
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(super) fn budget(&self) -> &RetryBudget {
        &self.budget
    }
}
