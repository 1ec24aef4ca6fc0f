//! TLS and settings shared by all HTTP clients: one TLS configuration, no redirects, no proxies.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// Returns the builder of each HTTP client of a process: for configured systems
/// ([`http_client`](crate::platform::http_client)), for URLs from the registry
/// ([`egress`](crate::platform::egress)), and for an OpenTelemetry collector
/// ([`telemetry`](crate::platform::telemetry)).
#[allow(clippy::disallowed_methods)] // the only place that may build a client
pub(crate) fn client_builder() -> Result<reqwest::ClientBuilder, rustls::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config()?)
        // A redirect would carry keys to a host that is not configured.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Shorter than the timeout of load balancers, so that a frozen function does not
        // resume with a dead connection.
        .pool_idle_timeout(Duration::from_secs(15));
    Ok(builder)
}

fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
