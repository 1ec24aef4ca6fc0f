//! The HTTP client of the tests and the stack, and the server that what is played here runs on.

mod server;

use std::sync::OnceLock;
use std::time::Duration;

pub use server::{Port, Reach, Server};

/// Longer than anything here takes, shorter than a person's patience with a test that hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client for the loopback: no redirects are followed and no proxy is asked.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // reqwest builds no client without a provider for TLS, also where only http is spoken.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        builder.timeout(TIMEOUT).build().unwrap_or_default()
    })
}
