//! The process's HTTP client.

use std::{sync::Arc, time::Duration};

use super::budget::Budget;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

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

/// What every client of this process has in common: this one, and the one for what the registry names ([`crate::outbound`]).
#[allow(clippy::disallowed_methods)] // here is the one place where a client may be built
pub(crate) fn builder() -> Result<reqwest::ClientBuilder, rustls::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        // A redirect would carry keys to a host that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Shorter than what load balancers keep: a frozen function must not wake up to a dead connection.
        .pool_idle_timeout(Duration::from_secs(15));
    Ok(builder)
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
