//! What all HTTP clients of this process have in common: one TLS configuration, no redirects, no proxies.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// A client to be: the one for what is configured ([`crate::platform::http_client`]), that for what the registry names ([`crate::platform::egress`]), and
/// that for a collector of spans ([`crate::platform::telemetry`]).
#[allow(clippy::disallowed_methods)] // here is the one place where a client may be built
pub(crate) fn client_builder() -> Result<reqwest::ClientBuilder, rustls::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config()?)
        // A redirect would carry keys to a host that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Shorter than what load balancers keep: a frozen function must not wake up to a dead connection.
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
