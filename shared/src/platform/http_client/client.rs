//! The process's HTTP client.

use std::{sync::Arc, time::Duration};

use super::retry_budget::Budget;
use crate::platform::tls::builder;

/// The process's HTTP client for the systems that its configuration names: one pool of connections, one TLS configuration.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    budget: Arc<Budget>,
}

impl Http {
    /// Builds the client; once a process.
    ///
    /// # Errors
    /// Only where TLS cannot be set up at all.
    pub fn new() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let client = builder()?.connect_timeout(Duration::from_secs(1)).build()?;
        Ok(Self { client, budget: Arc::default() })
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }
}
